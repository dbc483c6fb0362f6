/** A line on a terminal that replaces itself, below whatever else is written. */
export interface StatusLine {
  /** Shows a text; none takes the line away. */
  show(text: string): void
  /** Writes whole lines above it. */
  write(text: string): void
}

/** A status line on what `write` writes to; nothing is shown where that is no terminal. */
export const statusLine = ({
  write,
  terminal,
  width,
}: {
  write: (text: string) => void
  terminal: boolean
  width: () => number | undefined
}): StatusLine => {
  let status = ''
  return {
    show(text) {
      if (!terminal) return
      // A line that wraps could not be taken back. A terminal of width 0 does not know its own.
      const line = text.slice(0, Math.max(20, (width() || 80) - 1))
      if (line !== status) write(`\r\x1b[K${line}`)
      status = line
    },
    write(text) {
      if (text !== '') write(status === '' ? text : `\r\x1b[K${text}${status}`)
    },
  }
}

import { StringDecoder } from 'node:string_decoder'
import { escapeControl } from '../observe/escape.ts'

/** Longer lines are cut into pieces. */
const MAX_LINE = 16_384

/** Splits a stream of bytes into lines; a `\r` within one begins it anew, as progress bars do. */
export const lineSplitter = (onLine: (line: string) => void): { write(chunk: Buffer): void; end(): void } => {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const take = (text: string): void => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) onLine(lastOfCarriage(line))
    while (rest.length > MAX_LINE) {
      onLine(rest.slice(0, MAX_LINE))
      rest = rest.slice(MAX_LINE)
    }
  }
  return {
    write: (chunk) => take(decoder.write(chunk)),
    end() {
      take(decoder.end())
      if (rest !== '') onLine(lastOfCarriage(rest))
      rest = ''
    },
  }
}

const lastOfCarriage = (line: string): string => {
  const text = line.replace(/\r+$/, '')
  return text.slice(text.lastIndexOf('\r') + 1)
}

// A sequence that another terminal program wrote: CSI, OSC, or a single escape.
const SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g
const COLOR = /^\x1b\[[\d;:]*m$/

/** A line of another program as it may be shown among ours: its colours stay where `colored`, all else that steers a terminal goes. */
export const shownLine = (line: string, colored: boolean): string => {
  let shown = ''
  let from = 0
  let painted = false
  for (const match of line.matchAll(SEQUENCE)) {
    shown += escapeControl(line.slice(from, match.index).replaceAll('\t', '  '))
    from = match.index + match[0].length
    if (!colored || !COLOR.test(match[0])) continue
    shown += match[0]
    painted = true
  }
  shown += escapeControl(line.slice(from).replaceAll('\t', '  '))
  return painted ? `${shown}\x1b[0m` : shown
}

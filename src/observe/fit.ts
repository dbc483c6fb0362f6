/** Texts made to fit a width. */

/** At most so long, with a mark for what is missing in the middle: beginning and end of a URL tell most. */
export const cutMiddle = (text: string, length: number): string => {
  if (text.length <= length) return text
  const kept = length - 1
  const tail = Math.floor(kept / 2)
  return `${text.slice(0, kept - tail)}…${text.slice(text.length - tail)}`
}

/** Words on lines of at most that width, where no word is longer. */
export const wrapped = (text: string, width: number): string[] => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line += line === '' ? word : ` ${word}`
  }
  return [...lines, line]
}

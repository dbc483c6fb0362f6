/** Texts made to fit a width, which is counted in columns of a terminal. */

const NARROW = /^[\0-\u02ff]*$/
/** Wide and fullwidth (Unicode UAX #11), and what is drawn as a picture: two columns each. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{17000}-\u{18cff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u
/** Drawn over what comes before. */
const MARK = /[\p{Mn}\p{Me}]/u

/** Columns that the text takes; it holds nothing that steers a terminal. */
export const columnsOf = (text: string): number => {
  if (NARROW.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += WIDE.test(character) ? 2 : MARK.test(character) ? 0 : 1
  return columns
}

/** At most so many columns, with a mark where something is missing at the end. */
export const cutEnd = (text: string, columns: number): string =>
  columnsOf(text) <= columns ? text : `${beginning(text, columns - 1)}…`

/** The text and spaces, so many columns in all. */
export const padded = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - columnsOf(text)))

/** The text in pieces of at most so many columns; none for an empty text. */
export const rowsOf = (text: string, columns: number): string[] => {
  const rows: string[] = []
  for (let rest = text; rest !== ''; rest = rest.slice(rows.at(-1)!.length))
    rows.push(beginning(rest, columns) || String.fromCodePoint(rest.codePointAt(0)!))
  return rows
}

/** As much of it as so many columns take. */
export const beginning = (text: string, columns: number): string => {
  if (text.length <= columns && NARROW.test(text)) return text
  let left = columns
  let at = 0
  for (const character of text) {
    left -= columnsOf(character)
    if (left < 0) break
    at += character.length
  }
  return text.slice(0, at)
}

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
    if (line !== '' && columnsOf(line) + 1 + columnsOf(word) > width) {
      lines.push(line)
      line = word
    } else line += line === '' ? word : ` ${word}`
  }
  return [...lines, line]
}

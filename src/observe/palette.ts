import { Chalk, type ChalkInstance } from 'chalk'

/** How much colour a terminal has, as chalk counts: none, 16, 256 or all. */
export type ColorLevel = 0 | 1 | 2 | 3

/** What a colour stands for. */
export type Meaning = 'fresh' | 'renewed' | 'fetched' | 'quiet' | 'warning' | 'failure' | 'limited' | 'strong'

/** Colours a text by what it means. */
export type Palette = Readonly<Record<Meaning, (text: string) => string>>

/**
 * Middle tones, each with a contrast of at least 4:1 against black and against white, since the background is not
 * known. With 16 colours the terminal's own theme decides.
 */
export const tones = {
  fresh: '#00843b',
  renewed: '#007d8c',
  fetched: '#9a6f00',
  quiet: '#767676',
  warning: '#9a6f00',
  failure: '#d32f2f',
  limited: '#b0479f',
} as const satisfies Partial<Record<Meaning, string>>

const themed = {
  fresh: 'green',
  renewed: 'cyan',
  fetched: 'yellow',
  quiet: 'gray',
  warning: 'yellow',
  failure: 'red',
  limited: 'magenta',
} as const satisfies Record<keyof typeof tones, keyof ChalkInstance>

const plain = (text: string) => text

/** The colours of everything written for people; with level 0 texts stay as they are. The one user of chalk. */
export const palette = (level: ColorLevel): Palette => {
  const chalk = new Chalk({ level })
  // Opening and closing sequence once, not by chalk's builder for each line.
  const by = (style: (text: string) => string): ((text: string) => string) => {
    if (level === 0) return plain
    const [open = '', close = ''] = style('\0').split('\0')
    return (text) => (text === '' ? '' : open + text + close)
  }
  const tone = (meaning: keyof typeof tones) =>
    by(level === 1 ? chalk[themed[meaning]] : chalk.hex(tones[meaning]))
  return {
    fresh: tone('fresh'),
    renewed: tone('renewed'),
    fetched: tone('fetched'),
    quiet: tone('quiet'),
    warning: tone('warning'),
    failure: tone('failure'),
    limited: tone('limited'),
    strong: by(chalk.bold),
  }
}

/** `revproxy completion bash|zsh|fish`. */
import { bashCompletion } from './bash.ts'
import { fishCompletion } from './fish.ts'
import type { Word } from './vocabulary.ts'
import { zshCompletion } from './zsh.ts'

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion }

/** The shells there is a script for. */
export const shells = Object.keys(scripts) as ReadonlyArray<keyof typeof scripts>

/** The script for a shell; undefined for one that is not known. */
export const completion = (shell: string, words: readonly Word[]): string | undefined =>
  Object.hasOwn(scripts, shell) ? scripts[shell as keyof typeof scripts](words) : undefined

import type { Options } from '../options.ts'

/** Whether anything asks for more than a proxy that runs until it is told to end. */
export const wantsSession = (options: Options, command: readonly string[] | undefined): boolean =>
  command !== undefined ||
  options.json ||
  options.log === 'json' ||
  options.start.length > 0 ||
  options.expect.length > 0 ||
  [
    options.wait,
    options['exit-after'],
    options['max-requests'],
    options['save-baseline'],
    options.summary,
    options['summary-file'],
    options.junit,
    options.har,
  ].some((value) => value !== undefined)

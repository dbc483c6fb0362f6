/** What a shell completes: the words of the command line, whatever shell it is. */

/** One option. */
export interface Flag {
  /** `--port`, and `-p` where there is one. */
  readonly long: string
  readonly short: string | undefined
  readonly help: string
  readonly takes: 'nothing' | 'a value' | 'perhaps a value'
  /** What the value may be; empty when anything may. */
  readonly choices: readonly string[]
  readonly file: boolean
  readonly repeatable: boolean
}

/** One command; the nameless one is the program itself. */
export interface Word {
  /** `` or `cache ls`. */
  readonly path: string
  readonly help: string
  readonly flags: readonly Flag[]
  /** What may follow without a dash; empty when anything may. */
  readonly values: readonly string[]
}

/** Stands in a placeholder for any value of its kind. */
const KINDS = new Set([
  'path',
  'port',
  'host:port',
  'value',
  'url',
  'address',
  'size',
  'n',
  'file',
  'duration',
  'ip',
])

/** The choices and the kind of value that a placeholder such as `<a|b>` or `<file>` tells of. */
export const placeholder = (text: string): { choices: string[]; file: boolean } => {
  const members = text.replace(/^[<[]|[>\]]$/g, '').split('|')
  return {
    choices:
      members.length < 2 ? [] : members.filter((each) => /^[a-z][\w-]*$/.test(each) && !KINDS.has(each)),
    file: members.includes('file'),
  }
}

/** Commands of ours whose arguments may stand after `--`, as they do with any program. */
const WITHOUT_COMMAND = new Set(['explain', 'cache', 'trace', 'top', 'doctor', 'completion', 'help'])

/** Splits off what stands after `--`: the command to run. Undefined where there is no `--`. */
export const withoutCommand = (
  argv: readonly string[],
): { own: readonly string[]; command: readonly string[] | undefined } => {
  const at = argv.indexOf('--')
  if (at === -1 || WITHOUT_COMMAND.has(argv[0]!)) return { own: argv, command: undefined }
  return { own: argv.slice(0, at), command: argv.slice(at + 1) }
}

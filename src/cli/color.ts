import type { ColorLevel } from '../observe/palette.ts'

/**
 * The colours for a stream. `never` and `always` are final. In `auto`, FORCE_COLOR (0–3, true, false) goes before
 * NO_COLOR, as in Node itself; both count only when not empty; else a terminal gets what TERM and COLORTERM say, and
 * anything that is not a terminal gets none, CI or not.
 */
export const colorLevel = ({
  option,
  env,
  isTTY,
}: {
  option: 'auto' | 'always' | 'never'
  env: NodeJS.ProcessEnv
  isTTY: boolean
}): ColorLevel => {
  if (option === 'never') return 0
  const forced = env.FORCE_COLOR === undefined || env.FORCE_COLOR === '' ? undefined : forcedLevel(env)
  if (option === 'always') return forced || atLeastOne(terminalLevel(env))
  if (forced !== undefined) return forced
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return 0
  return isTTY ? terminalLevel(env) : 0
}

const forcedLevel = (env: NodeJS.ProcessEnv): ColorLevel => {
  const given = env.FORCE_COLOR!.toLowerCase()
  if (given === '0' || given === 'false') return 0
  if (given === '1' || given === '2' || given === '3') return Number(given) as ColorLevel
  return atLeastOne(terminalLevel(env))
}

const terminalLevel = (env: NodeJS.ProcessEnv): ColorLevel => {
  if (env.TERM === 'dumb') return 0
  // Log viewers of CI hosts know the 16 colours; whatever else they claim is not theirs.
  if (env.CI !== undefined && env.CI !== '' && env.CI !== 'false') return 1
  if (env.COLORTERM === 'truecolor' || env.COLORTERM === '24bit') return 3
  if (env.TERM === undefined || env.TERM === '') {
    // Windows sets no TERM, and its console has all colours since Windows 10.
    return env.OS === 'Windows_NT' ? 3 : 0
  }
  if (/-(?:direct|truecolor)$/.test(env.TERM)) return 3
  return /-256(?:color)?$/.test(env.TERM) ? 2 : 1
}

const atLeastOne = (level: ColorLevel): ColorLevel => (level === 0 ? 1 : level)

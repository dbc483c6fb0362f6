/** `revproxy doctor`: looks for what could be wrong on this machine, and says what to do. */
import { exitCodes } from '../../cli/exit-codes.ts'
import { escapeControl } from '../../observe/escape.ts'
import { type ColorLevel, palette } from '../../observe/palette.ts'
import type { Options } from '../../options.ts'
import { probeOptions } from '../readiness.ts'
import type { Finding } from './check.ts'
import { environmentFindings, nodeFinding, portFinding } from './machine.ts'
import { redisFindings, traceFindings } from './services.ts'
import { targetFindings } from './target.ts'

/** All findings, in the order in which they are shown. Never rejects. */
export const examine = async (
  options: Options,
  { env, withTarget }: { env: NodeJS.ProcessEnv; withTarget: boolean },
): Promise<Finding[]> => {
  const target = options.target!
  const hosts = options.host === undefined ? ['127.0.0.1', '::1'] : [options.host]
  const local = target.socketPath !== undefined || /^(?:localhost|127\..*|::1)$/.test(target.hostname)
  const parts = await Promise.all([
    [nodeFinding(process.versions.node)],
    withTarget ? targetFindings(probeOptions(options)) : [],
    portFinding('-p', { port: options.port, hosts, next: false }).then((finding) => [finding]),
    options.admin === undefined
      ? []
      : portFinding('--admin', {
          port: options.admin.port,
          hosts: options.admin.host === undefined ? ['127.0.0.1', '::1'] : [options.admin.host],
          next: !options.adminGiven,
        }).then((finding) => [finding]),
    redisFindings(options.cache, options['cache-timeout']),
    traceFindings(options.trace),
    environmentFindings(env, withTarget && !local),
  ])
  return parts.flat()
}

/** The findings for people; ends with a line end. */
export const findingsText = (findings: readonly Finding[], color: ColorLevel): string => {
  const paint = palette(color)
  const marks = { fine: paint.fresh('✓'), notice: paint.warning('!'), wrong: paint.failure('✗') }
  const lines = findings.flatMap(({ about, state, text, advice }) => [
    `${marks[state]} ${paint.quiet(about.padEnd(11))}  ${escapeControl(text)}`,
    ...(advice === undefined ? [] : [`${' '.repeat(15)}→ ${escapeControl(advice)}`]),
  ])
  const count = (state: Finding['state']): number => findings.filter((each) => each.state === state).length
  const [wrongs, notices] = [count('wrong'), count('notice')]
  const many = (n: number, one: string, more: string): string => `${n} ${n === 1 ? one : more}`
  const verdict =
    wrongs + notices === 0
      ? 'all is fine'
      : `${many(wrongs, 'thing is', 'things are')} wrong, ${many(notices, 'notice', 'notices')}`
  return `${lines.join('\n')}\n${verdict}\n`
}

/** 0, 4 when it is the target that is wrong, 3 when it is something else. */
export const doctorCode = (findings: readonly Finding[]): number => {
  const bad = findings.filter(({ state }) => state === 'wrong').map(({ about }) => about)
  if (bad.length === 0) return exitCodes.fine
  return bad.some((about) => about === 'target' || about === 'tls')
    ? exitCodes.notReady
    : exitCodes.cannotStart
}

/** `revproxy cache ls|get|purge` and `revproxy explain`: against the admin listener of a running proxy. */
import type { Explanation } from '../cache/explanation.ts'
import { escapeControl, shownJson } from '../observe/escape.ts'
import { palette } from '../observe/palette.ts'
import { formatSeconds, formatSize } from '../observe/units.ts'
import { AdminError, adminUrl, callAdmin } from './admin-client.ts'
import { type AdminFlags, guarded, stdoutColor } from './admin-command.ts'
import { exitCodes } from './exit-codes.ts'
import { explanationText } from './explain.ts'

interface Listed {
  readonly key: string
  readonly url: string
  readonly status: number
  readonly bytes: number
  readonly ttlSeconds: number
  readonly hits: number
  readonly variant: string
}

const print = (text: string): void => void process.stdout.write(text)

const ttlText = (ttl: number): string =>
  ttl > 0 ? `ttl ${formatSeconds(ttl)}` : `stale ${formatSeconds(-ttl)}`

/** Lists what is stored, `where` being a path or URL that entries begin with. */
export const listCache = (
  where: string | undefined,
  flags: AdminFlags,
  env: NodeJS.ProcessEnv,
): Promise<number> =>
  guarded(async () => {
    const query = where === undefined ? [] : [['prefix', where] as const]
    const answer = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path: '/cache/entries',
      query,
    })) as { entries: Listed[]; more: boolean }
    if (flags.json === true) {
      print(`${shownJson(answer)}\n`)
      return exitCodes.fine
    }
    const paint = palette(stdoutColor(flags, env))
    for (const entry of answer.entries) {
      const ttl = ttlText(entry.ttlSeconds)
      const state = entry.ttlSeconds > 0 ? paint.fresh(ttl.padEnd(12)) : paint.renewed(ttl.padEnd(12))
      const variant = entry.variant === '' ? '' : `  ${paint.quiet(escapeControl(entry.variant))}`
      print(
        `${entry.status}  ${state}  ${formatSize(entry.bytes).padStart(7)}  ${String(entry.hits).padStart(5)} hits  ${escapeControl(entry.url)}${variant}\n`,
      )
    }
    const total = answer.entries.reduce((sum, { bytes }) => sum + bytes, 0)
    print(
      paint.quiet(`${answer.entries.length}${answer.more ? ' and more' : ''} stored, ${formatSize(total)}\n`),
    )
    return exitCodes.fine
  })

/** Shows one stored response. */
export const getCache = (
  url: string,
  headers: readonly string[],
  flags: AdminFlags,
  env: NodeJS.ProcessEnv,
): Promise<number> =>
  guarded(async () => {
    const query = [['url', url] as const, ...headers.map((line) => ['header', line] as const)]
    const found = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path: '/cache/entry',
      query,
    })) as Listed & {
      ageSeconds: number
      fields: Array<[string, string]>
      body?: string
      bodyCut: boolean
    }
    if (flags.json === true) {
      print(`${shownJson(found)}\n`)
      return exitCodes.fine
    }
    const paint = palette(stdoutColor(flags, env))
    print(
      `${found.status}  ${escapeControl(found.url)}  age ${formatSeconds(found.ageSeconds)}, ${ttlText(found.ttlSeconds)}, ${formatSize(found.bytes)}\n`,
    )
    for (const [name, value] of found.fields)
      print(`${paint.quiet(`${escapeControl(name)}:`)} ${escapeControl(value)}\n`)
    if (found.body !== undefined) {
      const lines = found.body.split('\n').map(escapeControl)
      print(`\n${lines.join('\n')}${found.bodyCut ? paint.quiet('\n… cut') : ''}\n`)
    }
    return exitCodes.fine
  })

/** Purges by URL (a path means under every host), by prefix (ending in `*`) or all. */
export const purgeCache = (
  what: string | undefined,
  all: boolean,
  flags: AdminFlags,
  env: NodeJS.ProcessEnv,
): Promise<number> =>
  guarded(async () => {
    if (all === (what !== undefined)) {
      throw new AdminError(
        'say what to purge: a path or URL, one that ends in * for all that begins so, or --all',
        exitCodes.usage,
      )
    }
    const query: Array<readonly [string, string]> =
      what === undefined
        ? [['all', '']]
        : what.endsWith('*')
          ? [['prefix', what.slice(0, -1)]]
          : [['url', what]]
    const answer = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      method: 'DELETE',
      path: '/cache/entries',
      query,
    })) as { purged: number }
    print(
      flags.json === true
        ? `${shownJson(answer)}\n`
        : `purged ${answer.purged} ${answer.purged === 1 ? 'URI' : 'URIs'}\n`,
    )
    return exitCodes.fine
  })

/** Explains one request. */
export const explainRequest = (
  url: string,
  method: string,
  headers: readonly string[],
  flags: AdminFlags,
  env: NodeJS.ProcessEnv,
): Promise<number> =>
  guarded(async () => {
    const query = [
      ['url', url] as const,
      ['method', method] as const,
      ...headers.map((line) => ['header', line] as const),
    ]
    const explanation = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path: '/cache/explain',
      query,
    })) as Explanation
    print(
      flags.json === true
        ? `${shownJson(explanation)}\n`
        : explanationText(explanation, stdoutColor(flags, env)),
    )
    return exitCodes.fine
  })

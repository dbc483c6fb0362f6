/** A running proxy, looked at each second in the terminal. */
import { escapeControl, shownJson } from '../observe/escape.ts'
import type { Stats } from '../observe/stats.ts'
import { AdminError, adminUrl, callAdmin } from './admin-client.ts'
import { type AdminFlags, guarded, stdoutColor } from './admin-command.ts'
import { exitCodes } from './exit-codes.ts'
import { topScreen } from './top-screen.ts'

const EVERY_MS = 1000
/** A proxy that is silent for that long is told of; it may be held up, or stopped. */
const ANSWER_MS = 2000
const COLUMNS = 100

/** The other screen of a terminal, which leaves the first as it was; no cursor on it. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const CTRL_C = '\x03'

/** The screen until it is left; where stdout is no terminal, one look. */
export const watch = (flags: AdminFlags, env: NodeJS.ProcessEnv): Promise<number> =>
  guarded(async () => {
    const base = adminUrl(flags.admin ?? env.REVPROXY_ADMIN)
    const look = async (): Promise<Stats> =>
      (await callAdmin(base, { path: '/stats', query: [] }, ANSWER_MS)) as Stats
    const first = await look()
    if (flags.json === true) process.stdout.write(`${shownJson(first)}\n`)
    else if (process.stdout.isTTY === true) await live(first, look, { flags, env })
    else
      process.stdout.write(
        `${topScreen(first, { width: process.stdout.columns || COLUMNS, color: stdoutColor(flags, env) }).join('\n')}\n`,
      )
    return exitCodes.fine
  })

/** Redraws until `q`, Ctrl-C or a signal; a proxy that goes away is said in the last line, and looked for again. */
const live = async (
  first: Stats,
  look: () => Promise<Stats>,
  { flags, env }: { flags: AdminFlags; env: NodeJS.ProcessEnv },
): Promise<void> => {
  const { stdin, stdout } = process
  const color = stdoutColor(flags, env)
  let stats = first
  let before: Stats | undefined
  let trouble: string | undefined
  const draw = (): void => {
    const [width, height] = [stdout.columns || 80, stdout.rows || 24]
    const lines = topScreen(stats, { before, width, height: height - 1, color })
    const foot = escapeControl(trouble ?? 'q quits').slice(0, width)
    const padded = [...lines, ...new Array<string>(Math.max(0, height - 1 - lines.length)).fill(''), foot]
    stdout.write(`${HOME}${padded.map((line) => line + CLEAR_LINE).join('\r\n')}${CLEAR_BELOW}`)
  }
  const refresh = async (): Promise<void> => {
    try {
      const next = await look()
      before = stats
      stats = next
      trouble = undefined
    } catch (error) {
      if (!(error instanceof AdminError)) throw error
      trouble = error.message
    }
    draw()
  }

  let timer: NodeJS.Timeout | undefined
  let failed: unknown
  await new Promise<void>((resolve) => {
    const leave = (): void => resolve()
    // One look at a time, however long it takes.
    const again = (): void => {
      timer = setTimeout(() => {
        refresh().then(again, (error: unknown) => {
          failed = error
          resolve()
        })
      }, EVERY_MS)
    }
    stdout.write(ENTER)
    stdout.on('resize', draw)
    if (stdin.isTTY === true) {
      stdin.setRawMode(true)
      stdin.on('data', (keys: Buffer) => {
        const typed = keys.toString()
        if (typed.includes('q') || typed.includes('Q') || typed.includes(CTRL_C)) leave()
      })
      stdin.resume()
    }
    process.once('SIGINT', leave).once('SIGTERM', leave).once('SIGHUP', leave)
    draw()
    again()
  })
  clearTimeout(timer)
  stdout.off('resize', draw)
  if (stdin.isTTY === true) stdin.setRawMode(false)
  stdin.pause()
  stdout.write(LEAVE)
  if (failed !== undefined) throw failed
}

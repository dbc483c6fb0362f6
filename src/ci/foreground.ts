import { readFileSync } from 'node:fs'
import { isatty } from 'node:tty'

/** Whether a terminal sends its Ctrl-C to us and to what we run alike, so that it need not be passed on. */
export const inForeground = (): boolean => {
  if (process.platform !== 'linux') return isatty(0)
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8')
    // proc(5): state, parent, group, session, terminal, the terminal's foreground group.
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return group === foreground
  } catch {
    return isatty(0)
  }
}

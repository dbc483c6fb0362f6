/** What the system lets this process open, and how many clients that is enough for. */
import { readFileSync } from 'node:fs'

/** Files of the program itself: modules, log, admin, Redis, traces, refused connections on their way out. */
const OUR_OWN = 80
const FEWEST = 8

/** How many files this process may have open; undefined where the system does not tell. */
export const openFilesLimit = (): number | undefined => {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    // Not Linux: accepting fails there when it is too late, and is survived.
    return undefined
  }
}

/** Connections of clients for which files are there: each may need a second one, to the upstream. */
export const connectionsFor = (openFiles: number | undefined): number | undefined =>
  openFiles === undefined ? undefined : Math.max(FEWEST, Math.floor((openFiles - OUR_OWN) / 2))

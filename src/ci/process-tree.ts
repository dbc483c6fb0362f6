/**
 * Ends everything that a command started: its process group, and its descendants that made groups of their own. Only
 * what has left both (a daemon that forked twice) is out of reach.
 */
import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ProcessEntry, processTable } from './process-table.ts'

/** The processes of one command. */
export interface ProcessTree {
  /** SIGTERM, and SIGKILL for what is left after `graceMs`. Resolves when all of it has ended. */
  end(graceMs: number): Promise<void>
  /** SIGKILL at once; for when nothing can be waited for any more. */
  killNow(): void
}

const POLL_MS = process.platform === 'linux' ? 20 : 100
/** So long the system may take to end what got SIGKILL. */
const AFTER_KILL_MS = 2000

/** The tree of a process; with the whole of its group where it leads one of its own (spawned `detached`). */
export const processTree = (leader: number): ProcessTree => {
  if (process.platform === 'win32') return windowsTree(leader)
  const known = new Map<number, string>()
  const look = (): ProcessEntry[] => {
    const table = processTable()
    const members = new Set<number>()
    for (const { pid, group, startedAt } of table) {
      const noted = known.get(pid) ?? (pid === leader ? startedAt : undefined)
      if (group === leader || noted === startedAt) members.add(pid)
    }
    for (let before = -1; before !== members.size; ) {
      before = members.size
      for (const { pid, parent } of table) if (members.has(parent)) members.add(pid)
    }
    const found = table.filter(({ pid }) => members.has(pid))
    for (const { pid, startedAt } of found) known.set(pid, startedAt)
    return found
  }
  const signal = (entries: readonly ProcessEntry[], name: NodeJS.Signals): void => {
    for (const { pid } of entries) send(pid, name)
  }
  const gone = async (withinMs: number): Promise<boolean> => {
    const until = performance.now() + withinMs
    while (look().length > 0) {
      if (performance.now() >= until) return false
      await sleep(POLL_MS)
    }
    return true
  }
  return {
    async end(graceMs) {
      signal(look(), 'SIGTERM')
      if (await gone(graceMs)) return
      // What is started while we look is found by looking again.
      for (let tries = 0; tries < 3; tries++) {
        signal(look(), 'SIGKILL')
        if (await gone(AFTER_KILL_MS / 3)) return
      }
    },
    killNow() {
      // Looked for before: children of what is dead are nobody's.
      const members = look()
      send(-leader, 'SIGKILL')
      signal(members, 'SIGKILL')
    },
  }
}

const send = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended meanwhile, which is what was wanted.
  }
}

const windowsTree = (pid: number): ProcessTree => {
  const killNow = (): void =>
    void spawnSync('taskkill', ['/pid', String(pid), '/T', '/F'], { stdio: 'ignore' })
  return { end: async () => killNow(), killNow }
}

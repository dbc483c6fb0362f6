/** CPU time and memory of processes, from /proc; undefined where there is none (other systems than Linux). */
import { readdirSync, readFileSync } from 'node:fs'

/** Ticks a second of the times in /proc/<pid>/stat; fixed at 100 for user space on every Linux there is. */
const TICKS = 100

/** Fields of /proc/<pid>/stat behind the name, which may hold spaces and brackets itself. */
const stat = (pid: number): string[] | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // It has ended.
  }
}

/** A process and all that descend from it; only itself where /proc does not say. */
export const processTree = (root: number): number[] => {
  let all: number[]
  try {
    all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  } catch {
    return [root]
  }
  const parents = new Map(all.map((pid) => [pid, Number(stat(pid)?.[1] ?? 0)]))
  const found = [root]
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child)
  return found
}

/** Whether a process still runs; one that has ended and waits to be noticed does not. */
export const runs = (pid: number): boolean => {
  const fields = stat(pid)
  if (fields !== undefined) return fields[0] !== 'Z'
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false // Nobody has that id.
  }
}

/** CPU time so far of all these processes, user and system, in µs. */
export const cpuMicros = (pids: readonly number[]): number | undefined => {
  let ticks: number | undefined
  for (const pid of pids) {
    const fields = stat(pid)
    if (fields !== undefined) ticks = (ticks ?? 0) + Number(fields[11]) + Number(fields[12])
  }
  return ticks === undefined ? undefined : (ticks * 1e6) / TICKS
}

/** Memory that all these processes hold at this moment, MB; what they share is counted for each. */
export const residentMb = (pids: readonly number[]): number | undefined => {
  let kilobytes: number | undefined
  for (const pid of pids) {
    try {
      const value = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      if (value !== undefined) kilobytes = (kilobytes ?? 0) + Number(value)
    } catch {
      // It has ended.
    }
  }
  return kilobytes === undefined ? undefined : kilobytes / 1024
}

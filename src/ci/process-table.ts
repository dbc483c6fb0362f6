/** Which processes there are. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** A process that runs (one that has ended and was not reaped yet does not). */
export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly group: number
  /** With the pid it names a process for good; pids are used again. */
  readonly startedAt: string
}

/** All processes that can be seen; empty where the system does not tell. */
export const processTable = (): ProcessEntry[] => {
  if (process.platform === 'win32') return []
  try {
    return process.platform === 'linux' ? fromProc() : fromPs()
  } catch {
    // Without a table the process group is still ended as a whole.
    return []
  }
}

const fromProc = (): ProcessEntry[] => {
  const entries: ProcessEntry[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    let stat: string
    try {
      stat = readFileSync(`/proc/${name}/stat`, 'utf8')
    } catch {
      continue // It has ended meanwhile.
    }
    // The name of the program stands in parentheses and may hold any character (proc(5)).
    const [state, parent, group, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (state === 'Z' || state === 'X') continue
    entries.push({
      pid: Number(name),
      parent: Number(parent),
      group: Number(group),
      startedAt: rest[16] ?? '',
    })
  }
  return entries
}

const fromPs = (): ProcessEntry[] => {
  const text = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart='], { encoding: 'utf8' })
  return text.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*\S)\s*$/.exec(line)
    if (match === null || match[4]!.startsWith('Z')) return []
    return [
      { pid: Number(match[1]), parent: Number(match[2]), group: Number(match[3]), startedAt: match[5]! },
    ]
  })
}

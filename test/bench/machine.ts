/** What the numbers were measured on, and which programs there are to measure with. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, type } from 'node:os'
import { delimiter, join } from 'node:path'

/** Where a program is, or undefined; looks beside the PATH where servers are kept. */
export const findProgram = (name: string): string | undefined => {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false // Not in this folder.
      }
    })
}

/** The first thing in a program's own words that looks like a version. */
export const programVersion = (file: string, flag: string): string => {
  const { stdout, stderr } = spawnSync(file, [flag], { encoding: 'utf8' })
  return /\d+(?:\.\d+)+/.exec(`${stdout}${stderr}`)?.[0] ?? 'of unknown version'
}

/** Version of a package that this program uses. */
export const packageVersion = (name: string, from: string): string =>
  (JSON.parse(readFileSync(join(from, 'node_modules', name, 'package.json'), 'utf8')) as { version: string })
    .version

/** Cores that this process may run on, as numbers; empty where the system does not say. */
export const allowedCores = (): number[] => {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return list.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })
  } catch {
    return [] // Not Linux.
  }
}

/** One line about the machine. */
export const machine = (): string =>
  `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} cores, ${type()} ${release()}, load ${loadavg()
    .map((value) => value.toFixed(1))
    .join(' ')}`

/** The package as it is published: built and bundled, in a folder of its own. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Without node_modules/.bin, where a development dependency has an npm of its own that is years old. */
const env = {
  ...process.env,
  PATH: (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.endsWith(join('node_modules', '.bin')))
    .join(delimiter),
}

const execute = promisify(execFile)
/** Runs a program, npm above all, to its end; rejects when it fails. */
export const runTool = (file: string, args: string[], options: { cwd?: string } = {}) =>
  execute(file, args, { ...options, env })

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** What is to be packed, bundled: apart from the tree, which others run meanwhile. Gives the new folder in `folder`. */
export const stagePackage = async (folder: string): Promise<string> => {
  const stage = join(folder, 'stage')
  mkdirSync(stage)
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'dist/bin', 'dist/src'])
    cpSync(join(root, name), join(stage, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(stage, 'node_modules'))
  await runTool('npm', ['run', 'bundle'], { cwd: stage })
  return stage
}

/** What npm says of a tarball. */
export interface Packed {
  readonly filename: string
  readonly size: number
  readonly files: ReadonlyArray<{ readonly path: string }>
}

/** Packs such a folder into another one. */
export const packInto = async (folder: string, stage: string): Promise<Packed> => {
  // Built and bundled already.
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]
  const packed = JSON.parse((await runTool('npm', args, { cwd: stage })).stdout) as unknown
  const [tarball] = (Array.isArray(packed) ? packed : Object.values(packed as object)) as Packed[]
  return tarball!
}

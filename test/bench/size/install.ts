/** What an installation takes on the disk: the packed program in an empty folder, without what only development needs. */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { packInto, runTool, stagePackage } from '../../support/stage.ts'
import { temporary } from '../contestants.ts'
import { markdown } from '../table.ts'

/** What packages are there for, by their names; the rest is the last. */
const groups: ReadonlyArray<readonly [string, RegExp]> = [
  ['revproxy itself', /^revproxy$/],
  ['OTLP traces: OpenTelemetry', /^@opentelemetry\//],
  ['Redis: @keyv/redis, @redis/client', /^(?:@redis\/|@keyv\/redis$|cluster-key-slot$|hookified$)/],
  [
    'Jaeger: jaeger-client (optional: `npm install --omit=optional`)',
    /^(?:jaeger-client|thriftrw|opentracing|uuid|bufrw|long|hexer|error|xorshift|xtend|string-template|node-int64|process|ansi-color|minimist)$/,
  ],
  ['the rest', /^/],
]

/** Bytes on the disk, in blocks as the system counts them. */
const diskBytes = (path: string): number => {
  const entry = lstatSync(path)
  let bytes = entry.blocks * 512
  if (entry.isDirectory()) for (const name of readdirSync(path)) bytes += diskBytes(join(path, name))
  return bytes
}

/** Names of the packages of a node_modules folder, the nested ones with their way. */
const packagesOf = (folder: string): string[] =>
  (readdirSync(folder, { recursive: true }) as string[])
    .map((path) => path.split(sep).join('/'))
    .filter((path) => /^(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/@.][^/]*\/package\.json$/.test(path))
    .map((path) => path.replace(/\/package\.json$/, ''))

/** The table. */
export const installTable = async (): Promise<string> => {
  const folder = mkdtempSync(join(temporary, 'install-'))
  const { filename } = await packInto(folder, await stagePackage(folder))
  const home = join(folder, 'home')
  mkdirSync(home)
  writeFileSync(join(home, 'package.json'), '{"private":true}')
  const args = ['install', '--omit=dev', '--no-audit', '--no-fund', join(folder, filename)]
  await runTool('npm', args, { cwd: home })
  const modules = join(home, 'node_modules')
  const sums = groups.map(([name]) => ({ name, packages: 0, bytes: 0 }))
  for (const name of packagesOf(modules)) {
    const sum = sums[groups.findIndex(([, pattern]) => pattern.test(name))]!
    sum.packages++
    // One in another's folder is counted with that.
    if (!name.includes('/node_modules/')) sum.bytes += diskBytes(join(modules, name))
  }
  const row = (name: string, packages: number, bytes: number) => [
    name,
    String(packages),
    (bytes / 1e6).toFixed(1),
  ]
  const all = (of: (sum: (typeof sums)[number]) => number) =>
    sums.reduce((before, sum) => before + of(sum), 0)
  return markdown(
    ['installed', 'packages', 'MB on disk'],
    [
      ...sums.map(({ name, packages, bytes }) => row(name, packages, bytes)),
      row(
        '**all**',
        all(({ packages }) => packages),
        all(({ bytes }) => bytes),
      ),
    ],
  )
}

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** The sources, beside the built tree. */
const src = fileURLToPath(new URL('../../../src', import.meta.url))

/** Which rooms a room may import from, beside itself. */
const allowed: Record<string, readonly string[]> = {
  core: [],
  http: ['core'],
  limit: ['core', 'http'],
  trace: ['core', 'http', 'observe/spans.ts', 'trace/receive.ts'],
  'trace/receive.ts': ['core', 'trace'],
  cache: ['core', 'http'],
  upstream: ['core', 'http'],
  local: ['core', 'http'],
  observe: ['core', 'http'],
  admin: ['core', 'observe'],
  demo: [],
  'options.ts': ['core', 'cli/values.ts', 'ci/expression.ts', 'observe/filter.ts', 'observe/redact.ts'],
  'server.ts': ['core', 'http', 'edge'],
  edge: ['core', 'http'],
  'desk.ts': ['core', 'cache', 'observe', 'admin', 'options.ts'],
  'proxy.ts': [
    'desk.ts',
    'core',
    'http',
    'limit',
    'trace',
    'cache',
    'local',
    'upstream',
    'observe',
    'admin',
    'edge/open-files.ts',
    'server.ts',
    'edge/local-ca.ts',
    'options.ts',
  ],
  cluster: ['core', 'limit', 'cache', 'observe', 'trace', 'desk.ts', 'edge', 'options.ts', 'proxy.ts'],
  'cli/values.ts': ['core'],
  'cli/exit-codes.ts': [],
  'ci/expression.ts': ['core', 'cli/values.ts', 'ci'],
  'ci/probe.ts': ['core', 'ci/probe-http2.ts'],
  'ci/har.ts': ['core', 'observe', 'ci'],
  ci: [
    'core',
    'observe',
    'cache/remedies.ts',
    'options.ts',
    'cli/values.ts',
    'cli/exit-codes.ts',
    'ci/expression.ts',
    'ci/probe.ts',
    'ci/har.ts',
  ],
  cli: [
    'core',
    'cache/explanation.ts',
    'observe',
    'options.ts',
    'proxy.ts',
    'cluster',
    'demo',
    'ci',
    'cli/values.ts',
    'cli/exit-codes.ts',
  ],
}

/** Who may use values of node:http; types are for anyone. */
const speaksHttp = [
  'server.ts',
  'edge',
  'upstream',
  'admin',
  'demo',
  'trace/receive.ts',
  'ci/probe.ts',
  'ci/har.ts',
]

const roomOf = (file: string): string => (file in allowed ? file : file.split('/')[0]!)

test('each room imports only from the rooms below it', () => {
  const wrong: string[] = []
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  assert.ok(files.length > 50)
  for (const file of files) {
    const room = roomOf(file)
    assert.ok(room in allowed, `${file} stands in no known room`)
    const text = readFileSync(join(src, file), 'utf8')
    for (const [, clause = '', stated, dynamic] of text.matchAll(
      /^(?:import|export)\s([^'"]*?)\sfrom\s['"]([^'"]+)['"]|import\(['"]([^'"]+)['"]\)/gm,
    )) {
      const from = stated ?? dynamic
      if (from === undefined) continue
      if (from === 'node:http' && !clause.startsWith('type') && !speaksHttp.includes(room))
        wrong.push(`${file} uses node:http`)
      if (!from.startsWith('.')) continue
      const other = relative(src, join(src, dirname(file), from))
      const to = roomOf(other)
      if (to === room || allowed[room]!.includes(to) || allowed[room]!.includes(other)) continue
      wrong.push(`${file} imports ${other}`)
    }
  }
  assert.deepEqual(wrong, [])
})

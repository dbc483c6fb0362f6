/** How long it takes to be there, of the program as it is published: node alone, `--version`, and the first request served. Wall time, in turn. */
import { once } from 'node:events'
import { get } from 'node:http'
import { join } from 'node:path'
import { stagePackage } from '../support/stage.ts'
import { start, startServer } from './children.ts'
import { bare, temporary } from './contestants.ts'

/** Milliseconds of each try, in order. */
export interface StartUp {
  readonly node: number[]
  readonly version: number[]
  readonly firstRequest: number[]
}

/** Measures each so many times. */
export const startUp = async (
  tries: number,
  core: number | undefined,
  loadCore: number | undefined,
): Promise<StartUp> => {
  const upstream = await bare.start({ upstream: '', core: loadCore })
  const program = join(await stagePackage(temporary), 'dist/bin/revproxy.js')
  const times: StartUp = { node: [], version: [], firstRequest: [] }
  try {
    // The first of each reads files that are not in memory yet.
    for (let i = -1; i < tries; i++) {
      const node = await untilEnd(['-e', '0'], core)
      const version = await untilEnd([program, '--version'], core)
      const firstRequest = await untilServed(program, `http://127.0.0.1:${upstream.port}`, core)
      if (i < 0) continue
      times.node.push(node)
      times.version.push(version)
      times.firstRequest.push(firstRequest)
    }
  } finally {
    await upstream.stop()
  }
  return times
}

const untilEnd = async (args: readonly string[], core: number | undefined): Promise<number> => {
  const startedAt = performance.now()
  const child = start(process.execPath, args, core, 'ignore')
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`node ${args.join(' ')} ended with ${code}`)
  return performance.now() - startedAt
}

const untilServed = async (program: string, upstream: string, core: number | undefined): Promise<number> => {
  const startedAt = performance.now()
  const server = await startServer({
    file: process.execPath,
    args: [program, upstream, '--host', '127.0.0.1', '-p', '0', '--admin', 'off', '--log', 'off'],
    core,
    pattern: /listening\s+http:\/\/\S+:(\d+)/,
  })
  try {
    const [response] = await once(get(`http://127.0.0.1:${server.port}/hit/1k`, { agent: false }), 'response')
    response.resume()
    await once(response, 'end')
    return performance.now() - startedAt
  } finally {
    await server.stop()
  }
}

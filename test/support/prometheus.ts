/** A real Prometheus for a test: on a port of its own, scraping what it is told, in a folder that goes with the test. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from './free-port.ts'

/** A sample of an instant query. */
export interface Row {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

/** A running Prometheus. */
export interface TestPrometheus {
  readonly url: string
  /** An instant query; rejects with Prometheus' own words when it cannot be evaluated. */
  query(expression: string): Promise<Row[]>
  /** Any path of its API, `/api/v1/targets`; the `data` of the answer. */
  api(path: string): Promise<unknown>
}

/** Starts Prometheus scraping `target` (`host:port`) five times a second under the job `revproxy`. */
export const startPrometheus = async (t: TestContext, target: string): Promise<TestPrometheus> => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-prometheus-'))
  const config = join(folder, 'prometheus.yml')
  writeFileSync(
    config,
    `global: { scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 1s }
scrape_configs:
  - job_name: revproxy
    static_configs: [{ targets: ["${target}"] }]
`,
  )
  const port = await freePort()
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', (chunk) => {
    said = (said + chunk).slice(-4000)
  })
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      said += `${error}. Install it: apt-get install prometheus.`
      resolve()
    })
    child.once('exit', () => resolve())
  })
  let gone = false
  void ended.then(() => {
    gone = true
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })

  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; ; tries++) {
    if (gone || tries > 400) throw new Error(`prometheus does not come up: ${said}`)
    const ready = await fetch(`${url}/-/ready`).catch(() => undefined)
    if (ready?.ok === true) break
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  const api = async (path: string): Promise<unknown> => {
    const answer = (await (await fetch(url + path)).json()) as {
      status: string
      data: unknown
      error?: string
    }
    if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`)
    return answer.data
  }
  return {
    url,
    api,
    async query(expression) {
      const { result } = (await api(`/api/v1/query?query=${encodeURIComponent(expression)}`)) as {
        result: Array<{ metric: Record<string, string>; value: [number, string] }>
      }
      return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
    },
  }
}

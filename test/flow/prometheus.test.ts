import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { get } from '../support/client.ts'
import { type Row, startPrometheus } from '../support/prometheus.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

interface Panel {
  readonly title: string
  readonly targets: ReadonlyArray<{ readonly expr: string }>
}

/** Beside the built tree. */
const dashboard = JSON.parse(
  readFileSync(
    fileURLToPath(new URL('../../../compose/grafana/dashboards/revproxy.json', import.meta.url)),
    'utf8',
  ),
) as { panels: Panel[] }

/** What Grafana puts in for its variables. */
const substituted = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '4s').replaceAll('$__interval', '1s').replaceAll('$__range', '1m')

/** A proxy of which something of everything is asked, again and again until the test ends. */
const busyProxy = async (t: TestContext): Promise<TestProxy & { metrics: string }> => {
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.url?.startsWith('/broken') === true) {
      req.socket.destroy()
      return
    }
    if (req.url?.startsWith('/slow') === true) await new Promise((resolve) => setTimeout(resolve, 30))
    res.writeHead(req.url?.startsWith('/error') === true ? 503 : 200, {
      'cache-control': req.url?.startsWith('/private') === true ? 'private' : 'max-age=60',
    })
    res.end('hello')
  })
  const proxy = await startProxy(t, {
    target: upstream.url,
    admin: '0',
    rate: '3/m',
    'rate-by': 'header:x-client',
    concurrency: '2',
    trace: 'http://127.0.0.1:9', // nobody there: spans are dropped, and exemplars have their ids all the same
  })
  let round = 0
  let going = true
  const go = async (): Promise<void> => {
    while (going) {
      round++
      // Everyone is a client of its own and far below the limit, but for the greedy one.
      const ask = (path: string, client = `${round} of ${path}`, more = {}) =>
        get(proxy.url + path, { headers: { 'x-client': client }, ...more }).catch(() => undefined)
      await Promise.all([
        ask('/hit'),
        ask(`/slow?${round}`),
        ask(`/slow?${round}`, `other ${round}`),
        ask(`/slow?${round}`, `third ${round}`),
        ask('/private/thing'),
        ask(`/error/${round}`),
        ask(`/broken/${round}`),
        ask('/upload', `poster ${round}`, { method: 'POST', body: 'x'.repeat(200) }),
        ...Array.from({ length: 5 }, () => ask('/hit', 'greedy')),
      ])
    }
  }
  const done = go()
  t.after(async () => {
    going = false
    await done
  })
  return Object.assign(proxy, { metrics: `${proxy.adminUrl}/metrics` })
}

test('every panel of the dashboard shows data in a real Prometheus', { timeout: 60_000 }, async (t) => {
  const proxy = await busyProxy(t)
  const { host } = new URL(proxy.adminUrl!)
  const prometheus = await startPrometheus(t, host)
  const queries = dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => ({ title, expr: substituted(expr) })),
  )
  assert.ok(queries.length >= 20)
  // An instant query of a rate needs two scrapes of a series; until then there is honestly nothing.
  const answer = async (expr: string): Promise<Row[]> => {
    for (const until = performance.now() + 15_000; ; ) {
      const rows = (await prometheus.query(expr)).filter(({ value }) => Number.isFinite(value))
      if (rows.length > 0 || performance.now() > until) return rows
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  const empty: string[] = []
  const shown: string[] = []
  for (const { title, expr } of queries) {
    assert.doesNotMatch(expr, /\$/, 'a variable that was not filled in')
    const rows = await answer(expr)
    if (rows.length === 0) empty.push(`${title}: ${expr}`)
    shown.push(
      ...rows.slice(0, 2).map(({ metric, value }) => `${title}  ${JSON.stringify(metric)}  ${value}`),
    )
  }
  assert.deepEqual(empty, [])
  t.diagnostic(shown.join('\n'))

  const { activeTargets } = (await prometheus.api('/api/v1/targets')) as {
    activeTargets: Array<{ health: string; lastError: string }>
  }
  assert.deepEqual(
    activeTargets.map(({ health, lastError }) => [health, lastError]),
    [['up', '']],
  )
  for (const [expr, what] of [
    ['sum(revproxy_rate_limited_total)', 'requests over the limit'],
    ['sum(revproxy_collapsed_requests_total{outcome="shared"})', 'requests that shared an answer'],
    ['sum(revproxy_queue_duration_seconds_count)', 'requests that waited for a turn'],
    ['sum(revproxy_upstream_errors_total{code=~"upstream-.*"})', 'failures of the upstream'],
    ['sum(revproxy_cache_store_duration_seconds_count{operation="set"})', 'writes to the store'],
    ['sum(http_client_request_body_size_bytes_sum)', 'bytes sent to the upstream'],
  ] as const) {
    assert.ok(
      (await prometheus.query(expr)).some(({ value }) => value > 0),
      what,
    )
  }
  assert.deepEqual(
    await prometheus
      .query('revproxy_cache_store_up == 1 and on () vector(1)')
      .then((r) => r.map((x) => x.metric.store)),
    ['memory'],
  )

  // Prometheus asks for OpenMetrics by itself, so that it has the exemplars.
  const now = Date.now() / 1000
  const exemplars = (await prometheus.api(
    `/api/v1/query_exemplars?query=http_server_request_duration_seconds_bucket&start=${now - 60}&end=${now + 60}`,
  )) as Array<{ exemplars: Array<{ labels: Record<string, string> }> }>
  const traceIds = exemplars.flatMap((series) => series.exemplars.map(({ labels }) => labels.trace_id))
  assert.ok(traceIds.length > 0)
  const known = new Set(proxy.exchanges.map(({ trace }) => trace?.traceId))
  assert.deepEqual(
    traceIds.filter((id) => !known.has(id)),
    [],
  )
})

test('promtool finds nothing in the scrape of a busy proxy but the name kept from go-rev-proxy', async (t) => {
  const proxy = await busyProxy(t)
  await proxy.until((ended) => ended.length > 60)
  const text = await (await fetch(proxy.metrics)).text()
  const promtool = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  const complaints = `${promtool.stdout}${promtool.stderr}`.split('\n').filter((line) => line !== '')
  assert.deepEqual(
    complaints.filter((line) => !/^revproxy_requests_latency_ms .*\bunits?\b/.test(line)),
    [],
  )
})

test('metrics named in the dashboard are all in the scrape', async (t) => {
  const proxy = await busyProxy(t)
  await proxy.until((ended) => ended.length > 60)
  const text = await (await fetch(proxy.metrics)).text()
  const names = new Set(
    dashboard.panels.flatMap(({ targets }) =>
      targets.flatMap(({ expr }) => expr.match(/\b(?:http|revproxy|process|nodejs)_[a-z_0-9]+/g) ?? []),
    ),
  )
  // What stands between `by (…)` is a label.
  for (const name of names) {
    if (/^http_(?:route|response_status_code|request_method)$/.test(name)) continue
    assert.match(text, new RegExp(`^${name}(?:\\{| )`, 'm'))
  }
})

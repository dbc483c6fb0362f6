import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { type Answer, startUpstream } from '../support/upstream.ts'

const login: Answer = (_, res) =>
  void res
    .writeHead(200, {
      'cache-control': 'max-age=60',
      'Set-Cookie': [
        'sid=1; Domain=api.example.com; Path=/; Secure; HttpOnly; SameSite=None',
        '__Host-csrf=2; Path=/; Secure',
        'theme=dark',
      ],
    })
    .end('x')

test('a session cookie of a production backend works on http://localhost (node-http-proxy#1165, http-proxy-middleware#237, create-react-app#4455)', async (t) => {
  const upstream = await startUpstream(t, login)
  const proxy = await startProxy(t, { target: upstream.url, 'host-header': 'api.example.com' })
  const first = await get(proxy.url)
  const want = ['sid=1; Path=/; HttpOnly; SameSite=Lax', '__Host-csrf=2; Path=/; Secure', 'theme=dark']
  assert.deepEqual(first.headers['set-cookie'], want)
  // Out of the cache too.
  const second = await get(proxy.url)
  assert.deepEqual(second.headers['set-cookie'], want)
  assert.equal(upstream.requests.length, 1)
})

test('--cookies keep passes them as they come', async (t) => {
  const upstream = await startUpstream(t, login)
  const proxy = await startProxy(t, {
    target: upstream.url,
    'host-header': 'api.example.com',
    cookies: 'keep',
  })
  const { headers } = await get(proxy.url)
  assert.equal(
    headers['set-cookie']![0],
    'sid=1; Domain=api.example.com; Path=/; Secure; HttpOnly; SameSite=None',
  )
})

test('the path of a target does not keep its cookies from being sent back', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'set-cookie': 'a=b; Path=/v1/users' }).end('x'),
  )
  const proxy = await startProxy(t, { target: `${upstream.url}/v1` })
  assert.deepEqual((await get(`${proxy.url}/users`)).headers['set-cookie'], ['a=b; Path=/users'])
})

/** Another proxy for node, with keep-alive to the upstream and nothing else switched on; which one is the first word. */
import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const [which = '', target = ''] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const ready = (port: number): void => console.log(`listening on ${port}`)
/** Not among the dependencies: the compiler must not look for it. */
const load = (name: string): Promise<Record<string, never>> => import(name)

const serve = (listener: (req: IncomingMessage, res: ServerResponse) => void): void => {
  const server = createServer({ keepAliveTimeout: 120_000, noDelay: true }, listener)
  server.listen(0, '127.0.0.1', () => ready((server.address() as AddressInfo).port))
}

type AnyFunction = (...args: unknown[]) => unknown

if (which === 'httpxy') {
  const { createProxyServer } = (await load('httpxy')) as unknown as { createProxyServer: AnyFunction }
  const proxy = createProxyServer({ target, agent }) as { web: AnyFunction; on: AnyFunction }
  proxy.on('error', (_error: unknown, _req: unknown, res: unknown) => (res as ServerResponse).destroy())
  serve((req, res) => void proxy.web(req, res))
} else if (which === 'http-proxy-middleware') {
  const { createProxyMiddleware } = (await load(which)) as unknown as { createProxyMiddleware: AnyFunction }
  const middleware = createProxyMiddleware({ target, agent }) as AnyFunction
  serve((req, res) => void middleware(req, res, () => res.writeHead(404).end()))
} else if (which === '@fastify/http-proxy') {
  const { default: fastify } = (await load('fastify')) as unknown as { default: AnyFunction }
  const { default: proxy } = (await load(which)) as unknown as { default: unknown }
  const app = fastify({ keepAliveTimeout: 120_000 }) as {
    register: AnyFunction
    listen: AnyFunction
    server: { address(): AddressInfo }
  }
  app.register(proxy, { upstream: target, undici: { connections: 64, pipelining: 1 } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  ready(app.server.address().port)
} else throw new Error(`no such peer: ${which}`)
process.on('disconnect', () => process.exit())

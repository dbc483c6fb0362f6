/** Stock http-proxy with a keep-alive agent, and nothing else switched on. */
import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import httpProxy from 'http-proxy'

const proxy = httpProxy.createProxyServer({
  target: process.argv[2]!,
  agent: new Agent({ keepAlive: true, maxSockets: 64 }),
})
proxy.on('error', (_error, _req, res) => {
  if ('writeHead' in res) res.writeHead(502)
  res.end()
})
const server = createServer({ keepAliveTimeout: 120_000, noDelay: true }, (req, res) => proxy.web(req, res))
server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
process.on('disconnect', () => process.exit())

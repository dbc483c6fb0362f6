/** http-proxy as its README has it, with an `error` listener, without which it ends at the first failure. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import httpProxy from 'http-proxy'

const proxy = httpProxy.createProxyServer({ target: process.argv[2]!, xfwd: true })
proxy.on('error', (_error, _req, res) => {
  const answer = res as ServerResponse
  if (answer.writeHead !== undefined && !answer.headersSent) answer.writeHead(502)
  answer.end()
})
const server = createServer((req, res) => proxy.web(req, res))
server.on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`))

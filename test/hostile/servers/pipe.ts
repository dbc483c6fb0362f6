/** A proxy without any guard: what comes on one side leaves on the other. */
import { type AddressInfo, connect, createServer } from 'node:net'

const server = createServer((client) => {
  const upstream = connect(Number(new URL(process.argv[2]!).port), '127.0.0.1')
  client.on('error', () => {}).pipe(upstream)
  upstream.on('error', () => {}).pipe(client)
})
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`))

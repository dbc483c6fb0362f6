import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { type TestContext, test } from 'node:test'
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { certificate } from '../support/certificate.ts'
import { http2Client } from '../support/http2-client.ts'
import { startHttp2Upstream } from '../support/http2-upstream.ts'
import { startProxy } from '../support/proxy.ts'

const bytes = (value: Buffer): Buffer => value
const method = {
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
}
const unary = { ...method, path: '/test.Echo/Unary', requestStream: false, responseStream: false }
const chat = { ...method, path: '/test.Echo/Chat', requestStream: true, responseStream: true }

/** A gRPC server by the official library. */
const startServer = async (t: TestContext, tls: boolean): Promise<number> => {
  const server = new Server()
  server.addService(
    { unary, chat },
    {
      unary: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        const text = String(call.request)
        if (text === 'fail') {
          const metadata = new Metadata()
          metadata.set('x-why', 'because')
          done({ code: status.NOT_FOUND, details: 'no such thing: 100 % – ü', metadata })
        } else {
          const initial = new Metadata()
          initial.set('x-head', 'begun')
          call.sendMetadata(initial)
          const trailer = new Metadata()
          trailer.set('x-trail', 'ended')
          trailer.set('x-seen', String(call.metadata.get('x-ours')[0]))
          done(null, Buffer.from(`echo ${text}`), trailer)
        }
      },
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (message: Buffer) => call.write(Buffer.from(`back ${message}`)))
        call.on('end', () => call.end())
      },
    },
  )
  const { ca, cert, key } = await certificate()
  const port = await new Promise<number>((resolve, reject) => {
    const secured = tls
      ? ServerCredentials.createSsl(Buffer.from(ca), [
          { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) },
        ])
      : ServerCredentials.createInsecure()
    server.bindAsync('127.0.0.1:0', secured, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  t.after(() => server.forceShutdown())
  return port
}

/** The server, the proxy and a client, without TLS or with it on both sides. */
const start = async (t: TestContext, tls: boolean) => {
  const { ca, caFile, certFile, keyFile } = await certificate()
  const port = await startServer(t, tls)
  const proxy = await startProxy(t, {
    target: `${tls ? 'https' : 'h2c'}://localhost:${port}`,
    ...(tls ? { cert: certFile, key: keyFile, ca: caFile } : {}),
  })
  const secured: ChannelCredentials = tls
    ? credentials.createSsl(Buffer.from(ca))
    : credentials.createInsecure()
  const client = new Client(`localhost:${proxy.port}`, secured)
  t.after(() => client.close())
  return { client, proxy }
}

for (const tls of [false, true]) {
  const how = tls ? 'over TLS' : 'without TLS'

  test(`gRPC ${how}: a unary call, with metadata before, after and both ways`, async (t) => {
    const { client, proxy } = await start(t, tls)
    const metadata = new Metadata()
    metadata.set('x-ours', 'sent')
    let done: (value: Buffer) => void
    const answer = new Promise<Buffer>((resolve, reject) => {
      done = resolve
      const call = client.makeUnaryRequest(
        unary.path,
        bytes,
        bytes,
        Buffer.from('hello'),
        metadata,
        (error, value) => (error ? reject(error) : done(value!)),
      )
      call.on('metadata', (head) => heads.push(head))
      call.on('status', (end) => ends.push(end.metadata))
    })
    const heads: Metadata[] = []
    const ends: Metadata[] = []
    assert.equal(String(await answer), 'echo hello')
    await proxy.until((ended) => ended.length === 1)
    assert.deepEqual(heads[0]!.get('x-head'), ['begun'])
    assert.deepEqual(ends[0]!.get('x-trail'), ['ended'])
    assert.deepEqual(ends[0]!.get('x-seen'), ['sent'])
    const [exchange] = proxy.exchanges
    assert.equal(exchange!.method, 'POST')
    assert.equal(exchange!.url, unary.path)
    assert.equal(exchange!.scheme, tls ? 'https' : 'http')
    assert.equal(exchange!.ended!.status, 200)
    assert.equal(exchange!.ended!.error, undefined)
  })

  test(`gRPC ${how}: an error comes with its code, its text and its metadata`, async (t) => {
    const { client } = await start(t, tls)
    const error = await new Promise<ServiceError>((resolve, reject) => {
      client.makeUnaryRequest(unary.path, bytes, bytes, Buffer.from('fail'), (error) =>
        error ? resolve(error) : reject(new Error('no error')),
      )
    })
    assert.equal(error.code, status.NOT_FOUND)
    assert.equal(error.details, 'no such thing: 100 % – ü')
    assert.deepEqual(error.metadata.get('x-why'), ['because'])
  })

  test(`gRPC ${how}: a stream both ways, message by message`, async (t) => {
    const { client, proxy } = await start(t, tls)
    const call = client.makeBidiStreamRequest(chat.path, bytes, bytes)
    for (const text of ['one', 'two', 'three']) {
      const answer = once(call, 'data')
      call.write(Buffer.from(text))
      assert.equal(String((await answer)[0]), `back ${text}`)
    }
    const ended = once(call, 'status')
    call.end()
    call.resume()
    assert.equal((await ended)[0].code, status.OK)
    await proxy.until((exchanges) => exchanges.length === 1)
    assert.equal(proxy.exchanges[0]!.ended!.error, undefined)
  })
}

test('gRPC: te: trailers reaches the upstream, and an answer of nothing but a head stays one (Trailers-Only)', async (t) => {
  const upstream = await startHttp2Upstream(t, (stream) => {
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' },
      { endStream: true },
    )
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const { session } = http2Client(t, proxy.url)
  const stream = session.request({
    ':method': 'POST',
    ':path': '/x',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  stream.end('call')
  const [head, flags] = (await once(stream, 'response')) as [Record<string, unknown>, number]
  assert.equal(head['grpc-status'], '12')
  assert.ok(flags & constants.NGHTTP2_FLAG_END_STREAM)
  assert.equal(upstream.requests[0]!.headers.te, 'trailers')
  assert.equal(upstream.requests[0]!.headers['content-type'], 'application/grpc')
  stream.resume()
})

test('gRPC: a call that the client cancels, or whose deadline is over, is cancelled upstream', async (t) => {
  const { client, proxy } = await start(t, false)
  const call = client.makeBidiStreamRequest(chat.path, bytes, bytes)
  call.on('error', () => {})
  const answer = once(call, 'data')
  call.write(Buffer.from('one'))
  await answer
  call.cancel()
  await proxy.until((exchanges) => exchanges.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'client-gone')
  const error = await new Promise<ServiceError | null>((resolve) => {
    const late = client.makeBidiStreamRequest(chat.path, bytes, bytes, { deadline: Date.now() + 100 })
    late.on('error', (reason: ServiceError) => resolve(reason))
    late.resume()
  })
  assert.equal(error?.code, status.DEADLINE_EXCEEDED)
  await proxy.until((exchanges) => exchanges.length === 2)
})

test('gRPC: with nobody behind the proxy the call fails as unavailable', async (t) => {
  const proxy = await startProxy(t, { target: 'h2c://localhost:1', hold: '0' })
  const client = new Client(`localhost:${proxy.port}`, credentials.createInsecure())
  t.after(() => client.close())
  const error = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest(unary.path, bytes, bytes, Buffer.from('hello'), (reason) => resolve(reason))
  })
  assert.equal(error?.code, status.UNAVAILABLE)
})

/** Clients that are slow, many, or gone. */
import { type Case, must, sendRaw } from '../case.ts'
import { OK } from '../upstream.ts'

const theme = 'slow, many, gone'
const GET = 'GET /first HTTP/1.1\r\nHost: a\r\n\r\n'

const slow = (name: string, begin: string, drip: string, limits: Case['limits']): Case => ({
  theme,
  name,
  want: '408 or closed',
  limits: limits!,
  async play(scene) {
    const line = scene.connect()
    line.send(begin)
    const timer = drip === '' ? undefined : setInterval(() => line.send(drip), 100)
    const over = await line.until(() => line.closed() || line.answers().length > 0)
    clearInterval(timer)
    must(over, 'held for as long as it likes')
    const [answer] = line.answers()
    must(answer === undefined || answer.status === 408 || answer.status >= 400, `answered ${answer?.status}`)
    return answer?.status === 408 || line.text() === '' ? undefined : `came to ${answer?.status}`
  },
})

const flood: Case = {
  theme,
  name: '300 connections, of which 20 are wanted',
  want: 'so many and no more; the others told or closed, and served again later',
  limits: { connections: 20 },
  async play(scene) {
    const first = Array.from({ length: 300 }, () => scene.connect())
    scene.upstream.onWhole = () => {}
    for (const line of first) line.send(GET)
    await first[0]!.until(
      () => first.filter((line) => line.closed() || line.text() !== '').length >= 270,
      2000,
    )
    const heard = scene.upstream.heard.length
    must(heard <= 40, `${heard} of 300 reached the upstream`)
    for (const { socket } of first) socket.destroy()
    scene.upstream.reset()
    const line = scene.connect()
    let served = false
    for (let tries = 0; tries < 100 && !served; tries++) {
      const { answers } = await sendRaw(scene, 'GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      served = answers[0]?.body === 'ok'
      if (!served) await line.until(() => false, 30)
    }
    must(served, 'nobody is served afterwards')
  },
}

const gone = (name: string, send: string, answer: string): Case => ({
  theme,
  name,
  want: 'the upstream request ends',
  async play(scene) {
    let closed = 0
    scene.upstream.answer = ({ socket }) => {
      socket.on('close', () => closed++)
      if (answer !== '') socket.write(answer)
    }
    const line = scene.connect()
    line.send(send)
    if (!(await line.until(() => scene.upstream.heard.length === 1, 2000))) return 'not passed on'
    if (answer !== '') await line.until(() => line.text() !== '')
    line.socket.destroy()
    must(await line.until(() => closed === 1, 2000), 'it goes on')
    return undefined
  },
})

const many: Case = {
  theme,
  name: '2,000 requests in one write',
  want: 'answered in their order',
  async play(scene) {
    const line = scene.connect()
    scene.upstream.onWhole = ({ socket, target }) =>
      void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
    line.send(Array.from({ length: 2000 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
    await line.until(() => line.closed() || /\/1999$/.test(line.text()), 20_000)
    const answers = line.answers()
    must(answers.length <= 2000, `${answers.length} answers`)
    must(
      answers.every(({ body, status }, n) => status !== 200 || body === `/${n}`),
      'out of order',
    )
  },
}

const reset: Case = {
  theme,
  name: '200 clients that send half a request and reset',
  want: 'nobody else notices',
  async play(scene) {
    const lines = Array.from({ length: 200 }, () => scene.connect())
    await lines[0]!.until(() => lines.every(({ socket }) => !socket.connecting))
    for (const [i, line] of lines.entries()) {
      line.send(i % 2 === 0 ? 'POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc' : 'GET /fir')
    }
    await lines[0]!.until(() => false, 50)
    for (const { socket } of lines) socket.resetAndDestroy()
    scene.upstream.reset()
    const { answers } = await sendRaw(scene, 'GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    must(answers[0]?.body === 'ok', 'the next request was not served')
  },
}

export const slowAndMany: readonly Case[] = [
  slow('a head that drips', 'GET /first HTTP/1.1\r\nHost: a\r\n', 'X: y\r\n', { headTimeoutMs: 1000 }),
  slow('a head that stops', 'GET /first HTTP/1.1\r\nHo', '', { headTimeoutMs: 1000 }),
  slow('a connection without a byte', '', '', { headTimeoutMs: 1000 }),
  slow('a body that stops', 'POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc', '', {
    bodyTimeoutMs: 1000,
  }),
  slow(
    'chunks that stop',
    'POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
    '',
    { bodyTimeoutMs: 1000 },
  ),
  flood,
  many,
  reset,
  gone('gone before the head of the answer', GET, ''),
  gone('gone in the middle of the answer', GET, 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'),
  gone(
    'gone in the middle of an upload',
    'POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart',
    '',
  ),
  gone(
    'gone in the middle of a chunked answer',
    GET,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n',
  ),
  {
    theme,
    name: 'an upstream that dies in the middle of its answer',
    want: 'broken off, not hanging and not whole',
    async play(scene) {
      scene.upstream.answer = ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n')
        setTimeout(() => socket.destroy(), 50)
      }
      const line = scene.connect()
      line.send(GET)
      must(await line.until(() => line.closed(), 2000), 'the client hangs')
      must(!line.answers().some(({ whole, status }) => whole && status === 200), 'it looks whole')
    },
  },
  {
    theme,
    name: 'a POST whose kept connection was closed by the upstream',
    want: 'never sent twice',
    async play(scene) {
      let posts = 0
      scene.upstream.onWhole = ({ socket, method }) => {
        if (method === 'POST' && ++posts > 0) socket.destroy()
        else socket.write(OK)
      }
      await sendRaw(scene, GET)
      await sendRaw(scene, 'POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi')
      must(posts === 1, `sent ${posts} times`)
    },
  },
]

/** What an upstream may answer. */
import { gzipSync } from 'node:zlib'
import { type Case, must, type Scene, sendRaw } from '../case.ts'
import { PATIENCE_MS } from '../line.ts'
import { OK } from '../upstream.ts'

const theme = 'upstream'
const GET = 'GET /first HTTP/1.1\r\nHost: a\r\n\r\n'

/** The first request is answered by these bytes, and then the connection is left or closed. */
const answering = (scene: Scene, bytes: string, close: boolean): void => {
  scene.upstream.onWhole = ({ socket, target }) => {
    if (target !== '/first') socket.write(OK)
    else if (close) socket.end(bytes, 'latin1')
    else socket.write(bytes, 'latin1')
  }
}

/** No answer to give: 502, or where the head was sent already an end that is not clean. */
const broken = (name: string, bytes: string, { close = true, limits = {} } = {}): Case => ({
  theme,
  name,
  want: '502, or broken off',
  limits,
  async play(scene) {
    answering(scene, bytes, close)
    const { answers } = await sendRaw(scene, GET)
    must(answers.length <= 1, `one request has ${answers.length} answers`)
    const [answer] = answers
    if (answer === undefined) return
    must(answer.status !== 0, 'what is no HTTP was passed on')
    must(answer.status >= 500 || !answer.whole, `answered ${answer.status}, as if it were whole`)
    must(!/evil/i.test(answer.head), 'a field was made out of a value')
  },
})

/** What comes behind an answer is nobody's answer. */
const poison = (name: string, bytes: string, request = GET): Case => ({
  theme,
  name,
  want: 'the next request is not answered by it',
  async play(scene) {
    answering(scene, bytes, false)
    const { line } = await sendRaw(scene, request, request.split(' ', 1)[0])
    must(!line.text().includes('evil'), 'the client got what came behind its answer')
    for (let i = 0; i < 3; i++) {
      const { answers } = await sendRaw(scene, `GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
      must(answers[0]?.body === 'ok', `the next request was answered ${JSON.stringify(answers[0]?.body)}`)
    }
  },
})

const EVIL = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
const head = (fields: string, body = ''): string => `HTTP/1.1 200 OK\r\n${fields}\r\n\r\n${body}`

/** An endless stream of interim answers is an answer that never comes. */
const endless: Case = {
  theme,
  name: 'interim answers without end',
  want: 'ended, and the upstream let go of',
  limits: { upstreamTimeoutMs: 1000 },
  async play(scene) {
    let let_go = false
    scene.upstream.onWhole = ({ socket }) => {
      const timer = setInterval(
        () => socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(20)),
        2,
      )
      socket.on('close', () => {
        let_go = true
        clearInterval(timer)
      })
    }
    const line = scene.connect()
    line.send(GET)
    must(await line.until(() => line.closed() || line.answers().length > 0, PATIENCE_MS), 'never ended')
    must(await line.until(() => let_go), 'the upstream goes on')
  },
}

const untouched: Case = {
  theme,
  name: 'a body that is compressed, and one that only says so',
  want: 'passed on byte for byte',
  async play(scene) {
    for (const body of [gzipSync(Buffer.alloc(10_000_000)).toString('latin1'), 'not gzip at all']) {
      answering(scene, head(`Content-Encoding: gzip\r\nContent-Length: ${body.length}`, body), false)
      const { answers } = await sendRaw(
        scene,
        'GET /first HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n',
      )
      must(answers[0]?.body === body, 'changed')
      must(/^content-encoding: gzip/im.test(answers[0]!.head), 'its coding was taken away')
    }
  },
}

const switching = (name: string, fields: string, request: string): Case => ({
  theme,
  name,
  want: '502, and no tunnel',
  async play(scene) {
    scene.upstream.answer = ({ socket }) =>
      void socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n\r\n`)
    const line = scene.connect()
    line.send(request)
    await line.until(() => line.text() !== '' || line.closed())
    line.send('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n')
    await line.until(
      () => line.closed() || scene.upstream.heard.length > 1 || line.answers().length > 0,
      1000,
    )
    must(!line.text().startsWith('HTTP/1.1 101'), 'the switch was passed on')
    must(!scene.upstream.heard.some(({ body }) => body.includes('smuggled')), 'a tunnel was made')
    must(line.answers().length > 0 || line.closed(), 'neither answered nor closed')
  },
})

export const upstream: readonly Case[] = [
  broken('garbage instead of HTTP', 'this is no HTTP at all\r\n\r\n'),
  broken('a TLS alert', '\x15\x03\x01\x00\x02\x02\x46'),
  broken('nothing, and an end', ''),
  broken('half a head', 'HTTP/1.1 200 OK\r\nContent-Le'),
  broken('a status that is none', 'HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok'),
  broken('a status of 99', 'HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok'),
  broken(
    'a length and chunks',
    head('Content-Length: 2\r\nTransfer-Encoding: chunked', '2\r\nok\r\n0\r\n\r\n'),
  ),
  broken('two lengths that differ', head('Content-Length: 2\r\nContent-Length: 6', 'okevil')),
  broken('a length that is none', head('Content-Length: x2', 'ok')),
  broken(
    'a bare CR in a value (response splitting)',
    head('X: y\rSet-Cookie: evil=1\r\nContent-Length: 2', 'ok'),
  ),
  broken('NUL in a value', head('X: y\0z\r\nContent-Length: 2', 'ok')),
  broken('a name with a blank', head('X Y: evil\r\nContent-Length: 2', 'ok')),
  broken('a line without a colon', head('nonsense\r\nContent-Length: 2', 'ok')),
  broken('70 kB of a field', head(`X: ${'x'.repeat(70_000)}\r\nContent-Length: 2`, 'ok')),
  broken('a head without end', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(50_000)}`),
  broken('a body that is too short for its length', head('Content-Length: 10', 'ok')),
  broken('chunks that end too early', head('Transfer-Encoding: chunked', '2\r\nok\r\n')),
  broken('chunks that are none', head('Transfer-Encoding: chunked', 'zz\r\nok\r\n0\r\n\r\n')),
  broken(
    'a chunk size past 2^64',
    head('Transfer-Encoding: chunked', '10000000000000002\r\nok\r\n0\r\n\r\n'),
  ),
  broken('silence', '', { close: false, limits: { upstreamTimeoutMs: 1000 } }),
  broken('silence in the middle of a head', 'HTTP/1.1 200 OK\r\nX:', {
    close: false,
    limits: { upstreamTimeoutMs: 1000 },
  }),
  broken('silence in the middle of a body', head('Content-Length: 10', 'ok'), {
    close: false,
    limits: { upstreamTimeoutMs: 1000 },
  }),
  poison('a second answer behind the first', `${OK}${EVIL}`),
  poison(
    'a body to HEAD',
    `${head('Content-Length: 4', 'evil')}${EVIL}`,
    'HEAD /first HTTP/1.1\r\nHost: a\r\n\r\n',
  ),
  poison('a body to 204', `HTTP/1.1 204 No Content\r\n\r\n${EVIL}`),
  poison(
    'a body to 304',
    `HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n${EVIL}`,
    'GET /first HTTP/1.1\r\nHost: a\r\nIf-None-Match: "x"\r\n\r\n',
  ),
  endless,
  untouched,
  switching('101 to a plain request', 'Connection: Upgrade\r\nUpgrade: websocket', GET),
  switching(
    '101 to h2c (h2c smuggling)',
    'Connection: Upgrade\r\nUpgrade: h2c',
    'GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
  ),
]

/** What a client says of itself as if it were a proxy; and fields that are for one connection only. */
import { type Case, must, sendRaw } from '../case.ts'

const theme = 'identity'

const spoofed = (name: string, line: string, bad: RegExp): Case => ({
  theme,
  name,
  want: 'replaced or taken out',
  async play(scene) {
    await sendRaw(scene, `GET /first HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`)
    const [heard] = scene.upstream.heard
    must(heard !== undefined, 'not passed on')
    must(!bad.test(heard!.head), `passed on: ${bad.exec(heard!.head)?.[0].trim()}`)
  },
})

export const identity: readonly Case[] = [
  spoofed('X-Forwarded-For of a client', 'X-Forwarded-For: 6.6.6.6', /^.*6\.6\.6\.6.*$/m),
  spoofed(
    'X-Forwarded-For in two lines',
    'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6',
    /^.*6\.6\.6\.6.*$/m,
  ),
  spoofed('X-Forwarded-Host of a client', 'X-Forwarded-Host: evil', /^.*evil.*$/m),
  spoofed('X-Forwarded-Proto of a client', 'X-Forwarded-Proto: https', /^x-forwarded-proto:.*https.*$/im),
  spoofed('Forwarded of a client', 'Forwarded: for=6.6.6.6;host=evil', /^.*(?:6\.6\.6\.6|evil).*$/m),
  spoofed('X-Real-IP of a client', 'X-Real-IP: 6.6.6.6', /^.*6\.6\.6\.6.*$/m),
  spoofed('a field that Connection names', 'Connection: X-Secret\r\nX-Secret: 1', /^x-secret:.*$/im),
  spoofed(
    'Keep-Alive and Proxy-Connection',
    'Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive',
    /^(?:keep-alive|proxy-connection):.*$/im,
  ),
  spoofed('TE and Trailer lists', 'TE: gzip\r\nConnection: TE', /^te:.*gzip.*$/im),
]

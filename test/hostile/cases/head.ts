/** Request lines and fields: RFC 9112 §2 to §5, RFC 9110 §5 and §7. */
import { ambiguous, type Case, must, refused, sendRaw } from '../case.ts'

const theme = 'head'
const get = (fields: string, target = '/first'): string => `GET ${target} HTTP/1.1\r\n${fields}\r\n\r\n`

const nothingOfIt: ReadonlyArray<readonly [string, string, number | readonly number[]]> = [
  ['no Host', get('X: y'), 400],
  ['two Hosts', get('Host: a\r\nHost: b'), 400],
  ['two Hosts that agree', get('Host: a\r\nHost: a'), 400],
  ['a list of Hosts', get('Host: a, b'), 400],
  ['a Host with a path', get('Host: a/b'), 400],
  ['a Host with a user', get('Host: u@a'), 400],
  ['a Host with a blank', get('Host: a b'), 400],
  ['a Host with a bad port', get('Host: a:b'), 400],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', [400, 405, 501]],
  ['CONNECT with a path', 'CONNECT /first HTTP/1.1\r\nHost: a\r\n\r\n', [400, 405, 501]],
  ['GET *', get('Host: a', '*'), 400],
  ['a target without a slash', get('Host: a', 'first'), 400],
  ['another scheme', get('Host: a', 'ftp://a/'), 400],
  ['file:', get('Host: a', 'file:///etc/passwd'), 400],
  ['a user in the target', get('Host: a', 'http://u@a/'), 400],
  ['bytes above ASCII in the target', get('Host: a', '/\xc3\xa9'), 400],
  ['NUL in the target', get('Host: a', '/a\0b'), 400],
  ['a blank in the target', get('Host: a', '/a b'), 400],
  ['HTTP/0.9', 'GET /first\r\n\r\n', [400, 505]],
  ['HTTP/2.0 in a request line', 'GET /first HTTP/2.0\r\nHost: a\r\n\r\n', [400, 505]],
  ['a version that is none', 'GET /first HTTP/1.1x\r\nHost: a\r\n\r\n', 400],
  ['an empty method', ' /first HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a method with a colon', 'GE:T /first HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['an SSH greeting', 'SSH-2.0-OpenSSH_9.6\r\n', 400],
  ['NUL alone', '\0\0\0\0\r\n\r\n', 400],
  ['NUL in a field', get('Host: a\r\nX: a\0b'), 400],
  ['NUL in a name', get('Host: a\r\nX\0: a'), 400],
  ['a name with a blank', get('Host: a\r\nX Y: z'), 400],
  ['a name that is empty', get('Host: a\r\n: z'), 400],
  ['a line without a colon', get('Host: a\r\nnonsense'), 400],
  ['a first line that is folded', `GET /first HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n`, 400],
  ['70 kB of a field', get(`Host: a\r\nX: ${'x'.repeat(70_000)}`), [400, 431]],
  ['70 kB of a target', get('Host: a', `/${'x'.repeat(70_000)}`), [400, 414, 431]],
  [
    '5 MB of a field without end',
    `GET /first HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(5_000_000)}`,
    [400, 431],
  ],
  ['1,500 fields', get(`Host: a\r\n${'X: y\r\n'.repeat(1500)}X: y`), [400, 431]],
  ['50,000 fields', get(`Host: a\r\n${'X: y\r\n'.repeat(50_000)}X: y`), [400, 431]],
  ['an unknown expectation', get('Host: a\r\nExpect: cake'), 417],
]

const safe: ReadonlyArray<readonly [string, string, number | readonly number[]]> = [
  ['a folded field', get('Host: a\r\nX: y\r\n z'), 400],
  ['a field folded with a tab', get('Host: a\r\nX: y\r\n\tz'), 400],
  ['a bare CR in a field', get('Host: a\r\nX: y\rz'), 400],
  ['lines that end with LF', 'GET /first HTTP/1.1\nHost: a\n\n', 400],
  ['a field that ends with LF', get('Host: a\r\nX: y\nZ: z'), 400],
  ['a bare CR behind the request line', 'GET /first HTTP/1.1\rHost: a\r\nHost: a\r\n\r\n', 400],
  ['a blank before a colon', get('Host : a'), 400],
]

/** The Host of an absolute target goes before the field (RFC 9112 §3.2.2). */
const absolute: Case = {
  theme,
  name: 'an absolute target with another Host',
  want: 'path and one Host passed on, or refused',
  async play(scene) {
    await sendRaw(scene, get('Host: evil', 'http://good/first?x'))
    for (const { target, head } of scene.upstream.heard) {
      must(target === '/first?x', `asked for as ${target}`)
      must(!/^host: *evil/im.test(head), 'the Host field won')
      must(head.match(/^host:/gim)?.length === 1, 'several Hosts')
    }
  },
}

export const head: readonly Case[] = [
  ...nothingOfIt.map(([name, bytes, status]) => refused(theme, name, bytes, status)),
  ...safe.map(([name, bytes, status]) => ambiguous(theme, name, bytes, status)),
  absolute,
]

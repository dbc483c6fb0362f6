/** Declining an upgrade by answering as if it had not been asked for (RFC 9110 §7.8). */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { listMembers } from '../http/fields.ts'
import { hasBody } from './body.ts'

/** Names that belong to the wish for another protocol. */
const aboutUpgrade = new Set(['upgrade', 'http2-settings'])

/** Whether a request asks for what a tunnel is made for: a WebSocket (RFC 6455 §4.1). */
export const wantsWebSocket = (message: IncomingMessage): boolean =>
  message.method === 'GET' && !hasBody(message) && /^websocket$/i.test(message.headers.upgrade ?? '')

/**
 * For node's `shouldUpgradeCallback` (Node >= 22.21): a request that has a body besides its wish is one without the
 * wish from the beginning, since Node >= 26 lets go of its connection only behind that body.
 */
export const mayUpgrade = (message: IncomingMessage): boolean => !hasBody(message)

/** Whether node serves a request as if it had not asked for an upgrade; it loses what came right behind its body. */
export const isDeclinedByNode = ({ headers }: IncomingMessage): boolean =>
  headers.upgrade !== undefined && /\bupgrade\b/i.test(headers.connection ?? '')

/** node lets go of a connection that asks for an upgrade: its request is put back without that, and read anew once it is accepted. */
export const serveWithoutUpgrade = (
  message: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  accept: (socket: Duplex) => void,
): void => {
  const { rawHeaders } = message
  let text = `${message.method} ${message.url} HTTP/${message.httpVersion}\r\n`
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (aboutUpgrade.has(name)) continue
    let value = rawHeaders[i + 1]!
    if (name === 'connection') {
      value = listMembers(value)
        .filter((member) => !aboutUpgrade.has(member.toLowerCase()))
        .join(', ')
      if (value === '') continue
    }
    text += `${rawHeaders[i]}: ${value}\r\n`
  }
  socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), head]))
  accept(socket)
}

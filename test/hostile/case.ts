/** A hostile case: what is done to a proxy, and what has to hold for any proxy that is to be trusted. */
import { type Answered, type Line, open, PATIENCE_MS } from './line.ts'
import { ambiguity, type HostileUpstream } from './upstream.ts'

/** Bounds that a case needs; each contestant sets them as it can. */
export interface Limits {
  readonly headTimeoutMs?: number
  readonly bodyTimeoutMs?: number
  readonly upstreamTimeoutMs?: number
  readonly connections?: number
}

/** What a case plays in. */
export interface Scene {
  readonly port: number
  readonly upstream: HostileUpstream
  connect(): Line
}

/** One case. */
export interface Case {
  readonly theme: string
  readonly name: string
  /** What holds, for the table. */
  readonly want: string
  readonly limits?: Limits
  /**
   * Rejects with Unsafe, which says what went wrong; resolves with a remark (a string) where the outcome is safe, though not the
   * one that this program gives.
   */
  readonly play: (scene: Scene) => Promise<unknown>
}

/** A proxy did what it must not. */
export class Unsafe extends Error {}

/** Rejects a case unless it holds. */
export const must = (holds: boolean, otherwise: string): void => {
  if (!holds) throw new Unsafe(otherwise)
}

const shown = (answers: readonly Answered[]): string =>
  answers.length === 0 ? 'nothing' : answers.map(({ status }) => status || 'garbage').join(', ')

/** What one request with its bytes came to. */
export interface Outcome {
  readonly line: Line
  readonly answers: readonly Answered[]
}

/** Sends the bytes on a new connection and waits for what comes; the proxy must not hang. */
export const sendRaw = async (scene: Scene, bytes: string | Buffer, method?: string): Promise<Outcome> => {
  const line = scene.connect()
  line.send(bytes)
  await line.settled(method)
  const answers = line.answers(method)
  must(
    line.closed() || answers.some(({ whole, status }) => whole || status === 0),
    `neither answered nor closed within ${PATIENCE_MS / 1000} s`,
  )
  return { line, answers }
}

/**
 * A request that could be read in more than one way: refused, or passed on so that it cannot. One request was sent, so
 * the upstream hears one at most, and never one that was hidden within it.
 */
export const ambiguous = (
  theme: string,
  name: string,
  bytes: string,
  status: number | readonly number[],
  /** What is wrong is so far behind the head that this may be on its way by then. */
  late = false,
): Case => ({
  theme,
  name,
  want: `refused (${[status].flat().join(' or ')})`,
  async play(scene) {
    const { upstream } = scene
    const { answers } = await sendRaw(scene, bytes)
    const refused = answers.length === 0 || answers[0]!.status >= 400
    const hidden = upstream.heard.find(({ target }) => target.includes('smuggled'))
    must(hidden === undefined, 'the upstream heard a request that was hidden in another')
    must(answers.length <= 1, `one request was answered by ${shown(answers)}`)
    for (const { head } of upstream.heard) {
      const why = ambiguity(head)
      must(why === undefined, `passed on with ${why}`)
    }
    must(upstream.heard.length <= 1, `the upstream heard ${upstream.heard.length} requests`)
    must(refused || upstream.heard.every(({ whole }) => whole), 'passed on, and never whole')
    must(
      answers.every(({ status: got }) => got !== 0),
      'answered by garbage',
    )
    const kept = late ? upstream.heard.every(({ whole }) => !whole) : upstream.heard.length === 0
    return remark(refused && kept && [status].flat().includes(answers[0]?.status ?? 0), answers)
  },
})

/** A request that nothing is to be made of: it is refused, and the upstream hears nothing. */
export const refused = (
  theme: string,
  name: string,
  bytes: string | Buffer,
  status: number | readonly number[],
): Case => ({
  theme,
  name,
  want: `refused (${[status].flat().join(' or ')}), not passed on`,
  async play(scene) {
    const { answers } = await sendRaw(scene, bytes)
    must(scene.upstream.heard.length === 0, 'passed on')
    must(answers.length === 0 || answers[0]!.status >= 400, `answered ${shown(answers)}`)
    must(answers.length <= 1, `one request was answered by ${shown(answers)}`)
    return remark([status].flat().includes(answers[0]?.status ?? 0), answers)
  },
})

/** A remark where a safe outcome is not the one that this program gives. */
const remark = (exact: boolean, answers: readonly Answered[]): string | undefined =>
  exact ? undefined : `came to ${shown(answers)}`

/** Opens lines, and closes them all in the end. */
export const scene = (port: number, upstream: HostileUpstream): Scene & { close(): void } => {
  const lines: Line[] = []
  return {
    port,
    upstream,
    connect() {
      const line = open(port)
      lines.push(line)
      return line
    },
    close() {
      for (const { socket } of lines) socket.destroy()
    },
  }
}

/** Plays cases against one contestant: a process for each set of limits, the same for all cases that share it. */
import { type Case, type Scene, scene, Unsafe } from './case.ts'
import type { Contestant, Running } from './contestants.ts'
import { type HostileUpstream, startHostileUpstream } from './upstream.ts'

/** How a case ended. */
export interface Verdict {
  /** What went wrong; undefined where nothing did. */
  readonly unsafe: string | undefined
  /** Safe, though not as this program does it. */
  readonly remark: string | undefined
}

/** A contestant that is there, and what it is played against. */
export interface Arena {
  play(one: Case): Promise<Verdict>
  /** What the contestant's processes said of themselves. */
  said(): string
  close(): Promise<void>
}

/** Sets up the upstream; the contestant is started when a case first needs it, and anew when it has ended. */
export const arena = async (contestant: Contestant): Promise<Arena> => {
  const upstream: HostileUpstream = await startHostileUpstream()
  const running = new Map<string, Running>()
  let said = ''
  const proxyFor = async ({ limits = {} }: Case): Promise<Running> => {
    const key = JSON.stringify(limits)
    const old = running.get(key)
    if (old?.alive() === true) return old
    upstream.reset()
    const started = await contestant.start(upstream.port, limits)
    running.set(key, started)
    upstream.reset()
    return started
  }
  return {
    async play(one) {
      const proxy = await proxyFor(one)
      upstream.reset()
      const here = scene(proxy.port, upstream)
      try {
        const told = await one.play(here)
        here.close()
        upstream.reset()
        const after = proxy.alive() ? await aftermath(here) : 'the process ended'
        return { unsafe: after, remark: typeof told === 'string' ? told : undefined }
      } catch (error) {
        if (!(error instanceof Unsafe)) throw error
        return { unsafe: proxy.alive() ? error.message : 'the process ended', remark: undefined }
      } finally {
        here.close()
        if (!proxy.alive()) said += proxy.said()
      }
    },
    said: () => said + [...running.values()].map((one) => one.said()).join(''),
    async close() {
      await Promise.all([...running.values()].map((one) => one.stop()))
      await upstream.close()
    },
  }
}

/** Whoever comes next is served as ever. */
const aftermath = async (here: Scene): Promise<string | undefined> => {
  const line = here.connect()
  line.send('GET /afterwards HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await line.until(() => line.closed())
  const [answer] = line.answers()
  line.socket.destroy()
  return answer?.body === 'ok' ? undefined : `the next client got ${JSON.stringify(line.text().slice(0, 80))}`
}

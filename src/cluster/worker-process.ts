/** One worker process, seen from the process that started it: begun, ready, ended. */
import cluster, { type Worker } from 'node:cluster'
import type { Duplex } from 'node:stream'
import { Link } from './link.ts'
import { type Begin, LINK_FD } from './worker.ts'

/** Says in the environment that a process is one of these. */
export const WORKER_ENV = 'REVPROXY_IS_WORKER'

/** How a worker ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What it said itself of why it cannot go on. */
  readonly failure: NodeJS.ErrnoException | undefined
}

/** A worker that was started. */
export interface WorkerProcess {
  readonly link: Link
  /** Where it serves; undefined when it ended before it did. */
  readonly ready: Promise<{ port: number; addresses: string[] } | undefined>
  readonly ended: Promise<End>
  readonly isReady: () => boolean
  kill(): void
}

/** How a program is started so that it becomes a worker: the executable and its arguments. */
export interface WorkerProgram {
  readonly path: string
  readonly args: readonly string[]
}

/** Starts one. */
export const startWorker = (
  program: WorkerProgram,
  begin: Begin,
  onFault: (error: unknown) => void,
): WorkerProcess => {
  cluster.setupPrimary({
    exec: program.path,
    args: [...program.args],
    // Its log lines go over the link; what node itself has to say goes to stderr.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
  })
  const worker: Worker = cluster.fork({ [WORKER_ENV]: String(begin.worker) })
  // Told by `exit` as well.
  worker.on('error', () => {})
  const letGo = handedOver(worker.process)
  const link = new Link(worker.process.stdio[LINK_FD] as Duplex, onFault)
  let failure: NodeJS.ErrnoException | undefined
  let isReady = false
  link.on('failed', ({ code, message }) => {
    failure = Object.assign(new Error(String(message)), code === undefined ? {} : { code: String(code) })
  })
  const ended = new Promise<End>((resolve) => {
    worker.process.once('exit', (code, signal) => {
      letGo()
      // What it sent last may still be in the stream.
      void link.closed.then(() => resolve({ code, signal, failure }))
    })
  })
  const ready = new Promise<{ port: number; addresses: string[] } | undefined>((resolve) => {
    link.on('ready', ({ port, addresses }) => {
      isReady = true
      resolve({ port: Number(port), addresses: addresses as string[] })
    })
    void ended.then(() => resolve(undefined))
  })
  link.tell('begin', { ...begin })
  return { link, ready, ended, isReady: () => isReady, kill: () => void worker.process.kill('SIGKILL') }
}

/**
 * Watches connections on their way to a worker. node keeps one until the worker confirms it, and for ever when the
 * worker ends before: its client would wait for an answer that nobody gives. Gives what closes those.
 */
const handedOver = (child: Worker['process']): (() => void) => {
  interface Internal {
    readonly act?: string
    readonly seq?: number
    readonly ack?: number
  }
  const onTheWay = new Map<number, { close(): void }>()
  const send = child.send as unknown as (...given: unknown[]) => boolean
  const watched = (message: Internal, handle: { close(): void } | undefined, ...more: unknown[]): boolean => {
    if (message.act === 'newconn' && message.seq !== undefined && typeof handle?.close === 'function')
      onTheWay.set(message.seq, handle)
    return send.call(child, message, handle, ...more)
  }
  child.send = watched as unknown as typeof child.send
  child.on('internalMessage', ({ ack }: Internal) => {
    if (ack !== undefined) onTheWay.delete(ack)
  })
  return () => {
    for (const handle of onTheWay.values()) handle.close()
    onTheWay.clear()
  }
}

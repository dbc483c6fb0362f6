/** The proxies that the hostile cases are played against, each as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import type { Limits } from './case.ts'

/** A running proxy. */
export interface Running {
  readonly port: number
  /** It has not ended by itself. */
  alive(): boolean
  /** What it said on stderr. */
  said(): string
  stop(): Promise<void>
}

/** A proxy that can be started before an upstream. */
export interface Contestant {
  readonly name: string
  start(upstreamPort: number, limits: Limits): Promise<Running>
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const run = async (file: string, args: readonly string[], listening: RegExp | number): Promise<Running> => {
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  let err = ''
  let ended = false
  const end = new Promise<void>((resolve) => {
    child.once('close', () => {
      ended = true
      resolve()
    })
  })
  child.once('error', (error) => {
    err += error.message
  })
  const port = await new Promise<number>((resolve, reject) => {
    const look = (text: string, own: boolean): void => {
      said = (said + text).slice(-100_000)
      if (own) err = (err + text).slice(-100_000)
      const found = typeof listening === 'number' ? undefined : listening.exec(said)?.[1]
      if (found !== undefined) resolve(Number(found))
    }
    child.stdout?.on('data', (chunk) => look(String(chunk), false))
    child.stderr?.on('data', (chunk) => look(String(chunk), true))
    void end.then(() => reject(new Error(`${file} ended at its start: ${said}`)))
    setTimeout(() => reject(new Error(`${file} does not start: ${said}`)), 15_000).unref()
    if (typeof listening === 'number') void untilAnswers(listening).then(() => resolve(listening))
  })
  return {
    port,
    alive: () => !ended,
    said: () => err,
    async stop() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 2000)
      await end
      clearTimeout(late)
    },
  }
}

const untilAnswers = async (port: number): Promise<void> => {
  for (;;) {
    const there = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    )
    if (there) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const duration = (flag: string, ms: number | undefined): string[] =>
  ms === undefined ? [] : [flag, `${ms}ms`]

/** This program, as it is built. */
export const revproxy: Contestant = {
  name: 'revproxy',
  start: (upstreamPort, { headTimeoutMs, bodyTimeoutMs, upstreamTimeoutMs, connections }) =>
    run(
      process.execPath,
      [
        here('../../bin/revproxy.js'),
        `http://127.0.0.1:${upstreamPort}`,
        ...['-p', '0', '--host', '127.0.0.1', '--admin', 'off', '--log', 'off', '--hold', '0'],
        ...duration('--head-timeout', headTimeoutMs),
        ...duration('--body-timeout', bodyTimeoutMs),
        ...duration('--timeout', upstreamTimeoutMs),
        ...(connections === undefined ? [] : ['--max-connections', String(connections)]),
      ],
      /listening\s+http:\/\/\S+:(\d+)/,
    ),
}

/** Stock http-proxy, which has no bounds to set but the two timeouts. */
export const httpProxy: Contestant = {
  name: 'http-proxy',
  start: (upstreamPort) =>
    run(
      process.execPath,
      [here('servers/http-proxy.js'), `http://127.0.0.1:${upstreamPort}`],
      /listening on (\d+)/,
    ),
}

/** No proxy at all but a pipe: what it passes shows nothing. */
export const pipe: Contestant = {
  name: 'a pipe',
  start: (upstreamPort) =>
    run(
      process.execPath,
      [here('servers/pipe.js'), `http://127.0.0.1:${upstreamPort}`],
      /listening on (\d+)/,
    ),
}

const nginxFile = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
  .map((folder) => join(folder, 'nginx'))
  .find(existsSync)

const seconds = (directive: string, ms: number | undefined): string =>
  ms === undefined ? '' : `${directive} ${Math.ceil(ms / 1000)}s;`

/** nginx with the lines its documentation gives for a proxy with WebSockets; undefined where there is none. */
export const nginx: Contestant | undefined =
  nginxFile === undefined
    ? undefined
    : {
        name: 'nginx',
        async start(upstreamPort, { headTimeoutMs, bodyTimeoutMs, upstreamTimeoutMs, connections }) {
          const folder = mkdtempSync(join(tmpdir(), 'revproxy-hostile-'))
          const port = await freePort()
          for (const name of ['body', 'proxy', 'other']) mkdirSync(join(folder, name))
          writeFileSync(
            join(folder, 'nginx.conf'),
            `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr crit;
events { worker_connections ${connections === undefined ? 1024 : connections * 2 + 10}; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/other; uwsgi_temp_path ${folder}/other; scgi_temp_path ${folder}/other;
  ${seconds('client_header_timeout', headTimeoutMs)} ${seconds('client_body_timeout', bodyTimeoutMs)}
  ${seconds('proxy_read_timeout', upstreamTimeoutMs)}
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream there { server 127.0.0.1:${upstreamPort}; keepalive 8; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://there; proxy_http_version 1.1;
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }
  }
}
`,
          )
          const running = await run(
            nginxFile,
            ['-e', 'stderr', '-p', folder, '-c', join(folder, 'nginx.conf')],
            port,
          )
          return {
            ...running,
            async stop() {
              await running.stop()
              rmSync(folder, { recursive: true, force: true })
            },
          }
        },
      }

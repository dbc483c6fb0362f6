/** Who is measured: how each is started, and what it is set to do. */
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import { type Server, type ServerSpec, startServer } from './children.ts'
import { findProgram, packageVersion, programVersion } from './machine.ts'

/** The built program. */
export const program = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))
const packageRoot = fileURLToPath(new URL('../../..', import.meta.url))

/** Where everything that a run writes stands; removed at its end. */
export const temporary = mkdtempSync(join(tmpdir(), 'revproxy-bench-'))

/** What a contestant is started with. */
export interface Place {
  /** `http://127.0.0.1:port` of the upstream. */
  readonly upstream: string
  readonly core: number | undefined
  /** Where what it needs beside the upstream belongs. */
  readonly loadCore?: number | undefined
}

/** One server that answers. */
export interface Contestant {
  readonly name: string
  /** Left out, with a word, where it does not start or not do what is asked: it is here by chance. */
  readonly guest?: boolean
  start(place: Place): Promise<Server>
}

/** Rejects when `work` does, unless it is a guest's, whose part alone ends then: after a word, by `leave`. */
export const orLeaveOut = async (
  contestant: Contestant,
  work: () => Promise<void>,
  leave: (contestant: Contestant) => Promise<void> = async () => {},
): Promise<void> => {
  try {
    await work()
  } catch (error) {
    if (contestant.guest !== true) throw error
    console.log(`${contestant.name} is left out: ${(error as Error).message}\n`)
    await leave(contestant)
  }
}

const own = (name: string, args: readonly string[], core: number | undefined): ServerSpec => ({
  file: process.execPath,
  args: [fileURLToPath(new URL(`servers/${name}.js`, import.meta.url)), ...args],
  core,
  pattern: /listening on (\d+)/,
  ipc: true,
})

/** The yardstick, and the upstream of the others. */
export const bare: Contestant = {
  name: 'bare node:http',
  start: ({ core }) => startServer(own('bare', [], core)),
}

export const undiciPipe: Contestant = {
  name: `undici ${packageVersion('undici', packageRoot)}, careful pipe`,
  start: ({ upstream, core }) => startServer(own('undici-pipe', [upstream], core)),
}

/** WebSockets that send back what they get: the upstream of tunnels, and their yardstick. */
export const echo: Contestant = {
  name: 'ws, no proxy between',
  start: ({ core }) => startServer(own('ws-echo', [], core)),
}

const peerNames = ['httpxy', 'http-proxy-middleware', '@fastify/http-proxy'] as const
const isInstalled = (name: string): boolean => existsSync(join(packageRoot, 'node_modules', name))

/** Proxies for node that are there when somebody installed them: `npm install --no-save <name> …`. */
export const peers: readonly Contestant[] = peerNames.flatMap((name) => {
  if (!isInstalled(name)) return []
  return [
    {
      name: `${name} ${packageVersion(name, packageRoot)}`,
      guest: true,
      start: ({ upstream, core }) => startServer(own('peer', [name, upstream], core)),
    } satisfies Contestant,
  ]
})

export const httpProxy: Contestant = {
  name: `http-proxy ${packageVersion('http-proxy', packageRoot)}, keep-alive agent`,
  start: ({ upstream, core }) => startServer(own('http-proxy', [upstream], core)),
}

let lastLog = 0

/** Our program with these options; with its request lines in a file, or without. */
export const revproxy = (
  name: string,
  options: readonly string[],
  log: 'off' | 'file' = 'off',
): Contestant => ({
  name,
  start: ({ upstream, core }) =>
    startServer({
      file: process.execPath,
      args: [
        program,
        upstream,
        ...['--host', '127.0.0.1', '-p', '0', '--admin', 'off'],
        ...(log === 'off' ? ['--log', 'off'] : []),
        ...options,
      ],
      core,
      pattern: /listening\s+http:\/\/\S+:(\d+)/,
      ...(log === 'file' ? { stdoutFile: join(temporary, `requests-${++lastLog}.log`) } : {}),
    }),
})

const nginxFile = findProgram('nginx')
const varnishFile = findProgram('varnishd')

/** nginx with one worker; with its access log in a file, or without. undefined where there is none. */
export const nginx = (log: 'off' | 'file' = 'off'): Contestant | undefined =>
  nginxFile === undefined
    ? undefined
    : {
        guest: true,
        name: `nginx ${programVersion(nginxFile, '-v')}${log === 'file' ? ', access log' : ''}`,
        start: ({ upstream, core }) => startNginx(nginxFile, upstream, core, log),
      }

const startNginx = async (
  file: string,
  upstream: string,
  core: number | undefined,
  log: 'off' | 'file',
): Promise<Server> => {
  const folder = mkdtempSync(join(temporary, 'nginx-'))
  const port = await freePort()
  for (const name of ['cache', 'body', 'proxy', 'other']) mkdirSync(join(folder, name))
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log crit;
events { worker_connections 4096; }
http {
  access_log ${log === 'file' ? `${folder}/access.log` : 'off'};
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 120s;
  keepalive_requests 1000000000;
  open_file_cache max=100;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/other;
  uwsgi_temp_path ${folder}/other;
  scgi_temp_path ${folder}/other;
  proxy_cache_path ${folder}/cache keys_zone=all:10m;
  upstream target { server ${new URL(upstream).host}; keepalive 64; keepalive_requests 1000000000; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  server {
    listen 127.0.0.1:${port};
    location /pass/ { proxy_pass http://target; }
    location /hit/ { proxy_pass http://target; proxy_cache all; }
    location /storm/ { proxy_pass http://target; proxy_cache all; proxy_cache_lock on; }
  }
}
`,
  )
  const args = ['-p', folder, '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf')]
  return startServer({ file, args, core, port })
}

const caddyFile = findProgram('caddy')

/** Caddy as a plain reverse proxy. undefined where there is none. */
export const caddy: Contestant | undefined =
  caddyFile === undefined
    ? undefined
    : {
        guest: true,
        name: `Caddy ${programVersion(caddyFile, 'version')}`,
        async start({ upstream, core }) {
          const port = await freePort()
          const folder = mkdtempSync(join(temporary, 'caddy-'))
          const file = join(folder, 'Caddyfile')
          writeFileSync(
            file,
            `{\n\tadmin off\n\tauto_https off\n}\nhttp://127.0.0.1:${port} {\n\treverse_proxy ${new URL(upstream).host}\n}\n`,
          )
          // It writes down what it was told; `persist_config off` is not known to 2.6, which Debian has.
          const args = [`XDG_CONFIG_HOME=${folder}`, caddyFile, 'run', '--config', file]
          return startServer({ file: 'env', args, core, port })
        },
      }

/** Varnish with one pool of threads. undefined where there is none. */
export const varnish: Contestant | undefined =
  varnishFile === undefined
    ? undefined
    : {
        guest: true,
        name: `Varnish ${programVersion(varnishFile, '-V')}`,
        start: ({ upstream, core }) => startVarnish(varnishFile, upstream, core),
      }

const startVarnish = async (file: string, upstream: string, core: number | undefined): Promise<Server> => {
  const folder = mkdtempSync(join(temporary, 'varnish-'))
  const port = await freePort()
  const { hostname, port: upstreamPort } = new URL(upstream)
  writeFileSync(
    join(folder, 'default.vcl'),
    `vcl 4.1;
backend default { .host = "${hostname}"; .port = "${upstreamPort}"; }
sub vcl_recv { if (req.url ~ "^/pass/") { return (pass); } }
`,
  )
  return startServer({
    file,
    args: [
      ...['-F', '-j', 'none', '-n', folder, '-f', join(folder, 'default.vcl')],
      ...['-a', `127.0.0.1:${port}`, '-T', 'none', '-s', 'malloc,64m'],
      ...['-p', 'thread_pools=1', '-p', 'thread_pool_min=40'],
    ],
    core,
    port,
  })
}

const squidFile = findProgram('squid')

/** Squid with one process and all that it keeps in memory. undefined where there is none. */
export const squid: Contestant | undefined =
  squidFile === undefined
    ? undefined
    : {
        guest: true,
        name: `Squid ${programVersion(squidFile, '-v')}`,
        start: ({ upstream, core }) => startSquid(squidFile, upstream, core),
      }

const startSquid = async (file: string, upstream: string, core: number | undefined): Promise<Server> => {
  const folder = mkdtempSync(join(temporary, 'squid-'))
  const port = await freePort()
  const { hostname, host, port: upstreamPort } = new URL(upstream)
  // Started by root it goes on as another user, who may not write where we do: so nothing is written.
  writeFileSync(
    join(folder, 'squid.conf'),
    `http_port 127.0.0.1:${port} accel defaultsite=${host}
cache_peer ${hostname} parent ${upstreamPort} 0 no-query no-digest originserver
http_access allow all
cache_mem 64 MB
maximum_object_size_in_memory 200 KB
collapsed_forwarding on
visible_hostname localhost
access_log none
cache_log /dev/null
pid_filename none
coredump_dir none
pinger_enable off
shutdown_lifetime 0 seconds
`,
  )
  return startServer({ file, args: ['-N', '-d', '1', '-f', join(folder, 'squid.conf')], core, port })
}

const redisFile = findProgram('redis-server')

/** A Redis that keeps nothing; undefined where there is none. */
export const startRedis = async (core: number | undefined): Promise<Server | undefined> => {
  if (redisFile === undefined) return undefined
  const port = await freePort()
  return startServer({
    file: redisFile,
    args: [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      temporary,
    ],
    core,
    port,
  })
}

/** What is missing here, in words. */
export const missing: readonly string[] = [
  ...(nginxFile === undefined ? ['nginx'] : []),
  ...(varnishFile === undefined ? ['varnishd'] : []),
  ...(squidFile === undefined ? ['squid'] : []),
  ...(redisFile === undefined ? ['redis-server'] : []),
  ...(caddyFile === undefined ? ['Caddy'] : []),
  ...peerNames.filter((name) => !isInstalled(name)),
  ...(findProgram('wrk') === undefined ? ['wrk'] : []),
  ...(findProgram('taskset') === undefined ? ['taskset'] : []),
]

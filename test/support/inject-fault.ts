/** Loaded before the program (`--import`): does what a mistake in it would do, at the moment that FAULT names. */
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'

const mistake = (what: string): Error => new TypeError(`injected: ${what}`)

switch (process.env.FAULT) {
  case 'start':
    http.createServer = () => {
      throw mistake('at the start')
    }
    syncBuiltinESMExports()
    break
  case 'start, uncaught': {
    const { createServer } = http
    http.createServer = ((...args: Parameters<typeof createServer>) => {
      process.nextTick(() => {
        throw mistake('behind the start')
      })
      return createServer(...args)
    }) as typeof createServer
    syncBuiltinESMExports()
    break
  }
  case 'running':
    process.on('SIGUSR2', () => {
      setImmediate(() => {
        throw mistake('nobody catches this')
      })
      void Promise.reject(mistake('nobody waits for this'))
    })
    break
}

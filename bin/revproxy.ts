#!/usr/bin/env node
import module from 'node:module'

// What was compiled is kept in the system's temporary folder for the next start: 10 to 15 % less of it. Node >= 22.1 has
// that, and NODE_DISABLE_COMPILE_CACHE=1 turns it off.
const { enableCompileCache } = module as { enableCompileCache?: () => unknown }
enableCompileCache?.()

const { main } = await import('../src/cli/program.ts')
const code = await main(process.argv.slice(2))
// What was printed may have been lost meanwhile.
process.exitCode ||= code
// A connection or timer that was left open must not keep a program alive that is over.
setTimeout(() => process.exit(), 3000).unref()

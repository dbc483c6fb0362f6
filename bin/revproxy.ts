#!/usr/bin/env node
import { main } from '../src/cli/program.ts'

process.exitCode = await main(process.argv.slice(2))
// A connection or timer that was left open must not keep a program alive that is over.
setTimeout(() => process.exit(), 3000).unref()

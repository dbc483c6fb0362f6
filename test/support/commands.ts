/** `revproxy trace`, `traces` and `top` alone, as a program to spawn. */
import { Command } from 'commander'
import { addTopCommand } from '../../src/cli/top.ts'
import { addTraceCommand } from '../../src/cli/trace.ts'

let run: (() => Promise<number>) | undefined
const program = new Command('revproxy').exitOverride()
const set = (work: () => Promise<number>): void => {
  run = work
}
addTraceCommand(program, process.env, set)
addTopCommand(program, process.env, set)
await program.parseAsync(process.argv.slice(2), { from: 'user' })
process.exitCode = await run?.()

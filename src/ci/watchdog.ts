/**
 * Ends processes when we cannot: a shell of a few lines that reads a pipe of ours. When the pipe closes without a
 * goodbye (SIGKILL, out of memory, a crash), it ends what it was told of.
 */
import { spawn } from 'node:child_process'

/** A process that watches over us. */
export interface Watchdog {
  /** This process is to be ended with us; with a minus, all of its group. */
  watch(pid: number): void
  /** It has ended. */
  forget(pid: number): void
  /** We have ended everything ourselves. */
  dismiss(): void
}

/** TERM, up to 2 s, KILL. Signals that end us by name must not end it too. */
const SCRIPT = `
trap '' INT TERM HUP
pids=' '
while read -r word pid; do
  case $word in
    watch) pids="$pids$pid " ;;
    forget) case $pids in *" $pid "*) pids="\${pids%% $pid *} \${pids#* $pid }" ;; esac ;;
    done) exit 0 ;;
  esac
done
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
left=20
while [ $left -gt 0 ]; do
  alive=
  for pid in $pids; do kill -0 "$pid" 2>/dev/null && alive=yes; done
  [ -z "$alive" ] && exit 0
  sleep 0.1
  left=$((left - 1))
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
`

/** Starts one, in a session of its own so that what is sent to our group passes it by. None on Windows. */
export const startWatchdog = (): Watchdog => {
  if (process.platform === 'win32') return { watch() {}, forget() {}, dismiss() {} }
  const dog = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  // Without a shell there is nothing to be done; our own ending of the groups is what counts then.
  dog.on('error', () => {})
  dog.stdin.on('error', () => {})
  dog.unref()
  return {
    watch: (pid) => void dog.stdin.write(`watch ${pid}\n`),
    forget: (pid) => void dog.stdin.write(`forget ${pid}\n`),
    dismiss: () => void dog.stdin.end('done\n'),
  }
}

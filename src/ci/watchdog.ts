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

/**
 * TERM, up to 2 s, KILL; to what we were told of and all that descends from it, whatever groups that has made. Signals
 * that end us by name must not end this too. Of the system it needs /proc, or ps where there is none.
 */
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
# Process, parent and group of all that run. In /proc the name of the program stands in parentheses (proc(5)).
table() {
  if [ -r /proc/self/stat ]; then
    for file in /proc/[0-9]*/stat; do
      read -r line < "$file" || continue
      pid=\${line%% *}
      set -- \${line##*) }
      [ "$1" = Z ] || echo "$pid $2 $3"
    done
  else
    ps -A -o pid= -o ppid= -o pgid=
  fi
}
found=' '
look() {
  all=$(table)
  before=
  while [ "$before" != "$found" ]; do
    before=$found
    while read -r pid parent group; do
      case $found in *" $pid "*) continue ;; esac
      case $pids in *" $pid "* | *" -$group "*) found="$found$pid "; continue ;; esac
      case $found in *" $parent "*) found="$found$pid " ;; esac
    done <<END
$all
END
  done
}
look
for pid in $found; do kill -TERM "$pid"; done
left=20
while [ $left -gt 0 ]; do
  alive=
  for pid in $found; do kill -0 "$pid" && alive=yes; done
  if [ -z "$alive" ]; then
    known=$found
    look
    [ "$known" = "$found" ] && exit 0
  fi
  sleep 0.1
  left=$((left - 1))
done
look
for pid in $pids $found; do kill -KILL "$pid"; done
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

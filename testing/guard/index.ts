/**
 * Child processes of a test or a benchmark.
 *
 * Invariant: none of them outlives the process that started them, however that one ends, nor does their folder. The guard (a
 * shell, in a process group of its own) reads a pipe from us; the pipe's end, which the kernel brings about also after
 * kill -9, makes it kill what it was last told of and remove the folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** $0 is the folder, or nothing. A process that is being killed may still write: hence the second removal. */
const script = `
pids=
while read -r line; do pids=$line; done
[ -z "$pids" ] || kill -9 $pids
[ -z "$0" ] || rm -rf -- "$0" || { sleep 1; rm -rf -- "$0"; }
`

export class Guard {
  readonly #shell: ChildProcess
  readonly #running = new Set<ChildProcess>()

  /** @param folder removed with the processes; none where it is '' */
  constructor(folder = '') {
    this.#shell = spawn('/bin/sh', ['-c', script, folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
    this.#shell.unref()
  }

  /** Those that have been given to it and have not ended. */
  get running(): ReadonlySet<ChildProcess> {
    return this.#running
  }

  watch(child: ChildProcess): void {
    this.#running.add(child)
    this.#tell()
    const gone = (): void => {
      this.#running.delete(child)
      this.#tell()
    }
    child.once('exit', gone)
    child.once('error', gone)
  }

  /** Once nothing is left to guard. */
  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return
    const ended = once(this.#shell, 'exit')
    this.#shell.ref()
    this.#shell.stdin?.end()
    await ended
  }

  #tell(): void {
    const pids = [...this.#running].flatMap(({ pid }) => pid ?? [])
    if (this.#shell.stdin?.writable) this.#shell.stdin.write(`${pids.join(' ')}\n`)
  }
}

/** Whether there is such a process. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Service processes of a test: none of them, and no file of theirs, outlives the process that started them (guard/). */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Guard } from '../guard/index.js'

const logCharsShown = 4_000
const pollMs = 25

export interface StartedProcess {
  /** Sends the signal; for those that end a process, resolves when it has ended. */
  signal(signal: NodeJS.Signals): Promise<void>
  readonly isRunning: () => boolean
}

/** A folder below the system's temporary one, and the processes that work in it. */
export class GuardedFolder {
  readonly path: string
  readonly #guard: Guard

  static async create(prefix: string): Promise<GuardedFolder> {
    return new GuardedFolder(await mkdtemp(join(tmpdir(), prefix)))
  }

  private constructor(path: string) {
    this.path = path
    this.#guard = new Guard(path)
  }

  /**
   * Starts a process that writes to a file in the folder, and waits until it is ready.
   * @param options.isReady asked every few milliseconds with what was written so far
   * @throws Error with the end of what it wrote when it ends, or is not ready in time
   */
  async start(
    command: string,
    args: readonly string[],
    options: {
      name: string
      env?: NodeJS.ProcessEnv
      readyMsMax: number
      isReady: (output: string) => boolean | Promise<boolean>
    },
  ): Promise<StartedProcess> {
    const logPath = join(this.path, `${options.name}.log`)
    const log = openSync(logPath, 'w')
    const child = spawn(command, args, {
      cwd: this.path,
      env: options.env ?? process.env,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#guard.watch(child)
    const giveUpAt = performance.now() + options.readyMsMax
    while (!(await options.isReady(readFileSync(logPath, 'utf8')))) {
      if (!this.#guard.running.has(child) || performance.now() > giveUpAt) {
        await this.#end(child, 'SIGKILL')
        const output = readFileSync(logPath, 'utf8').slice(-logCharsShown)
        throw new Error(`${options.name} did not become ready within ${options.readyMsMax} ms:\n${output}`)
      }
      await new Promise(resolve => setTimeout(resolve, pollMs))
    }
    return {
      signal: async signal => {
        if (signal === 'SIGSTOP' || signal === 'SIGCONT') child.kill(signal)
        else await this.#end(child, signal)
      },
      isRunning: () => this.#guard.running.has(child),
    }
  }

  /**
   * Runs a command to its end.
   * @param options.stdoutTo a file that takes its output, in the place of `stdout`: a string ends at half a gigabyte
   * @throws Error when it takes longer than `msMax`
   */
  async run(
    command: string,
    args: readonly string[],
    options: { stdin: string; msMax: number; stdoutTo?: string },
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const out = options.stdoutTo === undefined ? 'pipe' : openSync(options.stdoutTo, 'w')
    const child = spawn(command, args, { cwd: this.path, stdio: ['pipe', out, 'pipe'] })
    if (typeof out === 'number') closeSync(out)
    this.#guard.watch(child)
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, options.msMax)
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', text => {
      stdout += text
    })
    child.stderr!.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    const stdin = child.stdin!
    stdin.on('error', error => {
      // A command that ends before it has read everything; its exit code tells.
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    })
    stdin.end(options.stdin)
    const [code] = (await once(child, 'close')) as [number | null]
    clearTimeout(timer)
    if (code === null) {
      const why = timedOut ? `did not end within ${options.msMax} ms` : `was ended by ${child.signalCode}`
      throw new Error(`${args.join(' ')} ${why}:\n${stdout.slice(-logCharsShown)}\n${stderr.slice(-logCharsShown)}`)
    }
    return { code, stdout, stderr }
  }

  /** Ends every process and removes the folder. */
  async close(): Promise<void> {
    await Promise.all([...this.#guard.running].map(child => this.#end(child, 'SIGKILL')))
    rmSync(this.path, { recursive: true, force: true })
    await this.#guard.close()
  }

  async #end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (!this.#guard.running.has(child)) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

/** Whether a GET is answered with success: for `isReady`. */
export async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    // nobody listens yet
    return false
  }
}

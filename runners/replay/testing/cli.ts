/** The `weir` command as its users have it: a process of its own, run from the build that the test was built into. */
import { type ChildProcess, spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export interface Ended {
  /** null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

const mainUrl = pathToFileURL(join(import.meta.dirname, '../../cli/main.js')).href
const script = `const { main } = await import(${JSON.stringify(mainUrl)}); process.exitCode = await main(process.argv.slice(1))`

export interface StartOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

export function startWeir(args: readonly string[], options: StartOptions = {}): Running {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    // With brokers in the environment the clients of `weir up` would speak to Kafka.
    env: { ...process.env, WEIR_KAFKA_BROKERS: undefined, ...options.env, NODE_TEST_CONTEXT: undefined },
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) =>
      resolve({ code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    )
  })
  return { child, ended }
}

/** Runs `weir` to its end. */
export function weir(args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return startWeir(args, options).ended
}

/** Size of a file in bytes; 0 while it does not exist. */
export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

const pollMs = 2

/**
 * Sends the signal once `due` says so, unless the process has ended before.
 * @returns how it ended
 */
export async function signalWhen(running: Running, signal: NodeJS.Signals, due: () => boolean): Promise<Ended> {
  let over = false
  const watched = running.ended.finally(() => {
    over = true
  })
  while (!over && !due()) await new Promise(resolve => setTimeout(resolve, pollMs))
  if (!over) running.child.kill(signal)
  return watched
}

/** The error line of a command that failed: the last line of stderr, `CODE: what; what to do`. */
export const errorLine = (ended: Ended): string => ended.stderr.trimEnd().split('\n').at(-1) ?? ''

export const errorShape = /^[A-Z][A-Z_]+: .+; .+$/

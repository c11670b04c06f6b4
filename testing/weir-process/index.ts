/**
 * `weir up`, `weir worker` and `weir edge` as child processes that can be killed without warning; none outlives the process that
 * started it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { repositoryFile } from '../../kernel/index.js'
import { Guard } from '../guard/index.js'

const readyMsMax = 120_000

/** A process that may not be ready, or not become it. */
export interface LaunchedWeir {
  readonly url: string
  readonly pid: number
  /** SIGKILL, and gone when it resolves. */
  kill(): Promise<void>
  /** SIGTERM: drains. @returns exit code */
  stop(): Promise<number | null>
  /** Sends a signal and waits for nothing. */
  signal(signal: NodeJS.Signals): void
  /** null while it runs. */
  exitCode(): number | null
  /** What it wrote to stderr, the last 16 KB. */
  readonly stderr: () => string
}

export interface WeirProcess extends LaunchedWeir {
  /** From the start of the process until /readyz says ready. */
  readonly readyMs: number
}

export interface KafkaProcessOptions {
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** @throws Error with its stderr when it does not become ready */
export function startWeir(dataDir: string, port: number, flags: readonly string[] = []): Promise<WeirProcess> {
  return start(['up', '--data-dir', dataDir, '--port', String(port), ...flags], port, {})
}

/**
 * Ready means: it has joined the group, and every slot that it was given runs.
 * @throws Error with its stderr when it does not become ready
 */
export function startWorker(
  brokers: readonly string[],
  dataDir: string,
  port: number,
  options: KafkaProcessOptions = {},
): Promise<WeirProcess> {
  return start(argsOf('worker', dataDir, port, options), port, envOf(brokers, options))
}

/** Waits for nothing. */
export function launchWorker(
  brokers: readonly string[],
  dataDir: string,
  port: number,
  options: KafkaProcessOptions = {},
): LaunchedWeir {
  return launch(argsOf('worker', dataDir, port, options), port, envOf(brokers, options))
}

/** Ready means: Kafka answers, and it waits for replies. */
export function startEdge(
  brokers: readonly string[],
  dataDir: string,
  port: number,
  options: KafkaProcessOptions = {},
): Promise<WeirProcess> {
  return start(argsOf('edge', dataDir, port, options), port, envOf(brokers, options))
}

/** Waits for nothing. */
export function launchEdge(
  brokers: readonly string[],
  dataDir: string,
  port: number,
  options: KafkaProcessOptions = {},
): LaunchedWeir {
  return launch(argsOf('edge', dataDir, port, options), port, envOf(brokers, options))
}

const argsOf = (
  verb: string,
  dataDir: string,
  port: number,
  { flags = [] }: KafkaProcessOptions,
): readonly string[] => [...[verb, '--data-dir', dataDir, '--port', String(port)], ...flags]

const envOf = (brokers: readonly string[], { env }: KafkaProcessOptions): Readonly<Record<string, string>> => ({
  WEIR_KAFKA_BROKERS: brokers.join(','),
  ...env,
})

async function start(
  verb: readonly string[],
  port: number,
  env: Readonly<Record<string, string>>,
): Promise<WeirProcess> {
  const startedAt = performance.now()
  const launched = launch(verb, port, env)
  while (!(await isReady(launched.url))) {
    if (launched.exitCode() !== null || performance.now() - startedAt > readyMsMax) {
      await launched.kill()
      throw new Error(`weir ${verb[0]} did not become ready: ${launched.stderr()}`)
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return { ...launched, readyMs: performance.now() - startedAt }
}

const script = repositoryFile('scripts/weir.mjs')
const [shebang] = readFileSync(script, 'utf8').split('\n', 1) as [string]
/** Arguments of node that make it the `weir` command: the flags of its first line and the script. */
export const weirScript: readonly string[] = [...shebang.split(' ').slice(3), script]

let guard: Guard | undefined

function launch(verb: readonly string[], port: number, env: Readonly<Record<string, string>>): LaunchedWeir {
  const args = [...weirScript, ...verb]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } })
  guard ??= new Guard()
  guard.watch(child)
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-16_384)
  })
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    signal: signal => void child.kill(signal),
    kill: async () => {
      await end(child, 'SIGKILL')
    },
    stop: () => end(child, 'SIGTERM'),
    exitCode: () => child.exitCode,
    stderr: () => stderr,
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
  return child.exitCode
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`)).status === 200
  } catch {
    // nobody listens yet
    return false
  }
}

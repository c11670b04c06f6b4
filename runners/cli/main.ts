/**
 * The `weir` command. Exit codes: 0 done, 1 failed, 2 wrong usage. Errors are one line, `CODE: what; what to do`;
 * the stack only with --debug. When the reader of stdout goes away (`weir decisions | head`) the verb is stopped as by
 * Ctrl-C, nothing more is printed, and the exit code is 0.
 */
import { isWeirError, messageOf } from '../../kernel/index.js'
import { stdoutIsGone, watchStdout, writeToStdout } from './stdout.js'
import type { Verb, VerbIo } from './verb.js'

/** Verbs are loaded when they are called: `weir --help` must not wait for ONNX Runtime. */
const verbs: Readonly<Record<string, { summary: string; load: () => Promise<Verb> }>> = {
  up: { summary: 'all in one process, on the embedded log', load: async () => (await import('./up.js')).upVerb },
  worker: {
    summary: 'runs slots of the Kafka deployment, as a member of its group',
    load: async () => (await import('./worker.js')).workerVerb,
  },
  edge: {
    summary: 'the HTTP edge of the Kafka deployment',
    load: async () => (await import('./edge.js')).edgeVerb,
  },
  topics: {
    summary: 'creates and verifies the Kafka topics of a deployment',
    load: async () => (await import('./topics.js')).topicsVerb,
  },
  rescale: {
    summary: 'another number of slots, or another version, for a Kafka deployment',
    load: async () => (await import('./rescale.js')).rescaleVerb,
  },
  checkpoint: {
    summary: 'lists, verifies and restores checkpoints of state',
    load: async () => (await import('./checkpoint.js')).checkpointVerb,
  },
  replay: {
    summary: 'backtest: run the topology over a file',
    load: async () => (await import('./replay.js')).replayVerb,
  },
  generate: {
    summary: 'simulated transactions, seeded',
    load: async () => (await import('./generate.js')).generateVerb,
  },
  describe: {
    summary: 'the topology as text, mermaid or JSON',
    load: async () => (await import('./describe.js')).describeVerb,
  },
  produce: {
    summary: 'sends a file of transactions to Kafka or a running Weir',
    load: async () => (await import('./produce.js')).produceVerb,
  },
  decisions: {
    summary: 'follows the decisions on Kafka or of a running Weir as NDJSON',
    load: async () => (await import('./decisions.js')).decisionsVerb,
  },
  deadletter: {
    summary: 'lists records on Kafka that became no decision, and sends them again',
    load: async () => (await import('./deadletter.js')).deadletterVerb,
  },
  state: {
    summary: 'what a step of a running Weir keeps of a key',
    load: async () => (await import('./state.js')).stateVerb,
  },
  explain: {
    summary: 'one decision in words',
    load: async () => (await import('./explain.js')).explainVerb,
  },
  doctor: {
    summary: 'checks what Weir needs: Node.js, port, disk, clock, model',
    load: async () => (await import('./doctor.js')).doctorVerb,
  },
  config: {
    summary: 'the effective configuration, secrets masked',
    load: async () => (await import('./config.js')).configVerb,
  },
}

function usage(): string {
  const lines = Object.entries(verbs).map(([name, verb]) => `  ${name.padEnd(12)} ${verb.summary}`)
  return `usage: weir VERB [--help] [flags]\n\n${lines.join('\n')}\n\nflags of every verb: --help, --debug (stack traces)\n`
}

/** @param argv without node and script */
export async function main(argv: readonly string[]): Promise<number> {
  const debug = argv.includes('--debug')
  const args = argv.filter(arg => arg !== '--debug')
  const [name, ...rest] = args
  const out = (text: string): void => void process.stdout.write(text)
  const err = (text: string): void => void process.stderr.write(text)
  if (name === undefined || name === '--help' || name === 'help') {
    const to = name === undefined ? err : out
    to(usage())
    return name === undefined ? 2 : 0
  }
  const found = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (found === undefined) {
    err(`USAGE: no verb '${name}'; see weir --help\n`)
    return 2
  }
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  watchStdout(stop)
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const io: VerbIo = {
    out,
    write: writeToStdout,
    err,
    interactive: process.stderr.isTTY === true,
    signal: controller.signal,
  }
  try {
    const verb = await found.load()
    if (rest.includes('--help')) {
      out(verb.help)
      return 0
    }
    return await verb.run(rest, io)
  } catch (error) {
    if (stdoutIsGone()) return 0
    err(`${oneLine(error)}\n`)
    if (debug && error instanceof Error)
      err(`${error.stack}\n${error.cause instanceof Error ? error.cause.stack : ''}\n`)
    return isWeirError(error, 'USAGE') ? 2 : 1
  } finally {
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
}

/** Also where the message quotes a file or a path that holds line breaks. */
function oneLine(error: unknown): string {
  const text = isWeirError(error)
    ? error.message
    : `INTERNAL_ERROR: ${messageOf(error)}; this is a bug of Weir: run again with --debug and report it`
  return text.replaceAll(/[\r\n\u2028\u2029]+/g, ' ')
}

/**
 * Sends a file of transactions to a running Weir and counts what became of each line.
 *
 * Invariants: 1. every line ends as one thing: lines = blank_lines + malformed + sent, and
 * sent = decided + pending + repeated + conflicts + rejected + failed, when the whole file was read; whatever is not
 * decided, pending or repeated is reported with its line, those aside that the error which stops the run stands for; 2. the transactions of one customer are sent in the order of the
 * file, each after the answer to the one before; 3. a label follows the answer to its transaction, as in a replay, and only
 * when that answer was the first.
 */
import { assertNever } from '../../kernel/index.js'
import {
  type ArrivedTransaction,
  encodeLabelJson,
  encodeTransactionJson,
  knownLabel,
} from '../../schemas/avro/index.js'
import { errorOf, type WeirClient } from './client.js'
import { InputFile, type InputJob, interrupted, withoutLabel } from './input.js'
import { Lanes } from './lanes.js'
import { Pace } from './pace.js'
import { Sender } from './send.js'

export interface ProduceJob extends InputJob {
  /** Requests under way at once. */
  readonly concurrency: number
  /** Transactions a second, at most; undefined: as fast as Weir takes them. */
  readonly perSecond: number | undefined
}

export interface ProduceIo {
  readonly client: WeirClient
  readonly signal: AbortSignal
  /** A line for people: what became of a record that was not decided. */
  readonly report: (line: string) => void
  readonly progress: (doneBytes: number, totalBytes: number, records: number) => void
  /** Any clock that only goes forward, ms. */
  readonly nowMs: () => number
}

const outcomes = ['decided', 'pending', 'repeated', 'conflicts', 'rejected', 'failed'] as const
type Outcome = (typeof outcomes)[number]

export type ProduceSummary = Readonly<
  Record<Outcome | 'lines' | 'blank_lines' | 'malformed' | 'sent' | 'labels' | 'labels_failed', number>
>
type Counts = { -readonly [K in keyof ProduceSummary]: number }

export interface ProduceOutcome {
  readonly summary: ProduceSummary
  /** What stopped it before the end of the file; undefined when nothing did. */
  readonly stopped: unknown
}

interface Item {
  /** Physical, 1-based. */
  readonly line: number
  readonly body: Uint8Array
  /** JSON of the label that the file knows; null where it knows none. */
  readonly label: Uint8Array | null
}

/** Longer than the edge waits by default: here nobody is in a hurry, and `decided` says more than `pending`. */
const deadlineMs = 10_000

/** @throws WeirError INPUT_UNREADABLE, INVALID_CURRENCY before anything is sent */
export async function produce(job: ProduceJob, io: ProduceIo): Promise<ProduceOutcome> {
  const file = await InputFile.open(job)
  const counts = noCounts()
  const sender = new Sender(io.client, io.signal)
  const lanes = new Lanes<Item>(job.concurrency, item => {
    io.signal.throwIfAborted()
    return deliver(item, sender, counts, io.report)
  })
  const pace = new Pace(job.perSecond, io)
  try {
    for await (const run of file.runs(counts, io.report)) {
      io.signal.throwIfAborted()
      for (const { line, record, bytes } of run) {
        await pace.next()
        // a line of Weir's own JSON goes out as it came: the server makes tokens of cards, with its own key
        const body = file.isOwnJson ? Buffer.from(bytes) : encodeTransactionJson(withoutLabel(record))
        await lanes.put(record.customer_id, { line, body, label: labelOf(record) })
      }
      io.progress(file.bytesRead, file.bytesTotal, counts.lines)
    }
    await lanes.drain()
    return { summary: counts, stopped: undefined }
  } catch (error) {
    // those under way end first: what they became is counted
    await lanes.drain().catch(() => {})
    return { summary: counts, stopped: io.signal.aborted ? interrupted(counts) : error }
  } finally {
    await file.close()
  }
}

async function deliver(item: Item, sender: Sender, counts: Counts, report: ProduceIo['report']): Promise<void> {
  counts.sent++
  const tell = (what: string): void => report(`line ${item.line}: ${what}`)
  let outcome: Outcome = 'failed'
  try {
    outcome = await sendTransaction(item, sender, tell)
  } finally {
    counts[outcome]++
  }
  if (item.label === null || (outcome !== 'decided' && outcome !== 'pending')) return
  const { reply } = await sender.send('/v1/labels', item.label)
  if (reply.kind === 'accepted') counts.labels++
  else {
    counts.labels_failed++
    tell(`its label: ${errorOf(reply.refusal).message}`)
  }
}

async function sendTransaction(item: Item, sender: Sender, tell: (what: string) => void): Promise<Outcome> {
  const { reply, triedBefore } = await sender.send(`/v1/decisions?deadline_ms=${deadlineMs}`, item.body)
  switch (reply.kind) {
    case 'accepted':
      if (reply.reply.status === 202) return 'pending'
      return reply.reply.headers['weir-repeated'] === 'true' && !triedBefore ? 'repeated' : 'decided'
    case 'refused': {
      const { status, code } = reply.refusal
      tell(errorOf(reply.refusal).message)
      if (code === 'IDEMPOTENCY_MISMATCH') return 'conflicts'
      if (code === 'DECISION_EXPIRED') return 'repeated'
      return code !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429
        ? 'rejected'
        : 'failed'
    }
    default:
      return assertNever(reply)
  }
}

function labelOf(t: ArrivedTransaction): Uint8Array | null {
  const label = knownLabel(t)
  return label && encodeLabelJson(label)
}

function noCounts(): Counts {
  const of = Object.fromEntries(outcomes.map(outcome => [outcome, 0])) as Record<Outcome, number>
  return { lines: 0, blank_lines: 0, malformed: 0, sent: 0, ...of, labels: 0, labels_failed: 0 }
}

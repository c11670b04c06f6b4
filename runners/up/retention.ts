/**
 * Retention of the embedded log: what is older than its topic keeps goes, from the head, by the log's own timestamps.
 *
 * Invariants:
 * 1. Nothing that a recovery could need goes: inputs and journal only below what the store on disk reflects. Store and log
 *    are one database whose write-ahead log is a prefix, and a trim begins with a synchronous write: what was trimmed is
 *    never gone after a power cut that took the write-back with it.
 * 2. The journal keeps its last record: the one that the store reflects stays.
 * 3. No pointer dangles: the decision view forgets a decision before the log does.
 * 4. I6: a step reads at most `stepRecords` and then pauses, so that epochs do not wait for a backlog; one round at a time.
 */
import { repeatsTopicOf } from '../../fraud/index.js'
import { type Clock, type DurationMs, millis } from '../../kernel/index.js'
import {
  type Log,
  type LogTrimmer,
  type Offset,
  offset,
  type RecordBatch,
  type TopicPartition,
} from '../../log/index.js'
import type { Reflected } from '../slot/index.js'
import type { DecisionView } from './view.js'

/** How long topics are kept; Infinity: for ever. */
export interface RetentionTimes {
  readonly transactions: DurationMs
  readonly labels: DurationMs
  /** At least the dedupe horizon. */
  readonly decisions: DurationMs
  readonly provisional: DurationMs
  readonly deadLetters: DurationMs
}

export function retentionRules(keep: RetentionTimes, view: DecisionView, app: string): readonly RetentionRule[] {
  return [
    { topic: 'transactions', keepMs: keep.transactions, isInput: true },
    { topic: 'labels', keepMs: keep.labels, isInput: true },
    // They are the transactions once more.
    { topic: repeatsTopicOf(app), keepMs: keep.transactions },
    { topic: 'decisions', keepMs: keep.decisions, beforeTrim: (batch, count) => view.forget(batch, count) },
    { topic: 'decisions.provisional', keepMs: keep.provisional },
    { topic: 'transactions.dead-letter', keepMs: keep.deadLetters },
  ]
}

/** Of one topic of one partition. */
export interface RetentionRule {
  readonly topic: string
  /** Infinity: for ever. */
  readonly keepMs: DurationMs
  /** The slot folds it: it goes only below what the store reflects. */
  readonly isInput?: true
  /** Told of records that are about to go: the first `count` of the batch. */
  readonly beforeTrim?: (batch: RecordBatch, count: number) => Promise<void>
}

export interface RetentionParts {
  readonly log: Log & LogTrimmer
  readonly clock: Clock
  readonly rules: readonly RetentionRule[]
  readonly journal: TopicPartition
  readonly reflected: () => Reflected | undefined
  /** True once no further step must begin. */
  readonly stopped: () => boolean
}

const stepRecords = 1_024
const stepBytes = 2 << 20
const pauseMs = millis(5)
/** Records between two trims: each is a synchronous write. */
const trimRecords = 8_192
/** Records of the journal that go at a time. */
const journalStep = 65_536n

/** Trims all that is due. @throws WeirError as the log does; what was trimmed until then is */
export async function trimWhatIsDue(parts: RetentionParts): Promise<void> {
  for (const rule of parts.rules) {
    while (!parts.stopped() && (await trimSome(parts, rule)));
  }
  await trimJournal(parts)
}

/** Up to `trimRecords`. @returns whether there may be more */
async function trimSome(parts: RetentionParts, rule: RetentionRule): Promise<boolean> {
  const { log, clock } = parts
  const at = { topic: rule.topic, partition: 0 }
  const end = await endOfTrim(parts, rule)
  const { earliest } = await log.range(at)
  if (end <= earliest) return false
  const olderThanMs = clock.nowMs() - rule.keepMs
  const reader = await log.reader([{ ...at, offset: earliest }])
  let to: bigint = earliest
  try {
    while (!parts.stopped() && to < end && to - earliest < trimRecords) {
      const batches = await reader.poll({ recordsMax: stepRecords, bytesMax: stepBytes, waitMsMax: millis(0) })
      const goneTo = await prepare(rule, batches, olderThanMs, end)
      if (goneTo !== undefined) to = goneTo
      if (to !== reader.positions()[0]!.offset || batches.length === 0) break
      await clock.sleep(pauseMs)
    }
  } finally {
    await reader.close()
  }
  if (to === earliest) return false
  await log.trim({ ...at, offset: offset(to) })
  return to - earliest >= trimRecords
}

/** Tells of what is about to go. @returns the offset up to which it may; undefined for nothing */
async function prepare(
  rule: RetentionRule,
  batches: readonly RecordBatch[],
  olderThanMs: number,
  end: bigint,
): Promise<bigint | undefined> {
  let to: bigint | undefined
  for (const batch of batches) {
    const count = olderPrefix(batch, olderThanMs, end)
    if (count === 0) break
    await rule.beforeTrim?.(batch, count)
    to = count < batch.count ? batch.baseOffset + BigInt(batch.offsetDelta[count]!) : batch.nextOffset
    if (count < batch.count) break
  }
  return to
}

/** The offset that no trim goes past. */
async function endOfTrim({ log, reflected }: RetentionParts, rule: RetentionRule): Promise<bigint> {
  if (!Number.isFinite(rule.keepMs)) return 0n
  if (rule.isInput !== true) return (await log.range({ topic: rule.topic, partition: 0 })).latest
  return BigInt(reflected()?.positions.find(at => at.topic === rule.topic)?.offset ?? 0)
}

/** Records from the batch's first that are older and lie below `end`. A clock that was set back keeps some longer. */
function olderPrefix(batch: RecordBatch, olderThanMs: number, end: bigint): number {
  const { baseOffset, offsetDelta, timestampMs } = batch
  let count = 0
  while (count < batch.count && timestampMs![count]! < olderThanMs && baseOffset + BigInt(offsetDelta[count]!) < end) {
    count++
  }
  return count
}

async function trimJournal({ log, clock, journal, reflected, stopped }: RetentionParts): Promise<void> {
  while (!stopped()) {
    const { earliest } = await log.range(journal)
    const end = reflected()?.journal ?? (0n as Offset)
    if (end <= earliest) return
    const to = end - earliest > journalStep ? earliest + journalStep : end
    await log.trim({ ...journal, offset: offset(to) })
    await clock.sleep(pauseMs)
  }
}

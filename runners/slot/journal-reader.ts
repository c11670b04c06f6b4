/**
 * Reading the journal: from any of its records to its end, or on and on, or one record.
 *
 * Invariant: of two records that are handed out one after the other, the second names the hash of the first.
 */
import { type DurationMs, defined, sha256Hex, WeirError } from '../../kernel/index.js'
import type { Log, LogReader, Offset, RecordBatch, TopicPartition } from '../../log/index.js'
import { epochOf, type JournalRecord, journalCorrupt, parseJournalRecord, planOf } from './journal.js'
import { pollExpected } from './poll.js'

/** A record of the journal. */
export interface Link {
  readonly record: JournalRecord
  readonly hash: string
  readonly at: Offset
  /** When the log took it, ms since the epoch; NaN where it has no clock. */
  readonly loggedAtMs: number
}

/**
 * Every record from `from` to the end as of the call. The first one is taken as it is.
 * @throws WeirError JOURNAL_CORRUPT
 */
export async function* readChain(log: Log, journal: TopicPartition, from: Offset): AsyncGenerator<Link, void> {
  let before: Before | undefined
  for await (const link of read(log, journal, from, 1_000)) {
    if (before !== undefined) checkFollows(link, before)
    yield link
    before = { epoch: epochOf(link.record), hash: link.hash }
  }
}

/** What the next record must follow from. */
interface Before {
  readonly epoch: number
  readonly hash: string
}

/** Reads on behind a record for as long as others are written. Its bounds: `ahead` records are held (I6). */
export class ChainReader {
  readonly #reader: LogReader
  readonly #ahead: Link[] = []
  #before: Before

  private constructor(reader: LogReader, before: Before) {
    this.#reader = reader
    this.#before = before
  }

  static async open(log: Log, journal: TopicPartition, after: Before & { readonly at: Offset }): Promise<ChainReader> {
    return new ChainReader(await log.reader([{ ...journal, offset: (after.at + 1n) as Offset }]), after)
  }

  /** Records that have been read and not been handed out yet. */
  get ahead(): readonly Link[] {
    return this.#ahead
  }

  /** Everything before it has been read. */
  get position(): Offset {
    return this.#reader.positions()[0]!.offset
  }

  /**
   * The next records, at most so many. @throws WeirError JOURNAL_CORRUPT; OFFSET_OUT_OF_RANGE when they have been trimmed;
   * KAFKA_UNAVAILABLE
   */
  async next(countMax: number, waitMsMax: DurationMs): Promise<readonly Link[]> {
    const waits = this.#ahead.length === 0 ? waitMsMax : (0 as DurationMs)
    if (this.#ahead.length < countMax) {
      for (const batch of await this.#reader.poll({ recordsMax: aheadMax, bytesMax: 4 << 20, waitMsMax: waits })) {
        for (let i = 0; i < batch.count; i++) {
          const link = linkOf(batch, i)
          checkFollows(link, this.#before)
          this.#before = { epoch: epochOf(link.record), hash: link.hash }
          this.#ahead.push(link)
        }
      }
    }
    return this.#ahead.splice(0, countMax)
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}

const aheadMax = 1_000

/** The oldest record that is left. */
export async function firstLink(log: Log, journal: TopicPartition): Promise<Link | undefined> {
  const { earliest } = await log.range(journal)
  return await linkFrom(log, journal, earliest)
}

async function linkFrom(log: Log, journal: TopicPartition, from: Offset): Promise<Link | undefined> {
  for await (const link of read(log, journal, from, 1)) return link
  return undefined
}

/** The oldest record that is left of this plan: its genesis, unless that was trimmed. undefined: the plan has not begun. */
export async function firstOfPlan(log: Log, journal: TopicPartition, plan: number): Promise<Link | undefined> {
  let found = await lastLink(log, journal)
  if (found === undefined || planOf(found.record) < plan) return undefined
  const first = await firstLink(log, journal)
  if (first === undefined || planOf(first.record) >= plan) return first
  // Plans follow one another: `found` is the first record from `to` on; below `from` all are of older plans.
  let from = (first.at + 1n) as Offset
  let to = found.at
  while (from < to) {
    const middle = ((from + to) / 2n) as Offset
    const link = defined(await linkFrom(log, journal, middle), 'a record before the last')
    if (planOf(link.record) < plan) from = (link.at + 1n) as Offset
    else {
      to = middle
      found = link
    }
  }
  return found
}

/** The newest record: scans back past what holds none, as transaction markers and aborted records. */
export async function lastLink(log: Log, journal: TopicPartition): Promise<Link | undefined> {
  const { earliest, latest } = await log.range(journal)
  // The very last is a marker more often than not, and a poll that finds nothing else waits for more.
  for (let back = 16n; ; back *= 16n) {
    const from = (latest - back > earliest ? latest - back : earliest) as Offset
    let last: Link | undefined
    for await (const link of read(log, journal, from, 1_000)) last = link
    if (last !== undefined || from === earliest) return last
  }
}

/** The record at exactly this offset; undefined where there is none, or none any more. */
export async function linkAt(log: Log, journal: TopicPartition, at: Offset): Promise<Link | undefined> {
  const { earliest, latest } = await log.range(journal)
  if (at < earliest || at >= latest) return undefined
  const link = await linkFrom(log, journal, at)
  return link?.at === at ? link : undefined
}

async function* read(log: Log, journal: TopicPartition, from: Offset, recordsMax: number): AsyncGenerator<Link, void> {
  const { latest } = await log.range(journal)
  const reader = await log.reader([{ ...journal, offset: from }])
  try {
    while (reader.positions()[0]!.offset < latest && !reader.finished) {
      for (const batch of await pollExpected(reader, { recordsMax, bytesMax: 4 << 20 })) {
        for (let i = 0; i < batch.count; i++) yield linkOf(batch, i)
      }
    }
  } finally {
    await reader.close()
  }
}

function linkOf(batch: RecordBatch, i: number): Link {
  const bytes = batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i])
  return {
    record: parseJournalRecord(bytes),
    hash: sha256Hex(bytes),
    at: (batch.baseOffset + BigInt(batch.offsetDelta[i]!)) as Offset,
    loggedAtMs: batch.timestampMs?.[i] ?? Number.NaN,
  }
}

function checkFollows({ record }: Link, before: Before): void {
  if (record.kind === 'genesis') {
    if (record.v === 2) throw new WeirError('PLAN_CLOSED', `plan ${record.plan} has begun`)
    throw journalCorrupt('a second genesis record')
  }
  const due = before.epoch + 1
  if (record.epoch !== due) throw journalCorrupt(`epoch ${record.epoch} where ${due} was due`)
  if (record.previous !== before.hash) {
    throw journalCorrupt(`epoch ${record.epoch} does not follow from the one before it`)
  }
}

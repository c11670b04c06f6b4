/**
 * Reading the journal: from any of its records to its end, or one record.
 *
 * Invariant: of two records that are handed out one after the other, the second names the hash of the first.
 */
import { defined, sha256Hex } from '../../kernel/index.js'
import type { Log, Offset, TopicPartition } from '../../log/index.js'
import { epochOf, type JournalRecord, journalCorrupt, parseJournalRecord, planOf } from './journal.js'
import { pollExpected } from './poll.js'

/** A record of the journal. */
export interface Link {
  readonly record: JournalRecord
  readonly hash: string
  readonly at: Offset
}

/**
 * Every record from `from` to the end as of the call. The first one is taken as it is.
 * @throws WeirError JOURNAL_CORRUPT
 */
export async function* readChain(log: Log, journal: TopicPartition, from: Offset): AsyncGenerator<Link, void> {
  let before: Link | undefined
  for await (const link of read(log, journal, from, 1_000)) {
    if (before !== undefined) checkFollows(link, before)
    yield link
    before = link
  }
}

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
  for (let back = 1n; ; back *= 16n) {
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
        for (let i = 0; i < batch.count; i++) {
          const bytes = batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i])
          const at = (batch.baseOffset + BigInt(batch.offsetDelta[i]!)) as Offset
          yield { record: parseJournalRecord(bytes), hash: sha256Hex(bytes), at }
        }
      }
    }
  } finally {
    await reader.close()
  }
}

function checkFollows({ record }: Link, before: Link): void {
  if (record.kind === 'genesis') throw journalCorrupt('a genesis record inside a plan')
  const due = epochOf(before.record) + 1
  if (record.epoch !== due) throw journalCorrupt(`epoch ${record.epoch} where ${due} was due`)
  if (record.previous !== before.hash) {
    throw journalCorrupt(`epoch ${record.epoch} does not follow from the one before it`)
  }
}

/** Which plan a deployment is at, by its journal: the only authority (docs/decisions/0016). */
import type { Log } from '../../log/index.js'
import { closingOf, type JournalRecord, journalTopicOf, type Link, lastLink, planOf } from '../slot/index.js'

export interface Standing {
  /** From 1. */
  readonly plan: number
  readonly slots: number
  /** The plan ends: where its state goes, and how many slots are closed. From the first on it cannot go on any more. */
  readonly ends: { readonly savepoint: string; readonly slotsClosed: number } | undefined
  /** The last record of every slot; undefined where there is none yet. */
  readonly last: readonly (Link | undefined)[]
}

/** @throws WeirError UNKNOWN_TOPIC, JOURNAL_CORRUPT; as the log does */
export async function standingOf(log: Log, app: string): Promise<Standing> {
  const topic = journalTopicOf(app)
  // Every plan has a slot 0.
  const first = await lastLink(log, { topic, partition: 0 })
  const slots = (first && slotsOf(first.record)) ?? (await log.partitionCount(topic))
  const others = Array.from({ length: slots - 1 }, (_, i) => lastLink(log, { topic, partition: i + 1 }))
  const last = [first, ...(await Promise.all(others))]
  const closings = last.map(link => link && closingOf(link.record))
  const closing = closings.find(found => found !== undefined)
  return {
    plan: first === undefined ? 1 : planOf(first.record),
    slots,
    ends: closing && {
      savepoint: closing.savepoint,
      slotsClosed: closings.filter(found => found?.last === true).length,
    },
    last,
  }
}

/** undefined for an epoch of before there were plans: the journal had as many partitions as slots. */
const slotsOf = (record: JournalRecord): number | undefined => ('slots' in record ? record.slots : undefined)

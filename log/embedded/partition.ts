/** One partition of the embedded log: its bounds in memory, its entries in the database. */
import { ByteReader, ByteWriter, crc32, messageOf, WeirError } from '../../kernel/index.js'
import { corrupt, Entry, type PartitionBounds } from '../entries/index.js'
import type { DbBatch, EmbeddedDb } from './db.js'
import { earliestKey, entriesEnd, entryKey, lastOffsetIn } from './keys.js'
import type { Tail } from './tail.js'

export interface EmbeddedPartition extends PartitionBounds {
  readonly topicId: number
  /** Where the next append goes; ahead of `latest` while a write is under way. Moves only in the writer. */
  next: number
  /** No entry that ends below is left, as far as this process knows: where the next trim begins to delete. */
  deletedTo: number
  /** Where the space of what was deleted was last asked back. */
  compactedTo: number
  readonly tail: Tail
}

/**
 * Up to `entriesMax` entries from the one that holds `from`. The log has no gaps, so anything missing is an error.
 * @throws WeirError LOG_CORRUPT, STATE_FORMAT; OFFSET_OUT_OF_RANGE when `from` was trimmed away meanwhile
 */
export async function readEntries(
  db: EmbeddedDb,
  at: EmbeddedPartition,
  from: number,
  until: number,
  entriesMax: number,
): Promise<readonly Entry[]> {
  const newest = from < at.earliest ? [] : at.tail.read(from, until, entriesMax)
  if (newest.length > 0) return newest
  const gte = entryKey(at.topicId, at.partition, from)
  const found = await db.range({ gte, lt: entriesEnd(at.topicId, at.partition), limit: entriesMax })
  if (from < at.earliest) {
    throw new WeirError('OFFSET_OUT_OF_RANGE', `${at.topic}/${at.partition} now begins at ${at.earliest}, past ${from}`)
  }
  const entries: Entry[] = []
  let expected = from
  for (const { key, value } of found) {
    if (expected >= until) break
    const last = lastOffsetIn(key)
    const entry = new Entry(at, value, last, last + 1, crc32(key))
    const continues = entries.length === 0 ? entry.base <= from : entry.base === expected
    if (!continues) throw corrupt(at, last, `it begins at ${entry.base}, offset ${expected} is missing`)
    entries.push(entry)
    expected = entry.next
  }
  if (entries.length === 0) throw corrupt(at, until - 1, `offset ${from} is missing`)
  return entries
}

/** The offset after the partition's last entry, undefined when it has none. */
export async function endOfEntries(db: EmbeddedDb, topicId: number, partition: number): Promise<number | undefined> {
  const gte = entryKey(topicId, partition, 0)
  const [last] = await db.range({ gte, lt: entriesEnd(topicId, partition), limit: 1, reverse: true })
  return last === undefined ? undefined : lastOffsetIn(last.key) + 1
}

export function putEarliest(batch: DbBatch, at: EmbeddedPartition, earliest: number): void {
  batch.put(earliestKey(at.topicId, at.partition), encodeNumbers(earliest))
}

const deletedEntriesPage = 1_024

/**
 * Deletes the entries that end below `earliest`, a page of keys at a time; what an earlier trim deleted is not looked at.
 */
export async function deleteBelow(
  db: EmbeddedDb,
  at: EmbeddedPartition,
  write: (keys: readonly Buffer[]) => Promise<void>,
): Promise<void> {
  const to = at.earliest
  const lt = entryKey(at.topicId, at.partition, to)
  for (;;) {
    const gte = entryKey(at.topicId, at.partition, at.deletedTo)
    const page = await db.range({ gte, lt, limit: deletedEntriesPage, keysOnly: true })
    const last = page.at(-1)
    if (last !== undefined) {
      await write(page.map(entry => entry.key))
      at.deletedTo = lastOffsetIn(last.key) + 1
    }
    if (page.length < deletedEntriesPage) {
      at.deletedTo = Math.max(at.deletedTo, to)
      return
    }
  }
}

/** Records between two compactions of a partition's head: some 300 MB of decisions. */
const compactedRecordsMin = 262_144

/** Deleted entries take space until they are compacted: sooner or later by themselves, and here before there are many. */
export async function compactBelow(db: EmbeddedDb, at: EmbeddedPartition): Promise<void> {
  const to = at.earliest
  if (db.compact === undefined || to - at.compactedTo < compactedRecordsMin) return
  at.compactedTo = to
  await db.compact(entryKey(at.topicId, at.partition, 0), entryKey(at.topicId, at.partition, to))
}

/** Whole numbers, one after the other. */
export function encodeNumbers(...values: readonly number[]): Buffer {
  const writer = new ByteWriter(16)
  for (const value of values) writer.varint(value)
  return writer.take()
}

/** @throws WeirError LOG_CORRUPT */
export function decodeNumbers(what: string, bytes: Buffer, count: number): number[] {
  try {
    const reader = new ByteReader(bytes)
    return Array.from({ length: count }, () => reader.varint())
  } catch (cause) {
    throw new WeirError('LOG_CORRUPT', `the entry of ${what} cannot be read: ${messageOf(cause)}`, { cause })
  }
}

/**
 * The journal: `weir.<app>.epochs`, one partition per slot, the only authority on the committed position.
 *
 * Invariants:
 * 1. The first record is the genesis; an empty journal is never a fresh start by itself.
 * 2. Each record names the SHA-256 of the bytes of the one before it: a gap, an edit or a reordering is found.
 * 3. Bytes are canonical: JSON with the fields in the order written here, so that a hash can be recomputed by anyone.
 * Format page: runners/slot/FORMAT.md.
 */
import { messageOf, sha256Hex, WeirError } from '../../kernel/index.js'
import type { Log, TopicPartition } from '../../log/index.js'
import { pollExpected } from './poll.js'

export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  /** Decimal text: offsets are 64-bit. */
  readonly offset: string
}

export interface GenesisRecord {
  readonly v: 1
  readonly kind: 'genesis'
  readonly app: string
  readonly slots: number
  readonly slot: number
  readonly key_groups: number
  /** Input topics and their partition counts, pinned for this generation of the plan. */
  readonly partitions: readonly { readonly topic: string; readonly count: number }[]
  readonly start: readonly PartitionOffset[]
  /** What the runner must find unchanged to go on: input file, arguments. */
  readonly job: Readonly<Record<string, string>>
  readonly fingerprint: string
}

export interface InputRange {
  readonly topic: string
  readonly partition: number
  readonly from: string
  readonly to: string
  /** Over the values back to back, then over their lengths (4 bytes each, little-endian; -1 for null). */
  readonly crc32: number
}

export interface PartitionClock {
  readonly topic: string
  readonly partition: number
  /** Greatest event time seen minus the source's outOfOrderness, ms; null before the first record. */
  readonly watermark_ms: number | null
  readonly idle: boolean
}

export interface EpochRecord {
  readonly v: 1
  readonly kind: 'epoch'
  readonly epoch: number
  /** Of the owner: grows with each take-over (I4). */
  readonly generation: number
  readonly fingerprint: string
  readonly inputs: readonly InputRange[]
  /** Records left out because an operator threw on them; each is in the dead letters (I7). */
  readonly excluded: readonly PartitionOffset[]
  readonly clocks: readonly PartitionClock[]
  /** Keys idle past their time to live at this event time are gone; null where the log has no clock to bound it. */
  readonly expiry_ms: number | null
  /** Running totals since genesis. */
  readonly counts: Readonly<Record<string, number>>
  /** Over what leaves, before egress stamps. */
  readonly outputs_sha256: string
  readonly previous: string
}

export type JournalRecord = GenesisRecord | EpochRecord

export interface EncodedJournalRecord {
  readonly bytes: Buffer
  readonly hash: string
}

export function encodeJournalRecord(record: JournalRecord): EncodedJournalRecord {
  const bytes = Buffer.from(JSON.stringify(record))
  return { bytes, hash: sha256Hex(bytes) }
}

export interface JournalHead {
  readonly genesis: GenesisRecord
  readonly genesisHash: string
  /** Last epoch; undefined while there is only the genesis. */
  readonly last: EpochRecord | undefined
  /** Of the last record, be it the genesis. */
  readonly lastHash: string
}

/**
 * Reads the journal from its start, checking the chain, and hands every record to `visit`.
 * @returns undefined when the journal is empty
 * @throws WeirError JOURNAL_CORRUPT
 */
export async function readJournal(
  log: Log,
  at: TopicPartition,
  visit: (record: EpochRecord, hash: string) => void | Promise<void>,
): Promise<JournalHead | undefined> {
  const range = await log.range(at)
  const reader = await log.reader([{ ...at, offset: range.earliest }])
  let genesis: GenesisRecord | undefined
  let genesisHash = ''
  let last: EpochRecord | undefined
  let lastHash = ''
  try {
    while (reader.positions()[0]!.offset < range.latest) {
      const batches = await pollExpected(reader, { recordsMax: 1_000, bytesMax: 4 << 20 })
      if (batches.length === 0) break
      for (const batch of batches) {
        for (let i = 0; i < batch.count; i++) {
          const bytes = batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i])
          const record = parse(bytes)
          if (record.kind === 'genesis') {
            if (genesis !== undefined) throw corrupt('a second genesis record')
            genesis = record
            lastHash = genesisHash = sha256Hex(bytes)
            continue
          }
          if (genesis === undefined) throw corrupt(`epoch ${record.epoch} stands before any genesis record`)
          const expected = (last?.epoch ?? 0) + 1
          if (record.epoch !== expected) throw corrupt(`epoch ${record.epoch} where ${expected} was due`)
          if (record.previous !== lastHash)
            throw corrupt(`epoch ${record.epoch} does not follow from the one before it`)
          lastHash = sha256Hex(bytes)
          last = record
          await visit(record, lastHash)
        }
      }
    }
  } finally {
    await reader.close()
  }
  return genesis && { genesis, genesisHash, last, lastHash }
}

function parse(bytes: Buffer): JournalRecord {
  try {
    const record = JSON.parse(bytes.toString('utf8')) as Partial<JournalRecord>
    if (record.v === 1 && (record.kind === 'genesis' || record.kind === 'epoch')) return record as JournalRecord
    throw new Error(`version ${String(record.v)}, kind ${String(record.kind)}`)
  } catch (error) {
    throw corrupt(`a record that is no journal record (${messageOf(error)})`)
  }
}

const corrupt = (what: string): WeirError => new WeirError('JOURNAL_CORRUPT', `the journal holds ${what}`)

export const journalTopicOf = (app: string): string => `weir.${app}.epochs`

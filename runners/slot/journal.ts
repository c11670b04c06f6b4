/**
 * The journal: `weir.<app>.epochs`, one partition per slot, the only authority on the committed position.
 *
 * Invariants:
 * 1. The first record is the genesis, until it is trimmed behind a state that goes on from a later one; an empty journal is
 *    never a fresh start by itself.
 * 2. Each record names the SHA-256 of the bytes of the one before it: a gap, an edit or a reordering is found.
 * 3. Bytes are canonical: JSON with the fields in the order written here, so that a hash can be recomputed by anyone.
 * Format page: runners/slot/FORMAT.md.
 */
import { messageOf, sha256Hex, WeirError } from '../../kernel/index.js'

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
  /** Of a hop's partition: which slot has written what this is about. */
  readonly upstream?: number
  /** Greatest event time seen minus the source's outOfOrderness, ms; null before the first record. */
  readonly watermark_ms: number | null
  readonly idle: boolean
}

export interface EpochRecord {
  readonly v: 2
  readonly kind: 'epoch'
  readonly epoch: number
  /** Of the owner: grows with each take-over (I4). */
  readonly generation: number
  readonly fingerprint: string
  readonly inputs: readonly InputRange[]
  /** Of every input after the epoch, read or not: from this record alone the chain can be picked up. */
  readonly positions: readonly PartitionOffset[]
  /** Records left out because an operator threw on them; each is in the dead letters (I7). */
  readonly excluded: readonly PartitionOffset[]
  readonly clocks: readonly PartitionClock[]
  /** Of the slot after the epoch, ms; null before it has one. It never goes back, as that of `clocks` may. */
  readonly watermark_ms: number | null
  /** Of the stages of a plan that has several; the slot's is that of the last. */
  readonly stages_ms?: readonly (number | null)[]
  /** Keys idle past their time to live at this event time are gone; null where the log has no clock to bound it. */
  readonly expiry_ms: number | null
  /** Running totals since genesis. */
  readonly counts: Readonly<Record<string, number>>
  /** Over what leaves, before egress stamps. */
  readonly outputs_sha256: string
  /** The owner commits its next epoch within this time, ms; 0: it leaves, and there is none of its. Absent: it says nothing. */
  readonly heartbeat_ms?: number
  readonly previous: string
}

/** As Weir wrote it before journals could be trimmed: it is replayed, but no chain is picked up from it. */
export type EpochRecordV1 = Omit<EpochRecord, 'v' | 'positions' | 'watermark_ms'> & { readonly v: 1 }

export type JournalRecord = GenesisRecord | EpochRecordV1 | EpochRecord

export interface EncodedJournalRecord {
  readonly bytes: Buffer
  readonly hash: string
}

export function encodeJournalRecord(record: JournalRecord): EncodedJournalRecord {
  const bytes = Buffer.from(JSON.stringify(record))
  return { bytes, hash: sha256Hex(bytes) }
}

/** 0 for the genesis. */
export const epochOf = (record: JournalRecord): number => (record.kind === 'epoch' ? record.epoch : 0)

/** @throws WeirError JOURNAL_CORRUPT */
export function parseJournalRecord(bytes: Buffer): JournalRecord {
  try {
    const record = JSON.parse(bytes.toString('utf8')) as Partial<JournalRecord>
    if (record.kind === 'genesis' && record.v === 1) return record as GenesisRecord
    if (record.kind === 'epoch' && (record.v === 1 || record.v === 2)) return record as EpochRecordV1 | EpochRecord
    throw new Error(`version ${String(record.v)}, kind ${String(record.kind)}`)
  } catch (error) {
    throw journalCorrupt(`a record that is no journal record (${messageOf(error)})`)
  }
}

export const journalCorrupt = (what: string): WeirError => new WeirError('JOURNAL_CORRUPT', `the journal holds ${what}`)

export const journalTopicOf = (app: string): string => `weir.${app}.epochs`

/**
 * The journal: `weir.<app>.epochs`, one partition per slot, the only authority on the committed position.
 *
 * Invariants:
 * 1. The first record is the genesis, until it is trimmed behind a state that goes on from a later one; an empty journal is
 *    never a fresh start by itself.
 * 2. Each record names the SHA-256 of the bytes of the one before it: a gap, an edit or a reordering is found.
 * 3. Bytes are canonical: JSON with the fields in the order written here, so that a hash can be recomputed by anyone.
 * 4. A plan's last epoch `closes` it; the next record is the genesis of a later plan, at a greater epoch
 *    (docs/decisions/0016).
 * Format page: runners/slot/FORMAT.md.
 */
import { messageOf, sha256Hex, WeirError } from '../../kernel/index.js'
import type { Migration } from '../../state/index.js'

export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  /** Decimal text: offsets are 64-bit. */
  readonly offset: string
}

/** Of a plan that is a deployment's first, written by the slot itself. */
export interface FirstGenesis {
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

/** Of a plan that follows another: all slots' are written by one transaction, once the plan before is closed. */
export interface LaterGenesis extends Omit<FirstGenesis, 'v'> {
  readonly v: 2
  /** 2, 3 …, after `slot` */
  readonly plan: number
  /** Above every epoch of the plans before, in whichever slot: what a store reflects can be compared across plans. */
  readonly epoch: number
  /** At least that of every owner before: it goes on growing (I4). */
  readonly generation: number
  readonly clocks: readonly PartitionClock[]
  /** Of every stage, ms: the least of the slots of before, so that nothing becomes late by the change. */
  readonly watermark_ms: number | null
  /** Totals of the plan before go on as those of slot 0. */
  readonly counts: Readonly<Record<string, number>>
  /** The state that the plan begins with. */
  readonly from: GenesisFrom
  /** Of this partition's closing epoch; null where the plan before had no such slot. */
  readonly previous: string | null
}

export interface GenesisFrom {
  readonly savepoint: string
  /** Of what was published as the savepoint. */
  readonly sha256: string
  readonly migration: Migration
}

export type GenesisRecord = FirstGenesis | LaterGenesis

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
  readonly v: 3
  readonly kind: 'epoch'
  /** The generation of the plan (docs/decisions/0016), and how many slots it has. */
  readonly plan: number
  readonly slots: number
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
  /** null: it was to end, and goes on after all. */
  readonly closes?: Closing | null
  /** The owner commits its next epoch within this time, ms; 0: it leaves, and there is none of its. Absent: it says nothing. */
  readonly heartbeat_ms?: number
  readonly previous: string
}

/** The plan ends: from the first epoch that says so on, only hops are read. */
export interface Closing {
  /** Where the state goes. */
  readonly savepoint: string
  /** Nothing follows in this plan. */
  readonly last: boolean
}

/** Before there were plans: that of the deployment's first, whose slots are the journal's partitions. */
export type EpochRecordV2 = Omit<EpochRecord, 'v' | 'plan' | 'slots' | 'closes'> & { readonly v: 2 }

/** As Weir wrote it before journals could be trimmed: it is replayed, but no chain is picked up from it. */
export type EpochRecordV1 = Omit<EpochRecordV2, 'v' | 'positions' | 'watermark_ms'> & { readonly v: 1 }

export type AnyEpochRecord = EpochRecordV1 | EpochRecordV2 | EpochRecord
export type JournalRecord = GenesisRecord | AnyEpochRecord

export interface EncodedJournalRecord {
  readonly bytes: Buffer
  readonly hash: string
}

export function encodeJournalRecord(record: JournalRecord): EncodedJournalRecord {
  const bytes = Buffer.from(JSON.stringify(record))
  return { bytes, hash: sha256Hex(bytes) }
}

/** 0 for the genesis of the first plan. */
export const epochOf = (record: JournalRecord): number =>
  record.kind === 'genesis' && record.v === 1 ? 0 : record.epoch

/** Of the owner; 0 for the genesis of the first plan. */
export const generationOf = (record: JournalRecord): number => ('generation' in record ? record.generation : 0)

export const planOf = (record: JournalRecord): number => ('plan' in record ? record.plan : 1)

export const closingOf = (record: JournalRecord): Closing | undefined =>
  ('closes' in record && record.closes) || undefined

/** An epoch that says something of the plan, and nothing else: no operator has run in it. */
export const isMark = (record: AnyEpochRecord): boolean => 'closes' in record && record.inputs.length === 0

const genesisVersions = [1, 2]
const epochVersions = [1, 2, 3]

/** @throws WeirError JOURNAL_CORRUPT */
export function parseJournalRecord(bytes: Buffer): JournalRecord {
  try {
    const record = JSON.parse(bytes.toString('utf8')) as Partial<JournalRecord>
    const known = record.kind === 'genesis' ? genesisVersions : record.kind === 'epoch' ? epochVersions : []
    if (known.includes(record.v ?? 0)) return record as JournalRecord
    throw new Error(`version ${String(record.v)}, kind ${String(record.kind)}`)
  } catch (error) {
    throw journalCorrupt(`a record that is no journal record (${messageOf(error)})`)
  }
}

export const journalCorrupt = (what: string): WeirError => new WeirError('JOURNAL_CORRUPT', `the journal holds ${what}`)

export const journalTopicOf = (app: string): string => `weir.${app}.epochs`

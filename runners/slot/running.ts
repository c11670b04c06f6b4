/**
 * What a slot knows only while it runs, and the two ways in which it moves: past a committed epoch, and with a write-back.
 * Shared by recovery, which folds epochs again, and the live cycle.
 */
import type { EventTimeMs } from '../../kernel/index.js'
import type { LogCommitter, LogReader, Offset } from '../../log/index.js'
import type { JournalFacts, StateStore } from '../../state/index.js'
import { stateSchemas } from '../../topology/index.js'
import { advancedStages, type Clocks } from './clocks.js'
import type { SinkWriter } from './egress.js'
import type { HeldReader } from './held-reader.js'
import type { HopWriter } from './hops.js'
import {
  type AnyEpochRecord,
  type Closing,
  closingOf,
  encodeJournalRecord,
  type GenesisRecord,
  type PartitionOffset,
} from './journal.js'
import type { SlotLimits, SlotOptions } from './options.js'
import type { Pipeline } from './pipeline.js'

/** A slot that folds what was committed: in a recovery, and as a standby. It writes nothing to the log. */
export interface Folding {
  readonly pipeline: Pipeline
  readonly clocks: Clocks
  readonly writers: readonly SinkWriter[]
  readonly hops: readonly HopWriter[]
  readonly deadLetterPartitions: number
  /** A longer dead letter leaves out key and value. */
  readonly deadLetterBytesMax: number
  readonly genesis: GenesisRecord
  /** Epochs up to it are in the store already: they are passed, not folded. */
  readonly storeEpoch: number
  /** Where the record of `epoch` lies. */
  at: Offset
  /** Of the next owner: above that of the last record. */
  generation: number
  /** The plan ends: inputs are held. */
  closes: Closing | undefined
  epoch: number
  hash: string
  /** A chain can be picked up from the last record. */
  resumable: boolean
  counts: Map<string, number>
  /** Of the plan's stages, after the last committed epoch; the slot's is that of the last. */
  watermarks: readonly EventTimeMs[]
  positions: Map<string, PartitionOffset>
  /** Of the last write-back. */
  reflected: Reflected | undefined
  recordsSinceWriteBack: number
  /** Without those that read nothing. */
  epochsSinceWriteBack: number
  heartbeatsSinceWriteBack: number
}

/** A slot that is live. */
export interface Running extends Folding {
  readonly committer: LogCommitter
  /** Of all its inputs. */
  readonly reader: LogReader
  /** The same, where the plan has hops. */
  readonly held: HeldReader | undefined
}

/** What the store on disk reflects: a recovery reads nothing below. */
export interface Reflected {
  readonly journal: Offset
  readonly positions: readonly PartitionOffset[]
}

export const partitionKey = (at: { readonly topic: string; readonly partition: number }): string =>
  `${at.topic}/${at.partition}`

/** The epoch is committed: what follows it starts from here. */
export function advance(
  running: Folding,
  { plan, store }: SlotOptions,
  record: AnyEpochRecord,
  hash: string,
  at: Offset,
): void {
  running.epoch = record.epoch
  running.closes = closingOf(record)
  running.hash = hash
  running.at = at
  running.resumable = record.v !== 1
  running.clocks.restore(record.clocks)
  running.watermarks = advancedStages(plan, running.watermarks, record.clocks)
  for (const { topic, partition, to } of record.inputs) {
    running.positions.set(partitionKey({ topic, partition }), { topic, partition, offset: to })
  }
  if (record.expiry_ms !== null) store.setExpiryClock(record.expiry_ms)
}

/** Counts an epoch that was folded. @param records that it read; none: a heartbeat */
export function countFolded(running: Folding, records: number): void {
  running.recordsSinceWriteBack += records
  if (records > 0) running.epochsSinceWriteBack++
  else running.heartbeatsSinceWriteBack++
}

/** After an epoch of so many records, live or followed: removes what has expired, and writes back when that is due. */
export async function keepHouse(
  running: Folding,
  options: SlotOptions,
  limits: SlotLimits,
  records: number,
): Promise<void> {
  countFolded(running, records)
  await options.store.sweep(limits.sweepKeysMax)
  if (isDue(running, options.store, limits, records)) await writeBack(running, options)
  // What was only read must not wait for that: a quarter of the cache is clean at the least.
  else options.store.evict()
}

function isDue(running: Folding, store: StateStore, limits: SlotLimits, records: number): boolean {
  if (store.dirtyBytes >= limits.dirtyBytesMax) return true
  if (records === 0) return running.heartbeatsSinceWriteBack >= limits.heartbeatsPerWriteBackMax
  return (
    running.recordsSinceWriteBack >= limits.recordsPerWriteBackMax ||
    running.epochsSinceWriteBack >= limits.epochsPerWriteBackMax ||
    (records <= limits.quietEpochRecords && store.dirtyKeys >= limits.quietDirtyKeysMax)
  )
}

/** Writes what changed, with the epoch that it then reflects (I2). @throws WeirError BACKEND_FAILED; discard then */
export async function writeBack(running: Folding, options: SlotOptions): Promise<void> {
  const { store, plan, syncState, checkpoints, crashAt } = options
  const { epoch, hash, at, resumable } = running
  const pending = store.serialise()
  crashAt?.('serialised')
  const genesis = encodeJournalRecord(running.genesis).bytes.toString('utf8')
  const resume = resumable ? { resume: { offset: Number(at), genesis } } : {}
  await store.write(
    pending,
    { epoch, journalHash: hash, fingerprint: plan.fingerprint, ...resume },
    { sync: syncState },
  )
  running.reflected = resumable ? { journal: at, positions: [...running.positions.values()] } : undefined
  running.recordsSinceWriteBack = 0
  running.epochsSinceWriteBack = 0
  running.heartbeatsSinceWriteBack = 0
  store.evict()
  crashAt?.('written-back')
  if (running.reflected === undefined || checkpoints === undefined) return
  await checkpoints.checkpointer.afterWriteBack(running.reflected.positions, () => ({
    ...journalFacts(running),
    steps: stateSchemas(plan),
  }))
}

/** What the journal says of the last committed epoch, for whoever begins there. */
export const journalFacts = ({ watermarks, clocks, counts }: Folding): JournalFacts => ({
  watermarks_ms: watermarks.map(at => (Number.isFinite(at) ? at : null)),
  clocks: clocks.current(),
  counts: Object.fromEntries(counts),
})

/**
 * What a slot knows only while it runs, and the two ways in which it moves: past a committed epoch, and with a write-back.
 * Shared by recovery, which folds epochs again, and the live cycle.
 */
import type { EventTimeMs } from '../../kernel/index.js'
import type { LogCommitter, LogReader, Offset } from '../../log/index.js'
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
import type { SlotOptions } from './options.js'
import type { Pipeline } from './pipeline.js'

/** While a recovery folds again what was committed. */
export interface Folding {
  readonly committer: LogCommitter
  readonly pipeline: Pipeline
  readonly clocks: Clocks
  readonly writers: readonly SinkWriter[]
  readonly hops: readonly HopWriter[]
  readonly deadLetterPartitions: number
  readonly genesis: GenesisRecord
  generation: number
  /** The plan ends: inputs are held. */
  closes: Closing | undefined
  epoch: number
  hash: string
  /** Of the last record, when a chain can be picked up from it. */
  journalAt: Offset | undefined
  counts: Map<string, number>
  /** Of the plan's stages, after the last committed epoch; the slot's is that of the last. */
  watermarks: readonly EventTimeMs[]
  positions: Map<string, PartitionOffset>
  /** Of the last write-back. */
  reflected: Reflected | undefined
  recordsSinceWriteBack: number
  epochsSinceWriteBack: number
}

/** A slot that is live. */
export interface Running extends Folding {
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
  at: Offset | undefined,
): void {
  running.epoch = record.epoch
  running.closes = closingOf(record)
  running.hash = hash
  running.journalAt = record.v === 1 ? undefined : at
  running.clocks.restore(record.clocks)
  running.watermarks = advancedStages(plan, running.watermarks, record.clocks)
  for (const { topic, partition, to } of record.inputs) {
    running.positions.set(partitionKey({ topic, partition }), { topic, partition, offset: to })
  }
  if (record.expiry_ms !== null) store.setExpiryClock(record.expiry_ms)
}

/** Writes what changed, with the epoch that it then reflects (I2). @throws WeirError BACKEND_FAILED; discard then */
export async function writeBack(running: Folding, options: SlotOptions): Promise<void> {
  const { store, plan, syncState, checkpoints, crashAt } = options
  const { epoch, hash, journalAt } = running
  const pending = store.serialise()
  crashAt?.('serialised')
  const genesis = encodeJournalRecord(running.genesis).bytes.toString('utf8')
  const resume = journalAt === undefined ? {} : { resume: { offset: Number(journalAt), genesis } }
  await store.write(
    pending,
    { epoch, journalHash: hash, fingerprint: plan.fingerprint, ...resume },
    { sync: syncState },
  )
  running.reflected =
    journalAt === undefined ? undefined : { journal: journalAt, positions: [...running.positions.values()] }
  running.recordsSinceWriteBack = 0
  running.epochsSinceWriteBack = 0
  store.evict()
  crashAt?.('written-back')
  if (running.reflected !== undefined) await checkpoints?.checkpointer.afterWriteBack(running.reflected.positions)
}

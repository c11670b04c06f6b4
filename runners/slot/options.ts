/** What a slot is given, what it tells, and its bounds (I6). */
import type { Clock, DurationMs } from '../../kernel/index.js'
import type { Log } from '../../log/index.js'
import type { Row } from '../../operators/index.js'
import type { Model } from '../../scoring/index.js'
import type { Catalogue, Checkpointer, StateBackend, StatePosition, StateStore } from '../../state/index.js'
import type { EgressStamp, Plan } from '../../topology/index.js'
import type { DeadLetterFormat, SinkWriter } from './egress.js'
import type { DeadLetter } from './intake.js'
import type { EpochRecord, FirstGenesis, LaterGenesis } from './journal.js'

export interface SlotLimits {
  readonly epochRecordsMax: number
  readonly epochBytesMax: number
  readonly rowsPerStepMax: number
  readonly outputRowsMax: number
  /** Timers of one step that fire at the end of one epoch. */
  readonly timersPerEpochMax: number
  readonly pollWaitMs: DurationMs
  readonly idleAfterMs: DurationMs
  /** Write-back when this many bytes are dirty … */
  readonly dirtyBytesMax: number
  /** … or after this many records, so that a restart folds no more than these again. */
  readonly recordsPerWriteBackMax: number
  /** … or after this many epochs: a trickle makes an epoch of each record, and folding one again takes 0.2 to 0.4 ms. */
  readonly epochsPerWriteBackMax: number
  /** … or after this many epochs without records: little is dirty then, but a restart reads the journal from here. */
  readonly heartbeatsPerWriteBackMax: number
  /**
   * … or, after an epoch of at most `quietEpochRecords`, when this many keys are dirty. Serialising stops the epochs, some 15 us a key: while
   * there is little to do it is done in small steps, which nobody notices; under load seldom, which is cheaper.
   */
  readonly quietDirtyKeysMax: number
  readonly quietEpochRecords: number
  /** Records that operators throw on, in one epoch; an epoch of more is cut in half, down to single records. */
  readonly exclusionsPerEpochMax: number
  /** Recoveries in a row without a committed epoch before the slot gives up. */
  readonly recoveriesMax: number
  /**
   * Rows of this slot's records that may be under way through other slots or wait for their turn. With more, nothing but
   * hops is read until they are back; one epoch's rows may come on top.
   */
  readonly inFlightRowsMax: number
  /** Expired keys removed after one epoch. */
  readonly sweepKeysMax: number
  /**
   * A slot that has nothing to read commits an empty epoch this long after its last one, and its first at once: standbys then
   * know that it lives. Infinite: it does not.
   */
  readonly heartbeatMs: DurationMs
  /** Epochs that a standby folds in one step. */
  readonly epochsPerFollowMax: number
}

export const defaultLimits: SlotLimits = {
  epochRecordsMax: 1_024,
  epochBytesMax: 8 << 20,
  rowsPerStepMax: 1 << 20,
  outputRowsMax: 4_096,
  timersPerEpochMax: 1 << 20,
  pollWaitMs: 100 as DurationMs,
  idleAfterMs: 5_000 as DurationMs,
  dirtyBytesMax: 64 << 20,
  recordsPerWriteBackMax: 200_000,
  epochsPerWriteBackMax: 5_000,
  // An hour's.
  heartbeatsPerWriteBackMax: 14_400,
  quietDirtyKeysMax: 128,
  quietEpochRecords: 64,
  exclusionsPerEpochMax: 100,
  recoveriesMax: 5,
  inFlightRowsMax: 65_536,
  sweepKeysMax: 256,
  heartbeatMs: Number.POSITIVE_INFINITY as DurationMs,
  epochsPerFollowMax: 64,
}

/** Points at which the simulation stops a slot dead; in production nobody listens. */
export type CrashPoint =
  | 'fenced'
  | 'store-emptied'
  | 'restored'
  | 'genesis-written'
  | 'recovered'
  | 'polled'
  | 'operators-done'
  | 'encoded'
  | 'committed'
  | 'serialised'
  | 'written-back'

/** Checkpoints of the slot's store: made beside its epochs, and restored when the store is lost or far behind. */
export interface SlotCheckpoints {
  readonly catalogue: Catalogue
  readonly checkpointer: Pick<Checkpointer, 'afterWriteBack'>
  /** That of the store, with the store's namespace. */
  readonly backend: StateBackend
  readonly namespace?: Uint8Array
}

export interface SlotOptions {
  readonly plan: Plan
  readonly slot: number
  readonly log: Log
  readonly store: StateStore
  readonly checkpoints?: SlotCheckpoints
  readonly models: ReadonlyMap<string, Model>
  readonly clock: Clock
  readonly limits?: Partial<SlotLimits>
  /** The generation of the plan (docs/decisions/0016); default 1. A journal of another one is refused. */
  readonly planNumber?: number
  /** Whoever closes a plan: it recovers on what is closed, too. */
  readonly isCloser?: boolean
  /** Fills the empty store with the state that a later plan begins with, and writes the position last. */
  readonly seed?: (genesis: LaterGenesis, position: StatePosition) => Promise<void>
  /** Written when the journal is empty; without it an empty journal is an error. What it pins is held against a genesis. */
  readonly genesis: Omit<FirstGenesis, 'v' | 'kind' | 'fingerprint' | 'slot'> | null
  readonly deadLetters: DeadLetterFormat
  /** Egress stamps of a row; the default takes the wall clock. */
  readonly stampOf?: (row: Row) => EgressStamp
  /** Write-backs survive a power cut. */
  readonly syncState: boolean
  readonly onEvent?: (event: SlotEvent) => void
  /** Called right after each commit, before the next epoch: for replies. Must not throw. */
  readonly onCommitted?: (committed: CommittedEpoch) => void
  readonly crashAt?: (point: CrashPoint) => void
}

export type SlotEvent =
  /** 'start', or what failed: a commit, the disk, the place of a record. Nothing of what a step said: a log may have it. */
  | { readonly kind: 'recovering'; readonly reason: string }
  /** The store on this disk lacked a write-back: it was emptied, and its content comes from a checkpoint or the journal. */
  | { readonly kind: 'state-damaged' }
  | { readonly kind: 'replayed'; readonly epochs: number; readonly records: number }
  /** Epochs are folded again; told every few seconds. `leftMs` is an estimate, of this and below. */
  | { readonly kind: 'replaying'; readonly epochs: number; readonly ofEpochs: number; readonly leftMs: number }
  /** The store is filled from a checkpoint; told at each tenth. */
  | {
      readonly kind: 'restoring'
      readonly epoch: number
      readonly bytes: number
      readonly ofBytes: number
      readonly leftMs: number
    }
  | { readonly kind: 'restored'; readonly epoch: number; readonly bytes: number; readonly ms: number }
  /** The next older one is tried. No name: the checkpoint store does not answer, and the slot goes on without. */
  | { readonly kind: 'checkpoint-unusable'; readonly name: string; readonly message: string }
  | { readonly kind: 'excluded'; readonly position: string; readonly step: string; readonly message: string }
  /** Too many rows are under way through other slots: only they are read until some are back. */
  | { readonly kind: 'held-back'; readonly rows: number }
  | { readonly kind: 'model-failed'; readonly rows: number; readonly epoch: number; readonly message: string }

/** What an epoch made visible. Valid during the call only: buffers are used again. */
export interface CommittedEpoch {
  readonly record: EpochRecord
  readonly writers: readonly SinkWriter[]
  readonly deadLetters: readonly DeadLetter[]
  /** By `positionKey` of a record that the epoch read: where its producer waits for an answer. */
  readonly replyTo: ReadonlyMap<string, string>
}

export type StepResult =
  | { readonly kind: 'committed'; readonly epoch: number; readonly records: number }
  | { readonly kind: 'idle' }
  /** The log does not answer; the slot is as it was, and the next step asks again. */
  | { readonly kind: 'unavailable'; readonly message: string }
  | { readonly kind: 'finished' }

/** What the worker's main thread and its slot threads say to each other. */
import { type ErrorCode, isWeirError } from '../../kernel/index.js'
import type { CheckpointEvent, StoreMemory } from '../../state/index.js'
import type { PartitionOffset, SlotEvent, SlotInspection, StandbyLag, Takeover } from '../slot/index.js'
import type { CheckpointStatus } from './checkpoint-figures.js'

export interface InputStatus {
  readonly topic: string
  readonly partition: number
  /** Records not read yet, those of open transactions included. */
  readonly behind: number
  /** Records held back by transactions that are still open. */
  readonly undecided: number
}

export interface SlotStatus {
  readonly slot: number
  /** As a slot's; of a standby `catching up` or `following`. */
  readonly state: string
  readonly epoch: number
  /** Epoch that the store on disk reflects; undefined before it is open. */
  readonly stored: number | undefined
  readonly memory: StoreMemory
  readonly counts: Readonly<Record<string, number>>
  readonly positions: readonly PartitionOffset[]
  readonly inputs: readonly InputStatus[]
  /** Undefined where none are made, and of a standby. */
  readonly checkpoints: CheckpointStatus | undefined
  /** Of a standby. */
  readonly behind?: StandbyLag
  /** Its plan ends, and it reads no more inputs: the savepoint that its state goes into. */
  readonly closesInto?: string
}

export type HostEvent =
  | SlotEvent
  | CheckpointEvent
  /** What changed since the last checkpoint is no longer known: the next one is full. */
  | { readonly kind: 'spool-dropped'; readonly reason: string }
  /** It begins anew from the committed position. */
  | { readonly kind: 'failed'; readonly code: string; readonly reason: string }
  /** The log does not answer: it stays where it is, and asks again. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  | { readonly kind: 'taking-over'; readonly why: Takeover; readonly silentMs: number }
  /** Another worker runs the slot now, and this one follows it. */
  | { readonly kind: 'fenced' }
  | RegistryEvent
  /** Edges that waited were not told: they answer 202. */
  | { readonly kind: 'replies-lost'; readonly count: number; readonly message: string }

/** Whether the schema registry answers; records wait while it does not. */
export interface RegistryEvent {
  readonly kind: 'registry'
  readonly answers: boolean
}

/** What may be told of a failure: what a step or a record is about may name a customer, and stays untold. */
export function reasonOf(error: unknown): string {
  if (!isWeirError(error)) return 'INTERNAL_ERROR'
  return error.domain === 'user' || error.domain === 'external' ? `${error.code}: ${error.what}` : error.code
}

/** What somebody wants to see of a key's state. */
export interface StateQuestion {
  readonly step: string
  readonly key: string
  readonly showPii: boolean
}

export type ToThread =
  /** @see SlotHost for `given` */
  | { readonly kind: 'run'; readonly slot: number; readonly given: boolean }
  | { readonly kind: 'give'; readonly slot: number; readonly given: boolean }
  | { readonly kind: 'stop'; readonly slot: number }
  /** Answer to 'ask'. */
  | { readonly kind: 'permission'; readonly slot: number; readonly granted: boolean }
  /** Answered by 'inspected' with the same id, always. */
  | { readonly kind: 'inspect'; readonly id: number; readonly slot: number; readonly question: StateQuestion }
  /** No slot runs here any more: let go of the models and end. */
  | { readonly kind: 'end' }

export type FromThread =
  | { readonly kind: 'status'; readonly status: SlotStatus }
  | { readonly kind: 'event'; readonly slot: number; readonly event: HostEvent }
  /** May this slot fence its last owner? Answered once the membership is fresh, or lost; with `now` as it is. */
  | { readonly kind: 'ask'; readonly slot: number; readonly now: boolean }
  | { readonly kind: 'inspected'; readonly id: number; readonly answer: SlotInspection | SlotFailure }
  | { readonly kind: 'released'; readonly slot: number; readonly failure: SlotFailure | undefined }

/** Why going on would be wrong. */
export interface SlotFailure {
  readonly code: ErrorCode
  readonly what: string
}

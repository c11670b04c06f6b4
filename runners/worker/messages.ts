/** What the worker's main thread and its slot threads say to each other. */
import type { ErrorCode } from '../../kernel/index.js'
import type { SlotInspection } from '../slot/index.js'
import type { HostEvent, SlotStatus } from './slot-host.js'

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

/** What the worker's main thread and its slot threads say to each other. */
import type { ErrorCode } from '../../kernel/index.js'
import type { HostEvent, SlotStatus } from './slot-host.js'

export type ToThread =
  | { readonly kind: 'run'; readonly slot: number }
  | { readonly kind: 'stop'; readonly slot: number }
  /** Answer to 'ask'. */
  | { readonly kind: 'permission'; readonly slot: number; readonly granted: boolean }
  /** No slot runs here any more: let go of the models and end. */
  | { readonly kind: 'end' }

export type FromThread =
  | { readonly kind: 'status'; readonly status: SlotStatus }
  | { readonly kind: 'event'; readonly slot: number; readonly event: HostEvent }
  /** May this slot fence its last owner? Answered once the membership is fresh, or lost. */
  | { readonly kind: 'ask'; readonly slot: number }
  | { readonly kind: 'released'; readonly slot: number; readonly failure: SlotFailure | undefined }

/** Why going on would be wrong. */
export interface SlotFailure {
  readonly code: ErrorCode
  readonly what: string
}

/**
 * What may go wrong in the memory log, by named points. The object decides, from its own seed or script, so that a run
 * repeats exactly; the log itself has no randomness.
 */
import type { DurationMs } from '../../kernel/index.js'
import type { PollLimits } from '../port.js'

/**
 * - `none`: the commit works
 * - `refused`: BACKEND_FAILED, and nothing is written
 * - `lost`: COMMIT_INDEFINITE, and nothing is written
 * - `applied`: COMMIT_INDEFINITE, yet everything is written
 * - `delayed`: COMMIT_INDEFINITE; written when the disk settles, unless the committer has been fenced by then
 */
export type CommitFault = 'none' | 'refused' | 'lost' | 'applied' | 'delayed'

export interface CommitPoint {
  readonly id: string
  readonly generation: number
  /** Number of this commit among those of its committer, from 0. */
  readonly commit: number
}

export interface PollFault {
  /** Returns at most this many records; with 0 none, at once. */
  readonly recordsMax?: number
  /** The poll begins this much later. */
  readonly delayMs?: DurationMs
}

export interface PollPoint {
  /** Number of this poll among those of its log, from 0. */
  readonly poll: number
  readonly limits: PollLimits
}

export interface Faults {
  commit(at: CommitPoint): CommitFault
  poll(at: PollPoint): PollFault | undefined
  /** `refused`: BACKEND_FAILED; older committers stay as they are. `indefinite`: BACKEND_FAILED, but they are fenced. */
  committer(id: string): 'none' | 'refused' | 'indefinite'
}

export const noFaults: Faults = {
  commit: () => 'none',
  poll: () => undefined,
  committer: () => 'none',
}

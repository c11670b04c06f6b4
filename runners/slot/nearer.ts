/**
 * Whether a slot goes on from the store on its disk or from a checkpoint: decided purely from facts; restoring.ts acts on it.
 */
import type { StatePosition } from '../../state/index.js'

/**
 * What folding a record again takes, in bytes of a checkpoint that are restored in the same time: 10 us against 60 MB/s
 * (docs/state.md).
 */
const bytesPerRecord = 600

export interface Journaled {
  readonly lastEpoch: number
  /** The hash of the record where the state says that its own lies; undefined when there is none, or none any more. */
  readonly hash: string | undefined
  /** That of this record. */
  readonly plan: number | undefined
}

/** What the slot runs. */
export interface Runs {
  readonly fingerprint: string
  readonly plan: number
}

/**
 * @param what 'the store', 'the checkpoint'
 * @returns undefined when the journal goes on from this state
 */
export function whyUnusable(
  what: string,
  state: StatePosition,
  journaled: Journaled,
  running: Runs,
): string | undefined {
  if (state.fingerprint !== running.fingerprint) return `${what} is of another topology`
  if (state.epoch > journaled.lastEpoch) return `${what} reflects epoch ${state.epoch}, ahead of the journal`
  if (journaled.hash === undefined) return `the journal has no record of epoch ${state.epoch} where ${what} says`
  if (journaled.hash !== state.journalHash) return `${what}'s hash of epoch ${state.epoch} is not the journal's`
  if (journaled.plan !== running.plan) return `${what} is of plan ${journaled.plan}, and plan ${running.plan} has begun`
  return undefined
}

/** A state that the journal goes on from. */
export interface StartingPoint {
  /** Of its inputs, to be folded again; of which both were read they count for both. */
  readonly recordsToFold: number
  /** To be read from the checkpoint store; none of what lies on the disk. */
  readonly bytesToRestore: number
}

/** @param store undefined: it is empty, or of no use */
export function nearer(store: StartingPoint | undefined, checkpoint: StartingPoint): 'store' | 'checkpoint' {
  if (store === undefined) return 'checkpoint'
  const cost = ({ recordsToFold, bytesToRestore }: StartingPoint): number =>
    recordsToFold * bytesPerRecord + bytesToRestore
  return cost(checkpoint) < cost(store) ? 'checkpoint' : 'store'
}

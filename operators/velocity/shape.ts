/**
 * What a reservoir keeps, fixed when the step is created and the same for all its keys.
 *
 * An aggregate is a slice of doubles: [count, fraud, hi_0, lo_0, hi_1, lo_1, …], a sum being hi * 2^50 + lo with
 * 0 <= lo < 2^50: exact for 10^8 values of 10^15 and far beyond. New aggregates (a sum of squares, say) add limbs here
 * and one line in `addValue`'s callers.
 */
import { assert, type DurationMs } from '../../kernel/index.js'
import type { Run } from './run.js'

/** Of |value|: 10^15 minor units lie below it, and lo + value stays exact. */
export const limb = 2 ** 50
export const valueMax = 1e15

export interface ReservoirSizes {
  /** Events in the root beyond which the oldest `leafEvents` are sealed into a page. */
  readonly headEventsMax: number
  readonly leafEvents: number
  /** Entries of an index page. */
  readonly fanout: number
  /** Label changes kept in the root; more go to pages of this size. */
  readonly transitionsInRoot: number
}

/** Measured: smaller heads save little in writes, larger ones make every write of a busy key longer. */
export const defaultSizes: ReservoirSizes = { headEventsMax: 128, leafEvents: 96, fanout: 64, transitionsInRoot: 64 }

export interface ReservoirShape {
  /**
   * Offsets behind an evaluation time at which cumulative aggregates are kept, ascending, whole ms. The aggregate of
   * offset b at t covers the events with time <= t - b; one ms more makes the side strict (times are whole ms).
   */
  readonly boundaries: readonly number[]
  /** Whether fraud is counted at a boundary, in the order of `boundaries`; it stays 0 at the others. */
  readonly fraudAt: readonly boolean[]
  /** How many integers each event carries. */
  readonly values: number
  /** Events carry a 64-bit identity, and labels are joined to them. */
  readonly labelled: boolean
  readonly latenessMs: number
  /** Events at or before T - retentionMs serve no evaluation any more. */
  readonly retentionMs: number
  /** Labels waiting for their transaction, per key. */
  readonly earlyLabelsMax: number
  readonly sizes: ReservoirSizes
  /** Doubles in an aggregate. */
  readonly aggregate: number
  /** Doubles kept for a boundary: an aggregate, then next, and the cursor's offset and time (see reservoir.ts). */
  readonly stride: number
  /** Cursors of a reservoir without events; infinite `next`, so that a copy is an array of doubles from the start. */
  readonly noCursors: readonly number[]
  readonly work: Workspace
}

/** Where a step evaluates, for one key at a time: nothing is allocated for a record. */
export interface Workspace {
  readonly cursors: Float64Array
  readonly runs: (Run | undefined)[]
  readonly dropped: Float64Array
}

export interface ShapeOptions {
  readonly boundaries: readonly number[]
  /** Those of the boundaries that a share of fraud uses. */
  readonly fraudBoundaries: readonly number[]
  readonly values: number
  readonly labelled: boolean
  readonly lateness: DurationMs
  readonly earlyLabelsMax: number
  readonly sizes?: ReservoirSizes
}

export function reservoirShape(options: ShapeOptions): ReservoirShape {
  const boundaries = [...new Set(options.boundaries)].sort((a, b) => a - b)
  assert(boundaries.length > 0 && boundaries.every(b => Number.isSafeInteger(b) && b >= 0), 'boundaries are whole ms')
  const sizes = options.sizes ?? defaultSizes
  assert(sizes.leafEvents >= 2 && sizes.headEventsMax >= sizes.leafEvents && sizes.fanout >= 2, 'usable page sizes')
  const aggregate = 2 + 2 * options.values
  return {
    boundaries,
    fraudAt: boundaries.map(boundary => options.fraudBoundaries.includes(boundary)),
    values: options.values,
    labelled: options.labelled,
    latenessMs: options.lateness,
    retentionMs: boundaries[boundaries.length - 1]! + options.lateness,
    earlyLabelsMax: options.earlyLabelsMax,
    sizes,
    aggregate,
    stride: aggregate + 3,
    noCursors: boundaries.flatMap(() => [...new Array<number>(aggregate).fill(0), Number.POSITIVE_INFINITY, 0, 0]),
    work: {
      cursors: new Float64Array(boundaries.length * (aggregate + 3)),
      runs: new Array<Run | undefined>(boundaries.length).fill(undefined),
      dropped: new Float64Array(aggregate),
    },
  }
}

/** What a key keeps is an array: a typed array of more than 64 bytes has two more objects and a piece of memory of its own. */
export type Doubles = Float64Array | number[]

/** Adds a value to the sum whose limbs start at `at`. */
export function addValue(sums: Doubles, at: number, value: number): void {
  let lo = sums[at + 1]! + value
  if (lo >= limb) {
    lo -= limb
    sums[at]! += 1
  } else if (lo < 0) {
    lo += limb
    sums[at]! -= 1
  }
  sums[at + 1] = lo
}

/** into += sign * from, over whole aggregates of `size` doubles. */
export function addAggregate(
  into: Doubles,
  at: number,
  from: Doubles,
  fromAt: number,
  size: number,
  sign: 1 | -1,
): void {
  into[at]! += sign * from[fromAt]!
  into[at + 1]! += sign * from[fromAt + 1]!
  for (let i = 2; i < size; i += 2) {
    into[at + i]! += sign * from[fromAt + i]!
    addValue(into, at + i, sign * from[fromAt + i + 1]!)
  }
}

/**
 * Watermarks per partition, and what follows from them.
 *
 * Invariants: a watermark never goes back; it moves only at an epoch's end, by what that epoch read, and is journaled, so
 * that a replay moves it alike (I3). An idle partition does not hold the others back; it speaks again with its next record.
 */
import { beginningOfTime, type EventTimeMs, eventTime } from '../../kernel/index.js'
import type { TopicPartition } from '../../log/index.js'
import type { PartitionClock } from './journal.js'

interface ClockState {
  readonly at: TopicPartition
  watermark: EventTimeMs
  idle: boolean
  /** Wall clock of the last record; only live epochs look at it. */
  lastRecordMs: number
}

export const clockKey = (at: TopicPartition): string => `${at.topic}/${at.partition}`

export class Clocks {
  readonly #states = new Map<string, ClockState>()

  constructor(partitions: readonly TopicPartition[], nowMs: number) {
    for (const at of partitions) {
      this.#states.set(clockKey(at), { at, watermark: beginningOfTime, idle: false, lastRecordMs: nowMs })
    }
  }

  /** What the journal says after a committed epoch. */
  restore(clocks: readonly PartitionClock[]): void {
    for (const clock of clocks) {
      const state = this.#states.get(clockKey(clock))
      if (state === undefined) continue
      state.watermark = clock.watermark_ms === null ? beginningOfTime : eventTime(clock.watermark_ms)
      state.idle = clock.idle
    }
  }

  /**
   * The clocks after an epoch that read up to these event times. Watermarks and idleness stay as they are until `restore`;
   * only when a partition was last heard is noted at once.
   */
  after(seen: ReadonlyMap<string, number>, nowMs: number, idleAfterMs: number): readonly PartitionClock[] {
    const clocks: PartitionClock[] = []
    for (const [key, state] of this.#states) {
      const at = seen.get(key)
      if (at !== undefined) state.lastRecordMs = nowMs
      const watermark = at === undefined ? state.watermark : Math.max(state.watermark, at)
      clocks.push({
        topic: state.at.topic,
        partition: state.at.partition,
        watermark_ms: watermark === Number.NEGATIVE_INFINITY ? null : watermark,
        idle: at === undefined && (state.idle || nowMs - state.lastRecordMs >= idleAfterMs),
      })
    }
    return clocks
  }
}

/** The slot's watermark: the least of the partitions that are not idle; of all, when every one is idle. */
export function slotWatermark(clocks: readonly PartitionClock[]): EventTimeMs {
  const awake = clocks.filter(clock => !clock.idle)
  let least = Number.POSITIVE_INFINITY
  for (const clock of awake.length > 0 ? awake : clocks) {
    least = Math.min(least, clock.watermark_ms ?? Number.NEGATIVE_INFINITY)
  }
  return eventTime(least === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : least)
}

/** A partition that was idle and speaks again may be behind: the slot's watermark does not go back with it. */
export function advanced(from: EventTimeMs, clocks: readonly PartitionClock[]): EventTimeMs {
  return eventTime(Math.max(from, slotWatermark(clocks)))
}

/** Idle keys expire by event time, but never faster than the log's own clock: no record can expire another's key. */
export function expiryOf(watermark: number, loggedAtMs: number): number | null {
  const at = Math.min(watermark, loggedAtMs)
  return Number.isFinite(at) ? at : null
}

/**
 * Watermarks per partition, and what follows from them.
 *
 * Invariants: a watermark never goes back; it moves only at an epoch's end, by what that epoch read, and is journaled, so
 * that a replay moves it alike (I3). An idle partition does not hold the others back; it speaks again with its next record.
 */
import { beginningOfTime, type EventTimeMs, eventTime } from '../../kernel/index.js'
import type { TopicPartition } from '../../log/index.js'
import type { Plan } from '../../topology/index.js'
import type { PartitionClock } from './journal.js'

/** A partition; of a hop's, one for each slot that writes it: what one has sent says nothing of what another will. */
export interface ClockAt extends TopicPartition {
  readonly upstream?: number
}

interface ClockState {
  readonly at: ClockAt
  watermark: EventTimeMs
  idle: boolean
  /** Wall clock of the last record; only live epochs look at it. */
  lastRecordMs: number
}

export const clockKey = (at: ClockAt): string =>
  at.upstream === undefined ? `${at.topic}/${at.partition}` : `${at.topic}/${at.partition}<${at.upstream}`

/** The clocks of these inputs. */
export function clocksOf(plan: Plan, inputs: readonly TopicPartition[]): readonly ClockAt[] {
  const hops = new Set(plan.hops.map(hop => hop.topic))
  return inputs.flatMap(({ topic, partition }): ClockAt[] => {
    if (!hops.has(topic)) return [{ topic, partition }]
    return Array.from({ length: plan.placement.slots }, (_, upstream) => ({ topic, partition, upstream }))
  })
}

export class Clocks {
  readonly #states = new Map<string, ClockState>()

  constructor(partitions: readonly ClockAt[], nowMs: number) {
    for (const at of partitions) {
      this.#states.set(clockKey(at), { at, watermark: beginningOfTime, idle: false, lastRecordMs: nowMs })
    }
  }

  /** What the journal says after a committed epoch. */
  restore(clocks: readonly PartitionClock[]): void {
    for (const state of this.#states.values()) if (state.at.upstream !== undefined) state.idle = true
    for (const clock of clocks) {
      const state = this.#states.get(clockKey(clock))
      if (state === undefined) continue
      state.watermark = clock.watermark_ms === null ? beginningOfTime : eventTime(clock.watermark_ms)
      state.idle = clock.idle
    }
  }

  /** As the journal has them after the last committed epoch. */
  current(): readonly PartitionClock[] {
    return this.after(new Map(), 0, Number.POSITIVE_INFINITY)
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
      const idle = at === undefined && (state.idle || nowMs - state.lastRecordMs >= idleAfterMs)
      const watermark_ms = watermark === Number.NEGATIVE_INFINITY ? null : watermark
      const { topic, partition, upstream } = state.at
      if (upstream === undefined) clocks.push({ topic, partition, watermark_ms, idle })
      // A slot that has not sent anything here is not spoken of.
      else if (watermark_ms !== null || !idle) clocks.push({ topic, partition, upstream, watermark_ms, idle })
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

/**
 * The watermarks of a plan's stages: of each the least of all inputs up to it. Those of later stages rest on what slots
 * said of earlier ones, never the other way round: a watermark that went in circles would stand still.
 */
export function advancedStages(
  plan: Plan,
  from: readonly EventTimeMs[],
  clocks: readonly PartitionClock[],
): readonly EventTimeMs[] {
  const stages = new Map(plan.sources.map(({ name, topic }) => [topic, plan.stageOf.get(name) ?? 0]))
  return from.map((at, stage) =>
    advanced(
      at,
      clocks.filter(({ topic }) => (stages.get(topic) ?? 0) <= stage),
    ),
  )
}

/** Idle keys expire by event time, but never faster than the log's own clock: no record can expire another's key. */
export function expiryOf(watermark: number, loggedAtMs: number): number | null {
  const at = Math.min(watermark, loggedAtMs)
  return Number.isFinite(at) ? at : null
}

/**
 * Where a slot of a plan begins that follows another: decided purely from the closing epochs of all slots before
 * (docs/decisions/0016).
 */
import type { TopicPartition } from '../../log/index.js'
import type { Plan } from '../../topology/index.js'
import { clocksOf } from './clocks.js'
import type { EpochRecord, GenesisFrom, LaterGenesis, PartitionClock, PartitionOffset } from './journal.js'
import { genesisOf } from './ownership.js'
import { partitionKey } from './running.js'

/** The last epoch of a slot in a plan that is closed. */
export interface ClosingEpoch {
  readonly record: EpochRecord
  readonly hash: string
}

export interface LaterGenesisFacts {
  readonly plan: Plan
  /** The plan's number. */
  readonly number: number
  readonly keyGroups: number
  readonly partitionsOf: (topic: string) => number
  /** By slot, all of the plan before. */
  readonly closings: readonly ClosingEpoch[]
  readonly from: GenesisFrom
  /** Where inputs are read from of which the plan before says nothing: hops, whose records are all done with, and new sources. */
  readonly startOf: (at: TopicPartition) => string
  readonly job?: LaterGenesis['job']
}

export function laterGenesis(slot: number, facts: LaterGenesisFacts): LaterGenesis {
  const { plan, number, closings, startOf, ...options } = facts
  const hops = new Set(plan.hops.map(({ topic }) => topic))
  const before = closings.map(({ record }) => record)
  const positions = byPartition(before.flatMap(record => record.positions))
  const clocks = byPartition(before.flatMap(record => record.clocks))
  const { app, slots, key_groups, partitions, start, job } = genesisOf(plan, slot, {
    ...options,
    startOf: at => (hops.has(at.topic) ? undefined : positions.get(partitionKey(at)))?.offset ?? startOf(at),
  })
  return {
    v: 2,
    kind: 'genesis',
    app,
    slots,
    slot,
    plan: number,
    epoch: 1 + Math.max(...before.map(({ epoch }) => epoch)),
    generation: Math.max(...before.map(({ generation }) => generation)),
    key_groups,
    partitions,
    start,
    clocks: clocksOf(plan, start).map((at): PartitionClock => {
      const known = at.upstream === undefined ? clocks.get(partitionKey(at)) : undefined
      return { ...at, watermark_ms: known?.watermark_ms ?? null, idle: known?.idle ?? false }
    }),
    watermark_ms: least(before.map(({ watermark_ms }) => watermark_ms)),
    counts: slot === 0 ? totals(before) : {},
    job,
    fingerprint: plan.fingerprint,
    from: facts.from,
    previous: closings[slot]?.hash ?? null,
  }
}

function byPartition<T extends PartitionOffset | PartitionClock>(items: readonly T[]): ReadonlyMap<string, T> {
  return new Map(items.map(item => [partitionKey(item), item]))
}

/** null: one has none yet. */
const least = (times: readonly (number | null)[]): number | null => {
  const known = times.filter(at => at !== null)
  return known.length < times.length ? null : Math.min(...known)
}

function totals(records: readonly EpochRecord[]): Readonly<Record<string, number>> {
  const sums = new Map<string, number>()
  for (const { counts } of records) {
    for (const [name, count] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + count)
  }
  return Object.fromEntries(sums)
}

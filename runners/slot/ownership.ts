/**
 * Which partitions a slot reads: partition p of any input belongs to slot p mod slots. A key then has one slot for
 * everything that is partitioned by it, hops included.
 */
import type { TopicPartition } from '../../log/index.js'
import type { Plan } from '../../topology/index.js'
import type { GenesisRecord, PartitionOffset } from './journal.js'

export function ownedPartitions(
  plan: Plan,
  slot: number,
  partitionsOf: (topic: string) => number,
): readonly TopicPartition[] {
  const { slots } = plan.placement
  return plan.sources.flatMap(({ topic }) =>
    Array.from({ length: partitionsOf(topic) }, (_, partition) => ({ topic, partition })).filter(
      ({ partition }) => partition % slots === slot,
    ),
  )
}

/** What pins a new plan: slots, the partitions of every topic that is read, and where this slot starts. */
export function genesisOf(
  plan: Plan,
  slot: number,
  options: {
    readonly keyGroups: number
    readonly partitionsOf: (topic: string) => number
    /** Where an input is read from; default its first record. */
    readonly startOf?: (at: TopicPartition) => string
    readonly job?: GenesisRecord['job']
  },
): Omit<GenesisRecord, 'v' | 'kind' | 'fingerprint' | 'slot'> {
  const { keyGroups, partitionsOf, startOf = () => '0', job = {} } = options
  const start: PartitionOffset[] = ownedPartitions(plan, slot, partitionsOf).map(at => ({ ...at, offset: startOf(at) }))
  return {
    app: plan.app,
    slots: plan.placement.slots,
    key_groups: keyGroups,
    partitions: plan.sources.map(({ topic }) => ({ topic, count: partitionsOf(topic) })),
    start,
    job,
  }
}

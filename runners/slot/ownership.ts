/**
 * Which partitions a slot reads: partition p of any input belongs to slot p mod slots. A key then has one slot for
 * everything that is partitioned by it, hops included.
 */
import { positiveMurmur2 } from '../../kernel/index.js'
import type { TopicPartition } from '../../log/index.js'
import { unknownStep } from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import type { FirstGenesis, PartitionOffset } from './journal.js'

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

/**
 * The slot that has a step's state of a key.
 * @throws WeirError UNKNOWN_STEP
 */
export function slotOfKey(plan: Plan, step: string, key: string): number {
  const { slots, partitions } = plan.placement
  const stateful = plan.steps.filter(node => node.kind === 'operator' && node.spec.stateful)
  const found = stateful.find(node => node.name === step)
  if (found?.kind !== 'operator') throw unknownStep(stateful.map(node => node.name))
  // The engine's own steps are keyed by the number of a partition.
  const ownKey = found.spec.keyOfRow !== undefined && /^\d{1,6}$/.test(key)
  const partition = ownKey ? Number(key) : positiveMurmur2(Buffer.from(key, 'utf8')) % partitions
  return partition % slots
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
    readonly job?: FirstGenesis['job']
  },
): Omit<FirstGenesis, 'v' | 'kind' | 'fingerprint' | 'slot'> {
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

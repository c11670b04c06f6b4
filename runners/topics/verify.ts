/** What exists against what a deployment needs. */
import type { TopicSpec } from './topics.js'

export interface ExistingTopic {
  readonly partitions: number
  readonly replication: number
  /** Kafka's settings of the topic; undefined where they may not be read. */
  readonly config: ReadonlyMap<string, string | null> | undefined
}

/** Settings of a topic in which it may differ from its specification. */
export const comparedSettings = ['cleanup.policy', 'retention.ms', 'retention.bytes', 'min.insync.replicas'] as const

/** @returns what is wrong, in words; longer retention than asked for is not */
export function differences(spec: TopicSpec, found: ExistingTopic, brokers: number): readonly string[] {
  const wrong: string[] = []
  if (found.partitions !== spec.partitions) {
    wrong.push(`${spec.name} has ${found.partitions} partitions, not ${spec.partitions}`)
  }
  const replication = brokers >= 3 ? 3 : 1
  if (found.replication < replication) {
    wrong.push(`${spec.name} has ${found.replication} replicas of ${replication}`)
  }
  if (found.config === undefined) return wrong
  const policy = found.config.get('cleanup.policy')
  if (policy !== 'delete') wrong.push(`${spec.name} has cleanup.policy ${policy}, not delete`)
  for (const name of ['retention.ms', 'retention.bytes'] as const) {
    const least = spec.config[name] ?? '-1'
    // Sizes are nobody's promise where only a time was asked for.
    if (spec.config[name] === undefined && name === 'retention.bytes') continue
    const value = found.config.get(name) ?? '-1'
    if (value !== '-1' && (least === '-1' || Number(value) < Number(least))) {
      wrong.push(`${spec.name} has ${name} ${value}, less than ${least}`)
    }
  }
  const inSync = Number(found.config.get('min.insync.replicas') ?? 1)
  if (found.replication >= 3 && inSync < 2) wrong.push(`${spec.name} has min.insync.replicas ${inSync}, not 2`)
  return wrong
}

/** The topics of a deployment (contract, Topics): names, and what they are created with. */
import { repeatsTopicOf } from '../../fraud/index.js'
import { days, hours } from '../../kernel/index.js'
import { repliesTopic } from '../replies/index.js'
import { journalTopicOf } from '../slot/index.js'

export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  /** Kafka's names and values. */
  readonly config: Readonly<Record<string, string>>
}

export interface TopicPlan {
  readonly app: string
  /** Of `transactions`; the other topics of its keys have as many. */
  readonly partitions: number
  readonly slots: number
  /** HTTP edges that run at once: partitions of their replies; default 4. */
  readonly edges?: number
  /** Topics by which rows go from slot to slot, where there are several. */
  readonly hops?: readonly string[]
}

export const edgesDefault = 4

const forEver = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' }
const kept = (ms: number) => ({ 'cleanup.policy': 'delete', 'retention.ms': String(ms) })
const transactionsKept = days(7)
const deadLettersKept = days(30)
const replaysKept = days(60)
/** A repeated id is answered with its first decision for as long as it is known as a repeat: 67 days. */
const decisionsKept = days(67)
/** Whoever waits for one waits for half a minute at most. */
const repliesKept = hours(1)
const provisionalKept = days(67)
/** A label may arrive weeks after its transaction, and must be there for a replay of the journal. */
const labelsKept = days(67)

/** Marks of the dead letters that were sent again. */
export const replaysTopicOf = (app: string): string => `weir.${app}.replays`

export function topicSpecs(plan: TopicPlan): readonly TopicSpec[] {
  const { app, partitions, slots, edges = edgesDefault, hops = [] } = plan
  return [
    { name: 'transactions', partitions, config: kept(transactionsKept) },
    { name: 'labels', partitions, config: kept(labelsKept) },
    { name: 'control', partitions: 1, config: forEver },
    { name: 'decisions', partitions, config: kept(decisionsKept) },
    { name: 'decisions.provisional', partitions, config: kept(provisionalKept) },
    { name: repliesTopic, partitions: edges, config: kept(repliesKept) },
    // They are the transactions once more.
    { name: repeatsTopicOf(app), partitions, config: kept(transactionsKept) },
    { name: 'transactions.dead-letter', partitions, config: kept(deadLettersKept) },
    // Outlives the dead letters that it speaks of: Kafka deletes whole segments, up to a week late.
    { name: replaysTopicOf(app), partitions: 1, config: kept(replaysKept) },
    // Trimmed by Weir itself, behind what no recovery needs: time must not take it away.
    { name: journalTopicOf(app), partitions: slots, config: forEver },
    // A replay of the journal reads them as it reads the transactions.
    ...hops.map(name => ({ name, partitions, config: kept(transactionsKept) })),
  ]
}

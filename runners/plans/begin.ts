/**
 * Begins the plan that follows one that is closed: one transaction writes the genesis of every slot (docs/decisions/0016).
 *
 * Invariants: 1. before it is written every transactional id of both plans is fenced: nobody of before writes any more (I4);
 * 2. it is written under an id of its own, fenced before the journal is looked at: of two that begin a plan one does;
 * 3. a plan that has begun as asked for is no error; nothing is written then, and who runs it is not fenced.
 */
import { assert, defined, WeirError } from '../../kernel/index.js'
import type { Log, TopicPartition } from '../../log/index.js'
import { type Migration, type MigrationWishes, planMigration, type StoredSavepoint } from '../../state/index.js'
import { type Plan, stateSchemas } from '../../topology/index.js'
import {
  type ClosingEpoch,
  encodeJournalRecord,
  firstOfPlan,
  type GenesisFrom,
  journalTopicOf,
  type LaterGenesis,
  laterGenesis,
  ownedPartitions,
  partitionKey,
} from '../slot/index.js'
import { isOf } from './close.js'
import { type Standing, standingOf } from './standing.js'

export type BeginPoint = 'plan-fenced' | 'slots-fenced' | 'begun'

export interface BeginOptions {
  readonly log: Log
  readonly saved: StoredSavepoint
  /** The plan that begins. Its topics are there. */
  readonly plan: Plan
  readonly wishes: MigrationWishes
  readonly at?: (point: BeginPoint) => void | Promise<void>
}

/** What becomes of the state. @throws WeirError STATE_INCOMPATIBLE, SAVEPOINT_OPEN, USAGE, TOPIC_MISMATCH */
export function checkNext({ saved: { savepoint }, plan, wishes }: Omit<BeginOptions, 'log'>): Migration {
  const { slots, partitions } = plan.placement
  if (!savepoint.closed) {
    throw new WeirError('SAVEPOINT_OPEN', `plan ${savepoint.plan} went on when '${savepoint.name}' was made of it`)
  }
  const pinned = savepoint.partitions.find(({ count }) => slots > 1 && count !== partitions)
  if (pinned !== undefined) {
    const what = `${pinned.topic} has ${pinned.count} partitions, and in a plan of ${slots} slots each input has ${partitions}`
    throw new WeirError('TOPIC_MISMATCH', what)
  }
  return planMigration(savepoint, stateSchemas(plan), wishes)
}

/** @returns the number of the plan @throws WeirError as `checkNext`; PLAN_CLOSED when another plan has begun; as the log does */
export async function beginPlan(options: BeginOptions): Promise<number> {
  const { log, saved, plan, at } = options
  const { savepoint, sha256 } = saved
  const from: GenesisFrom = { savepoint: savepoint.name, sha256, migration: checkNext(options) }
  const number = savepoint.plan + 1
  if (await hasBegun(options, await standingOf(log, plan.app), number)) return number
  const committer = await log.committer(`weir.${plan.app}.plan`)
  try {
    await at?.('plan-fenced')
    for (let slot = 0; slot < Math.max(savepoint.slots, plan.placement.slots); slot++) {
      await (await log.committer(`weir.${plan.app}.slot-${slot}`)).close()
    }
    await at?.('slots-fenced')
    const standing = await standingOf(log, plan.app)
    if (await hasBegun(options, standing, number)) return number
    if (!isOf(saved, standing)) {
      throw new WeirError('USAGE', `savepoint '${savepoint.name}' is not where plan ${standing.plan} was closed into`)
    }
    const records = await genesisRecords(options, standing, number, from)
    const topic = journalTopicOf(plan.app)
    await committer.commit(
      records.map((record, partition) => ({
        topic,
        partition,
        records: [{ key: null, value: encodeJournalRecord(record).bytes }],
      })),
    )
    await at?.('begun')
    return number
  } finally {
    await committer.close()
  }
}

/** @throws WeirError PLAN_CLOSED when it is not the plan that is asked for */
async function hasBegun({ log, plan, saved }: BeginOptions, standing: Standing, number: number): Promise<boolean> {
  if (standing.plan < number) return false
  const { app, placement } = plan
  const first = await firstOfPlan(log, { topic: journalTopicOf(app), partition: 0 }, number)
  const same =
    standing.plan === number &&
    standing.slots === placement.slots &&
    (first?.record.kind !== 'genesis' || first.record.v !== 2 || first.record.from.sha256 === saved.sha256)
  if (!same) throw new WeirError('PLAN_CLOSED', `plan ${standing.plan} has begun, with ${standing.slots} slots`)
  return true
}

async function genesisRecords(
  { log, saved, plan }: BeginOptions,
  { last }: Standing,
  number: number,
  from: GenesisFrom,
): Promise<readonly LaterGenesis[]> {
  const { slots } = plan.placement
  const closings = last.map((link): ClosingEpoch => {
    const { record, hash } = defined(link, 'a closing epoch')
    assert(record.kind === 'epoch' && record.v === 3, 'a plan that is closed ends with an epoch')
    return { record, hash }
  })
  const counts = new Map<string, number>()
  for (const { topic } of plan.sources) counts.set(topic, await log.partitionCount(topic))
  const partitionsOf = (topic: string): number => counts.get(topic) ?? 0
  const hops = new Set(plan.hops.map(({ topic }) => topic))
  const starts = new Map<string, string>()
  for (let slot = 0; slot < slots; slot++) {
    for (const at of ownedPartitions(plan, slot, partitionsOf)) {
      const { earliest, latest } = await log.range(at)
      starts.set(partitionKey(at), String(hops.has(at.topic) ? latest : earliest))
    }
  }
  const startOf = (at: TopicPartition): string => starts.get(partitionKey(at)) ?? '0'
  const facts = { plan, number, keyGroups: saved.savepoint.key_groups, partitionsOf, closings, from, startOf }
  return Array.from({ length: slots }, (_, slot) => laterGenesis(slot, facts))
}

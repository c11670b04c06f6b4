/** A worker from its job: what the topics say, what lies on the disk, then the group. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { repeatsTopicOf } from '../../fraud/index.js'
import { type Clock, isWeirError, WeirError } from '../../kernel/index.js'
import { defaultLimits, KafkaLog } from '../../log/kafka/index.js'
import { HttpSchemaRegistry, registerSchema } from '../../schemas/registry/index.js'
import { keyGroupsFor, openRocksDb, StateStore } from '../../state/index.js'
import { makeFolders } from '../folders/index.js'
import { shareMemory } from '../memory/index.js'
import { standingOf } from '../plans/index.js'
import { repliesTopic } from '../replies/index.js'
import { journalTopicOf, slotOfKey } from '../slot/index.js'
import { planOf, type RegistryAccess, type WorkerJob } from './job.js'
import { kafkajsConfig } from './kafka.js'
import { Membership } from './membership.js'
import { SlotWorker, type WorkerEvent } from './worker.js'

/** Whoever starts the worker tries again (start.ts), and must be able to stop within seconds. */
const attemptsMax = 3

export interface WorkerSettings extends Omit<WorkerJob, 'planNumber' | 'slots' | 'partitions' | 'registry' | 'memory'> {
  /** Of the process; it must do for all slots, because a worker that is left alone runs them all. */
  readonly memoryBudgetBytes: number
  /** Undefined: values are JSON. */
  readonly registry: Omit<RegistryAccess, 'decisionSchema'> | undefined
  readonly threads: number
  readonly clock: Clock
  readonly onEvent: (event: WorkerEvent) => void
}

/** @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE, OUTPUT_UNWRITABLE, … */
export async function openWorker(settings: WorkerSettings): Promise<SlotWorker> {
  const { threads, clock, onEvent, registry: registryAddress, memoryBudgetBytes, ...rest } = settings
  makeFolders(rest.dataDir)
  const log = await KafkaLog.open({ ...rest.kafka, limits: { ...defaultLimits, attemptsMax } })
  try {
    const journal = journalTopicOf(rest.app)
    const { plan: planNumber, slots, ends } = await standingOf(log, rest.app)
    if (ends !== undefined && ends.slotsClosed > 0) {
      const closed = ends.slotsClosed === slots ? 'closed' : `being closed, ${ends.slotsClosed} of ${slots} slots are,`
      throw new WeirError('PLAN_CLOSED', `plan ${planNumber} is ${closed} into '${ends.savepoint}'`)
    }
    const partitions = await log.partitionCount('transactions')
    const memory = shareMemory(memoryBudgetBytes, { slots, threads })
    // A wrong rule file is better found here than in every thread.
    const plan = planOf({ ...rest, slots, partitions, registry: undefined }, undefined)
    const inputs = await Promise.all(
      plan.sources.map(async ({ topic }) => ({ topic, partitions: await log.partitionCount(topic) })),
    )
    const decisions = await log.partitionCount('decisions')
    if (decisions !== partitions) {
      const what = `decisions has ${decisions} partitions, transactions ${partitions}: a customer's lie under the same number`
      throw new WeirError('TOPIC_MISMATCH', what)
    }
    await log.partitionCount('transactions.dead-letter')
    await log.partitionCount(repeatsTopicOf(rest.app))
    await log.partitionCount(repliesTopic)
    const { prefix = '' } = rest.kafka
    const registry = registryAddress && (await registerSchemas(registryAddress, prefix, clock))
    const job: WorkerJob = { ...rest, planNumber, slots, partitions, memory, registry }
    const membership: ConstructorParameters<typeof SlotWorker>[0]['membership'] = callbacks =>
      new Membership({
        kafka: kafkajsConfig(rest.kafka),
        groupId: `${prefix}weir.${rest.app}`,
        journalTopic: prefix + journal,
        inputs: inputs.map(input => ({ ...input, topic: prefix + input.topic })),
        clock,
        ...callbacks,
      })
    return new SlotWorker(
      {
        job,
        threads,
        prefix,
        clock,
        membership,
        onEvent,
        planIsOver: () => planIsOver(job),
        slotOf: (step, key) => slotOfKey(plan, step, key),
      },
      await storedEpochs(rest.dataDir, partitions),
    )
  } finally {
    await log.close()
  }
}

/** Asked now and then, where no slot runs. */
async function planIsOver({ app, kafka, planNumber }: WorkerJob): Promise<string | undefined> {
  const log = await KafkaLog.open({ ...kafka, limits: { ...defaultLimits, attemptsMax } })
  try {
    const { plan } = await standingOf(log, app)
    return plan === planNumber ? undefined : `plan ${plan} has begun`
  } catch (error) {
    // What is wrong with Kafka shows where it matters.
    if (isWeirError(error)) return undefined
    throw error
  } finally {
    await log.close()
  }
}

/** Ours, or those of an older version that ours can follow. @throws WeirError SCHEMA_CONFLICT, REGISTRY_UNREACHABLE */
export async function registerSchemas(
  address: Omit<RegistryAccess, 'decisionSchema'>,
  prefix: string,
  clock: Clock,
): Promise<RegistryAccess> {
  const registry = new HttpSchemaRegistry({ ...address, clock })
  await registerSchema(registry, `${prefix}transactions`, 'transaction')
  await registerSchema(registry, `${prefix}labels`, 'label')
  return { ...address, decisionSchema: await registerSchema(registry, `${prefix}decisions`, 'decision') }
}

/** Of the slots whose stores lie here: the group prefers the member that has the newest. */
async function storedEpochs(dataDir: string, partitions: number): Promise<ReadonlyMap<number, number>> {
  const epochs = new Map<number, number>()
  for (const name of existsSync(dataDir) ? readdirSync(dataDir) : []) {
    const slot = /^slot-(\d{1,4})$/.exec(name)?.[1]
    if (slot === undefined) continue
    const backend = await openRocksDb(join(dataDir, name))
    try {
      const store = await StateStore.open({ backend, keyGroups: keyGroupsFor(partitions), cacheBytesMax: 1 << 20 })
      if (store.reflects !== undefined) epochs.set(Number(slot), store.reflects.epoch)
    } finally {
      await backend.close()
    }
  }
  return epochs
}

/** A slot of the plan that ends, as whoever closes it runs it: on a store of its own, until nothing is under way. */
import { join } from 'node:path'
import { repeatsTopicOf } from '../../fraud/index.js'
import type { Clock } from '../../kernel/index.js'
import { defined, millis } from '../../kernel/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import { Catalogue, type CheckpointStore, keyGroupsFor, openRocksDb, StateStore } from '../../state/index.js'
import { makeFolders } from '../folders/index.js'
import { type OpenSlot, seedOf } from '../plans/index.js'
import { ReplySender, repliesTopic } from '../replies/index.js'
import { readerWithSchemas } from '../schemas/index.js'
import { genesisOf, journalTopicOf, Slot, type SlotEvent } from '../slot/index.js'
import { topicDeadLetters } from '../topics/index.js'
import type { WorkerJob } from './job.js'
import type { RegistryEvent } from './messages.js'
import type { SlotParts } from './slot-host.js'
import { SlotLog } from './slot-log.js'

export interface ClosingIo {
  readonly clock: Clock
  /** Of checkpoints and savepoints. */
  readonly store: CheckpointStore
  /** Whether this process may own the slots (I4). */
  readonly permission: () => Promise<boolean>
  readonly onEvent: (slot: number, event: SlotEvent | RegistryEvent) => void
}

/** Nobody waits for long polls: it drains. */
const pollWait = millis(20)
const repliesMsMax = millis(1_000)

/** @throws WeirError BACKEND_FAILED, KAFKA_UNAVAILABLE, … */
export async function openClosingSlot(
  job: WorkerJob,
  number: number,
  { plan, models, schemas }: SlotParts,
  { clock, store, permission, onEvent }: ClosingIo,
): Promise<OpenSlot> {
  const directory = join(job.dataDir, `slot-${number}`)
  makeFolders(directory)
  const undo: (() => Promise<unknown>)[] = []
  const release = async (): Promise<void> => {
    for (const close of undo.splice(0).reverse()) await close()
  }
  try {
    const backend = await openRocksDb(directory, job.memory.backend)
    undo.push(() => backend.close())
    const kafka = await KafkaLog.open(job.kafka)
    undo.push(() => kafka.close())
    const log = new SlotLog(kafka, {
      permission,
      journalTopic: journalTopicOf(job.app),
      withSchemas: reader =>
        schemas === undefined
          ? reader
          : readerWithSchemas(reader, {
              schemas,
              clock,
              onUnreachable: why => onEvent(number, { kind: 'registry', answers: why === undefined }),
            }),
    })
    const partitions = await kafka.partitionCount(repliesTopic)
    const replies = new ReplySender({ producer: kafka, clock, partitions, repeatsTopic: repeatsTopicOf(job.app) })
    undo.push(() => replies.close(repliesMsMax))
    const counts = new Map<string, number>()
    for (const { topic } of plan.sources) counts.set(topic, await kafka.partitionCount(topic))
    const keyGroups = keyGroupsFor(job.partitions)
    const { placement } = plan
    const slot = new Slot({
      plan,
      planNumber: job.planNumber,
      isCloser: true,
      slot: number,
      log,
      store: await StateStore.open({ backend, keyGroups, cacheBytesMax: job.memory.cacheBytesMax }),
      checkpoints: {
        catalogue: new Catalogue(store, job.app, number),
        backend,
        // What it leaves is a savepoint.
        checkpointer: { afterWriteBack: async () => {} },
      },
      seed: seedOf({ store, slot: number, placement, backend }),
      models,
      clock,
      syncState: false,
      limits: { pollWaitMs: pollWait, dirtyBytesMax: job.memory.dirtyBytesMax },
      genesis: genesisOf(plan, number, { keyGroups, partitionsOf: topic => defined(counts.get(topic), topic) }),
      deadLetters: topicDeadLetters,
      onEvent: event => onEvent(number, event),
      onCommitted: replies.onCommitted,
    })
    return { slot, log, backend, release }
  } catch (error) {
    await release()
    throw error
  }
}

/**
 * Runs one slot for as long as it is ours: opens its store and its log, steps it, begins anew after a failure.
 *
 * Invariants: 1. it fences nobody without permission (I4, slot-log.ts); 2. what another try cannot mend ends the host with
 * its error: going on would be wrong; 3. a stop finishes the epoch that runs and writes state back.
 */
import { join } from 'node:path'
import { repeatsTopicOf } from '../../fraud/index.js'
import {
  type Clock,
  type DurationMs,
  defined,
  isWeirError,
  messageOf,
  millis,
  seconds,
  WeirError,
} from '../../kernel/index.js'
import { type LogReader, type LogTrimmer, offset } from '../../log/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import type { WriterSchemas } from '../../schemas/registry/index.js'
import type { Model } from '../../scoring/index.js'
import {
  type CheckpointEvent,
  type InspectOptions,
  keyGroupsFor,
  openRocksDb,
  type StateBackend,
  StateStore,
  type StoreMemory,
} from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import { makeFolders } from '../folders/index.js'
import { HeapWatch } from '../memory/index.js'
import { ReplySender, repliesTopic } from '../replies/index.js'
import { readerWithSchemas } from '../schemas/index.js'
import {
  type GenesisRecord,
  genesisOf,
  journalTopicOf,
  ownedPartitions,
  type PartitionOffset,
  partitionKey,
  Slot,
  type SlotEvent,
  type SlotInspection,
} from '../slot/index.js'
import { topicDeadLetters } from '../topics/index.js'
import { type HostedCheckpoints, withCheckpoints } from './checkpoints.js'
import type { WorkerJob } from './job.js'
import { SlotLog } from './slot-log.js'

const pauseMin = millis(100)
const pauseMax = seconds(5)
const statusEvery = millis(250)
const topicsCheckedEvery = seconds(10)
/** What replies get to leave when the slot does. */
const repliesMsMax = seconds(1)

/** Errors that stay whatever is tried: somebody has to act. */
const lasting = new Set([
  'FINGERPRINT_MISMATCH',
  'JOURNAL_CORRUPT',
  'JOURNAL_WITHOUT_GENESIS',
  'HISTORY_TRIMMED',
  'TOPIC_MISMATCH',
  'UNKNOWN_TOPIC',
  'OFFSET_OUT_OF_RANGE',
  'STATE_FORMAT',
  'DIRECTORY_IN_USE',
  'OUTPUT_UNWRITABLE',
])

export interface InputStatus {
  readonly topic: string
  readonly partition: number
  /** Records not read yet, those of open transactions included. */
  readonly behind: number
  /** Records held back by transactions that are still open. */
  readonly undecided: number
}

export interface SlotStatus {
  readonly slot: number
  readonly state: string
  readonly epoch: number
  /** Epoch that the store on disk reflects; undefined before it is open. */
  readonly stored: number | undefined
  readonly memory: StoreMemory
  readonly counts: Readonly<Record<string, number>>
  readonly positions: readonly PartitionOffset[]
  readonly inputs: readonly InputStatus[]
}

export type HostEvent =
  | SlotEvent
  | CheckpointEvent
  /** What changed since the last checkpoint is no longer known: the next one is full. */
  | { readonly kind: 'spool-dropped'; readonly reason: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  /** Whether the schema registry answers; records wait while it does not. */
  | { readonly kind: 'registry'; readonly answers: boolean }
  /** Edges that waited were not told: they answer 202. */
  | { readonly kind: 'replies-lost'; readonly count: number; readonly message: string }

/** What the slots of a thread share. */
export interface SlotParts {
  readonly plan: Plan
  readonly models: ReadonlyMap<string, Model>
  readonly schemas: WriterSchemas | undefined
}

export interface SlotHostIo {
  readonly clock: Clock
  readonly permission: () => Promise<boolean>
  readonly onStatus: (status: SlotStatus) => void
  readonly onEvent: (event: HostEvent) => void
}

export class SlotHost {
  readonly #job: WorkerJob
  readonly #number: number
  readonly #plan: Plan
  readonly #models: ReadonlyMap<string, Model>
  readonly #schemas: WriterSchemas | undefined
  readonly #io: SlotHostIo
  #stopping = false
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #slot: Slot | undefined

  constructor(job: WorkerJob, slot: number, { plan, models, schemas }: SlotParts, io: SlotHostIo) {
    this.#job = job
    this.#number = slot
    this.#plan = plan
    this.#models = models
    this.#schemas = schemas
    this.#io = io
  }

  stop(): void {
    this.#stopping = true
  }

  /** @throws WeirError NOT_READY while the slot does not run, UNKNOWN_STEP, QUEUE_FULL, BACKEND_FAILED */
  async inspect(step: string, key: string, options: InspectOptions): Promise<SlotInspection> {
    if (this.#slot === undefined) throw new WeirError('NOT_READY', `slot ${this.#number} does not run yet`)
    return await this.#slot.inspect(step, key, options)
  }

  /** Until it is stopped or the slot is no longer ours. @throws WeirError that another try cannot mend */
  async run(): Promise<void> {
    const directory = join(this.#job.dataDir, `slot-${this.#number}`)
    makeFolders(directory)
    let pause: DurationMs = pauseMin
    while (!this.#stopping) {
      try {
        if (!(await this.#io.permission())) return
        await this.#runOnce(directory, () => {
          pause = pauseMin
        })
        return
      } catch (error) {
        const code = isWeirError(error) ? error.code : 'INTERNAL_ERROR'
        this.#io.onEvent({ kind: 'failed', code, message: messageOf(error) })
        if (lasting.has(code)) throw error
        await this.#io.clock.sleep(pause)
        pause = millis(Math.min(pause * 2, pauseMax))
      }
    }
  }

  async #runOnce(directory: string, onProgress: () => void): Promise<void> {
    const backend = await openRocksDb(directory, this.#job.memory.backend)
    try {
      const kafka = await KafkaLog.open(this.#job.kafka)
      const log = new SlotLog(kafka, {
        permission: this.#io.permission,
        journalTopic: journalTopicOf(this.#job.app),
        withSchemas: reader => this.#withSchemas(reader),
      })
      try {
        const replies = new ReplySender({
          producer: kafka,
          clock: this.#io.clock,
          partitions: await kafka.partitionCount(repliesTopic),
          repeatsTopic: repeatsTopicOf(this.#job.app),
        })
        await this.#withCheckpoints(directory, backend, kafka, checkpoints =>
          this.#step(log, backend, checkpoints, replies, onProgress),
        )
        await replies.close(repliesMsMax)
      } finally {
        await log.close()
      }
    } finally {
      await backend.close()
    }
  }

  #withSchemas(reader: LogReader): LogReader {
    const schemas = this.#schemas
    if (schemas === undefined) return reader
    return readerWithSchemas(reader, {
      schemas,
      clock: this.#io.clock,
      onUnreachable: why => this.#io.onEvent({ kind: 'registry', answers: why === undefined }),
    })
  }

  #withCheckpoints(
    directory: string,
    backend: StateBackend,
    log: LogTrimmer,
    work: (checkpoints: HostedCheckpoints | undefined) => Promise<void>,
  ): Promise<void> {
    const { checkpoints: job, app } = this.#job
    if (job === undefined) return work(undefined)
    const { clock, onEvent } = this.#io
    const parts = { job, app, slot: this.#number, spoolDirectory: `${directory}.spool`, backend, log, clock, onEvent }
    return withCheckpoints(parts, work)
  }

  async #step(
    log: SlotLog,
    backend: StateBackend,
    checkpoints: HostedCheckpoints | undefined,
    replies: ReplySender,
    onProgress: () => void,
  ): Promise<void> {
    const genesis = await this.#genesis(log)
    const store = await StateStore.open({
      backend,
      keyGroups: genesis.key_groups,
      cacheBytesMax: this.#job.memory.cacheBytesMax,
      ...(checkpoints && { spool: checkpoints.spool }),
    })
    await this.#checkBeginning(log, store)
    const slot = new Slot({
      plan: this.#plan,
      slot: this.#number,
      log,
      store,
      ...(checkpoints && { checkpoints }),
      models: this.#models,
      clock: this.#io.clock,
      // The journal is in Kafka: what a power cut takes from the store is folded again.
      syncState: false,
      limits: { pollWaitMs: millis(100), dirtyBytesMax: this.#job.memory.dirtyBytesMax },
      genesis,
      deadLetters: topicDeadLetters,
      onEvent: event => this.#io.onEvent(event),
      onCommitted: replies.onCommitted,
    })
    let done = false
    let repliesLost = 0
    const heap = new HeapWatch(this.#job.memory.cacheBytesMax)
    this.#slot = slot
    try {
      await slot.start()
      this.#report(slot, store, log, true)
      let checkedAtMs = this.#io.clock.nowMs()
      while (!this.#stopping) {
        const result = await slot.step()
        heap.look(store.cacheBytes)
        if (result.kind === 'unavailable') {
          this.#io.onEvent({ kind: 'failed', code: 'KAFKA_UNAVAILABLE', message: result.message })
          continue
        }
        if (result.kind === 'committed') onProgress()
        this.#report(slot, store, log, false)
        if (replies.lost > repliesLost) {
          this.#io.onEvent({ kind: 'replies-lost', count: replies.lost - repliesLost, message: replies.whyLost })
          repliesLost = replies.lost
        }
        if (this.#io.clock.nowMs() - checkedAtMs < topicsCheckedEvery) continue
        await checkPartitions(log, genesis.partitions)
        checkedAtMs = this.#io.clock.nowMs()
      }
      done = true
    } finally {
      this.#slot = undefined
      await slot.close({ keepState: done })
    }
    this.#report(slot, store, log, true)
  }

  async #genesis(log: SlotLog): Promise<ReturnType<typeof genesisOf>> {
    const plan = this.#plan
    const counted = plan.sources.map(async ({ topic }) => [topic, await log.partitionCount(topic)] as const)
    const counts = new Map(await Promise.all(counted))
    const partitionsOf = (topic: string): number => defined(counts.get(topic), topic)
    const owned = ownedPartitions(plan, this.#number, partitionsOf)
    const ranged = owned.map(async at => [partitionKey(at), String((await log.range(at)).earliest)] as const)
    const earliest = new Map(await Promise.all(ranged))
    return genesisOf(plan, this.#number, {
      keyGroups: keyGroupsFor(counts.get('transactions') ?? 1),
      partitionsOf,
      startOf: at => defined(earliest.get(partitionKey(at)), partitionKey(at)),
    })
  }

  /** An empty journal is a new job only where nothing says otherwise: a lost journal must not decide everything again. */
  async #checkBeginning(log: SlotLog, store: StateStore): Promise<void> {
    const at = { topic: journalTopicOf(this.#job.app), partition: this.#number }
    const journal = await log.range(at)
    if (journal.latest > journal.earliest) return
    const lost = (why: string) =>
      new WeirError('JOURNAL_WITHOUT_GENESIS', `${at.topic}/${at.partition} is empty, but ${why}`)
    if (journal.earliest > offset(0)) throw lost(`its records up to ${journal.earliest} were deleted`)
    if (store.reflects !== undefined) throw lost(`the state on this disk is of its epoch ${store.reflects.epoch}`)
    const decisions = await log.partitionCount('decisions')
    for (let partition = this.#number; partition < decisions; partition += this.#job.slots) {
      const { latest } = await log.range({ topic: 'decisions', partition })
      if (latest > offset(0)) throw lost(`decisions/${partition} already holds decisions`)
    }
  }

  #report(slot: Slot, store: StateStore, log: SlotLog, always: boolean): void {
    const nowMs = this.#io.clock.nowMs()
    if (!always && nowMs - this.#reportedAtMs < statusEvery) return
    this.#reportedAtMs = nowMs
    this.#io.onStatus({
      slot: this.#number,
      state: slot.state,
      epoch: slot.epoch,
      stored: store.reflects?.epoch,
      memory: store.memory,
      counts: Object.fromEntries(slot.counts),
      positions: slot.positions,
      inputs: log.inputs().map(({ topic, partition, position, highWatermark, lastStableOffset }) => ({
        topic,
        partition,
        behind: Math.max(0, Number(highWatermark - position)),
        undecided: Math.max(0, Number(highWatermark - lastStableOffset)),
      })),
    })
  }
}

/** More partitions than there were when the slot started hold keys that belong elsewhere, and records that nobody reads. */
async function checkPartitions(log: SlotLog, expected: GenesisRecord['partitions']): Promise<void> {
  for (const { topic, count } of expected) {
    const found = await log.partitionCount(topic)
    if (found !== count) throw new WeirError('TOPIC_MISMATCH', `${topic} has ${found} partitions, and had ${count}`)
  }
}

/**
 * Runs one slot for as long as it is ours: opens its store and its log, steps it, begins anew after a failure. Where slots have
 * standbys it follows the slot first, whoever the group has named, and takes it over when the rules say so (runners/slot/takeover.ts):
 * the journal decides who runs a slot, the group who may.
 *
 * Invariants: 1. it fences nobody without permission (I4, slot-log.ts); 2. what another try cannot mend ends the host with
 * its error: going on would be wrong; 3. a stop finishes the epoch that runs and writes state back.
 */
import { join } from 'node:path'
import { repeatsTopicOf } from '../../fraud/index.js'
import { type Clock, type DurationMs, defined, isWeirError, millis, seconds, WeirError } from '../../kernel/index.js'
import type { LogReader, LogTrimmer } from '../../log/index.js'
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
} from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import { makeFolders } from '../folders/index.js'
import { HeapWatch } from '../memory/index.js'
import { seedOf } from '../plans/index.js'
import { ReplySender, repliesTopic } from '../replies/index.js'
import { readerWithSchemas } from '../schemas/index.js'
import {
  checkBeginning,
  type GenesisRecord,
  genesisOf,
  journalTopicOf,
  ownedPartitions,
  Progress,
  partitionKey,
  resolveTakeover,
  Slot,
  type SlotEvent,
  type SlotInspection,
  type SlotOptions,
  Standby,
} from '../slot/index.js'
import { topicDeadLetters } from '../topics/index.js'
import { CheckpointFigures } from './checkpoint-figures.js'
import { type CheckpointParts, type HostedCheckpoints, withCheckpoints } from './checkpoints.js'
import type { WorkerJob } from './job.js'
import { type HostEvent, reasonOf, type SlotStatus } from './messages.js'
import { SlotLog } from './slot-log.js'

const pauseMin = millis(100)
const pauseMax = seconds(5)
const statusEvery = millis(250)
const topicsCheckedEvery = seconds(10)
/** Of a slot that has nothing to read, where slots have standbys. */
const heartbeatEvery = millis(250)
/** The owner trims while this one restores: a newer checkpoint is there then. So many times in a row, and it stays. */
const trimmedMax = 3
const takeoversKeptFor = seconds(60)
/** What replies get to leave when the slot does. */
const repliesMsMax = seconds(1)

/** Errors that stay whatever is tried: somebody has to act. */
const lasting = new Set([
  'PLAN_CLOSED',
  'FINGERPRINT_MISMATCH',
  'JOURNAL_CORRUPT',
  'JOURNAL_WITHOUT_GENESIS',
  'HISTORY_TRIMMED',
  'HOP_CORRUPT',
  'LOG_CORRUPT',
  'MESSAGE_TOO_LARGE',
  'TOPIC_MISMATCH',
  'UNKNOWN_TOPIC',
  'OFFSET_OUT_OF_RANGE',
  'STATE_FORMAT',
  'DIRECTORY_IN_USE',
  'OUTPUT_UNWRITABLE',
])
const trimmed = new Set(['HISTORY_TRIMMED', 'OFFSET_OUT_OF_RANGE'])

/** What the slots of a thread share. */
export interface SlotParts {
  readonly plan: Plan
  readonly models: ReadonlyMap<string, Model>
  readonly schemas: WriterSchemas | undefined
}

export interface SlotHostIo {
  readonly clock: Clock
  /** @param now the answer is that of now: false also while the membership is not fresh */
  readonly permission: (now?: boolean) => Promise<boolean>
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
  readonly #figures = new CheckpointFigures()
  #stopping = false
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #slot: Slot | undefined
  #follows = false
  /** The group has named this worker the slot's owner, and the slot has not been taken over here since. */
  #given = false
  /** It ran here and was not fenced: it goes on where nobody has come after it. */
  #ranHere: { readonly generation: number } | undefined
  /** By the clock; of the last minute. */
  #tookOverMs: readonly number[] = []
  #trimmedInARow = 0
  readonly #heap: HeapWatch

  constructor(job: WorkerJob, slot: number, { plan, models, schemas }: SlotParts, io: SlotHostIo) {
    this.#job = job
    this.#number = slot
    this.#plan = plan
    this.#models = models
    this.#schemas = schemas
    this.#io = io
    this.#heap = new HeapWatch(job.memory.cacheBytesMax)
  }

  stop(): void {
    this.#stopping = true
  }

  /** @param given as owner, not as standby. It matters only where slots have standbys */
  give(given: boolean): void {
    this.#given = given
  }

  /** @throws WeirError NOT_READY while the slot does not run, UNKNOWN_STEP, QUEUE_FULL, BACKEND_FAILED */
  async inspect(step: string, key: string, options: InspectOptions): Promise<SlotInspection> {
    if (this.#follows)
      throw new WeirError('SLOT_ELSEWHERE', `slot ${this.#number} runs elsewhere, and is followed here`)
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
        if (code === 'SLOT_FENCED' && this.#job.standbys > 0) this.#fenced()
        else this.#io.onEvent({ kind: 'failed', code, reason: reasonOf(error) })
        if (lasting.has(code) && !this.#mayPass(code)) throw error
        await this.#io.clock.sleep(pause)
        pause = millis(Math.min(pause * 2, pauseMax))
      }
    }
  }

  /** Whoever was fenced does not fence back: it follows, and takes over by silence alone. */
  #fenced(): void {
    this.#given = false
    this.#ranHere = undefined
    this.#io.onEvent({ kind: 'fenced' })
  }

  #mayPass(code: string): boolean {
    return this.#follows && trimmed.has(code) && ++this.#trimmedInARow < trimmedMax
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
    const { clock } = this.#io
    const onEvent = (event: Parameters<CheckpointParts['onEvent']>[0]): void => {
      if (event.kind === 'spool-dropped') this.#io.onEvent(event)
      else this.#tell(event)
    }
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
    const standbys = this.#job.standbys > 0
    const options: SlotOptions = {
      plan: this.#plan,
      planNumber: this.#job.planNumber,
      slot: this.#number,
      log,
      store,
      ...(checkpoints && { checkpoints, seed: this.#seed(checkpoints) }),
      models: this.#models,
      clock: this.#io.clock,
      // The journal is in Kafka: what a power cut takes from the store is folded again.
      syncState: false,
      limits: {
        pollWaitMs: millis(100),
        dirtyBytesMax: this.#job.memory.dirtyBytesMax,
        ...(standbys && { heartbeatMs: heartbeatEvery }),
      },
      genesis,
      deadLetters: topicDeadLetters,
      onEvent: event => this.#tell(event),
      onCommitted: replies.onCommitted,
    }
    const host = standbys ? new Standby(options, this.#tookOverMs) : new Slot(options)
    const begin = (): Promise<void> =>
      checkBeginning({
        plan: this.#plan,
        slot: this.#number,
        log,
        store,
        ...(checkpoints && { catalogue: checkpoints.catalogue }),
        outputs: 'decisions',
      })
    let done = false
    try {
      const slot =
        host instanceof Standby ? await this.#follow(host, store, begin, onProgress) : await this.#start(host, begin)
      if (slot !== undefined) await this.#lead(slot, store, log, checkpoints, replies, genesis, onProgress)
      done = true
    } finally {
      this.#slot = undefined
      await host.close({ keepState: done })
    }
    if (host instanceof Slot) this.#report(host, store, log, checkpoints, true)
  }

  /** What the figures of checkpoints and restores are made of. */
  #tell(event: CheckpointEvent | SlotEvent): void {
    this.#figures.note(event, this.#io.clock.nowMs())
    this.#io.onEvent(event)
  }

  #seed({ catalogue, backend }: HostedCheckpoints): NonNullable<SlotOptions['seed']> {
    const { placement } = this.#plan
    return async (genesis, position) => {
      const { epoch } = position
      const progress = new Progress(this.#io.clock)
      let all = 0
      const onProgress = (bytes: number, ofBytes: number): void => {
        all = ofBytes
        this.#tell({ kind: 'restoring', epoch, bytes, ofBytes, leftMs: progress.leftMs(bytes, ofBytes) })
      }
      const seed = seedOf({ store: catalogue.store, slot: this.#number, placement, backend, onProgress })
      await seed(genesis, position)
      this.#tell({ kind: 'restored', epoch, bytes: all, ms: progress.ms })
    }
  }

  async #start(slot: Slot, begin: () => Promise<void>): Promise<Slot> {
    await begin()
    this.#slot = slot
    await slot.start()
    return slot
  }

  /** Until it takes the slot over. @returns undefined when it was stopped before */
  async #follow(
    standby: Standby,
    store: StateStore,
    begin: () => Promise<void>,
    onProgress: () => void,
  ): Promise<Slot | undefined> {
    const { clock, permission, onEvent } = this.#io
    this.#follows = true
    this.#reportStandby(standby, store, true)
    await standby.start()
    while (!this.#stopping) {
      await standby.step()
      this.#heap.look(store.cacheBytes)
      if (standby.caughtUp) {
        this.#trimmedInARow = 0
        onProgress()
      }
      this.#reportStandby(standby, store, false)
      const { facts } = standby
      const why = resolveTakeover({ ...facts, given: this.#given, ranHere: this.#ranHere })
      if (why === undefined || !(await permission(true))) continue
      if (standby.epoch === 0) await begin()
      else if (why !== 'given' && !(await standby.isLast())) continue
      const nowMs = clock.nowMs()
      onEvent({ kind: 'taking-over', why, silentMs: facts.silentMs })
      this.#tookOverMs = [...this.#tookOverMs.filter(atMs => nowMs - atMs < takeoversKeptFor), nowMs]
      this.#follows = false
      const slot = await standby.takeOver()
      this.#slot = slot
      this.#given = false
      this.#ranHere = { generation: slot.generation }
      return slot
    }
    return undefined
  }

  /** Until it is stopped. */
  async #lead(
    slot: Slot,
    store: StateStore,
    log: SlotLog,
    checkpoints: HostedCheckpoints | undefined,
    replies: ReplySender,
    genesis: Pick<GenesisRecord, 'partitions'>,
    onProgress: () => void,
  ): Promise<void> {
    this.#report(slot, store, log, checkpoints, true)
    let repliesLost = 0
    let checkedAtMs = this.#io.clock.nowMs()
    while (!this.#stopping) {
      const result = await slot.step()
      this.#heap.look(store.cacheBytes)
      if (result.kind === 'unavailable') {
        this.#io.onEvent({ kind: 'unavailable', reason: result.message })
        continue
      }
      if (result.kind === 'committed') onProgress()
      // It grows where the slot recovers by itself.
      if (this.#ranHere !== undefined) this.#ranHere = { generation: slot.generation }
      this.#report(slot, store, log, checkpoints, false)
      if (replies.lost > repliesLost) {
        this.#io.onEvent({ kind: 'replies-lost', count: replies.lost - repliesLost, message: replies.whyLost })
        repliesLost = replies.lost
      }
      if (this.#io.clock.nowMs() - checkedAtMs < topicsCheckedEvery) continue
      await checkPartitions(log, [...genesis.partitions, { topic: 'decisions', count: this.#job.partitions }])
      checkedAtMs = this.#io.clock.nowMs()
    }
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

  #reportStandby(standby: Standby, store: StateStore, always: boolean): void {
    const nowMs = this.#io.clock.nowMs()
    if (!always && nowMs - this.#reportedAtMs < statusEvery) return
    this.#reportedAtMs = nowMs
    this.#io.onStatus({
      slot: this.#number,
      state: standby.caughtUp ? 'following' : 'catching up',
      epoch: standby.epoch,
      stored: store.reflects?.epoch,
      counts: {},
      positions: [],
      inputs: [],
      memory: store.memory,
      checkpoints: undefined,
      behind: standby.lag,
    })
  }

  #report(
    slot: Slot,
    store: StateStore,
    log: SlotLog,
    checkpoints: HostedCheckpoints | undefined,
    always: boolean,
  ): void {
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
      ...(slot.closing && { closesInto: slot.closing.savepoint }),
      inputs: log.inputs().map(({ topic, partition, position, highWatermark, lastStableOffset }) => ({
        topic,
        partition,
        behind: Math.max(0, Number(highWatermark - position)),
        undecided: Math.max(0, Number(highWatermark - lastStableOffset)),
      })),
      checkpoints: checkpoints && this.#figures.status(checkpoints.spool.bytes),
    })
  }
}

/** More partitions than there were when the slot started hold keys that belong elsewhere, and records that nobody reads. */
async function checkPartitions(log: SlotLog, expected: GenesisRecord['partitions']): Promise<void> {
  try {
    for (const { topic, count } of expected) {
      const found = await log.partitionCount(topic)
      if (found !== count) throw new WeirError('TOPIC_MISMATCH', `${topic} has ${found} partitions, and had ${count}`)
    }
  } catch (error) {
    // It is no reason to begin anew: whether the slot gets on shows where it reads and commits.
    if (!isWeirError(error, 'KAFKA_UNAVAILABLE')) throw error
  }
}

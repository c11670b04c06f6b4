/**
 * The engine of `weir up`: one storage and one slot that folds transactions as they come.
 *
 * Invariants: 1. nothing is answered before it is durable: a decision comes after the synchronous commit of its epoch, and
 * the write-ahead log is a prefix, so its input is durable too; a 202 waits for a sync; 2. a slot that failed is replaced,
 * with growing pauses, while readiness says why; 3. closing drains: no append is taken, what was taken is decided; 4. a log
 * whose write failed (a full disk) is closed and opened again; who waited meanwhile is told that the log was unavailable,
 * since what it kept of their records is unknown; 5. retention works beside the epochs, in small steps, on the storage that
 * is open.
 */
import type { DecideReply, DecisionPort, HealthPort, StatePort, StreamPort } from '../../edge/index.js'
import {
  championModel,
  decisionFromJson,
  dedupeHorizon,
  defaultFeatureSet,
  defaultRuleSet,
  defaultTopology,
  explainDecision,
  loadFeatureSet,
  loadRuleSet,
  provisionalDecisions,
  repeatFormat,
  repeatsTopicOf,
} from '../../fraud/index.js'
import { assertNever, type DurationMs, days, isWeirError, messageOf, millis, WeirError } from '../../kernel/index.js'
import type { LogProducer } from '../../log/index.js'
import {
  encodeLabelJson,
  encodeTransactionJson,
  labelJson,
  type RecordDecoder,
  type Transaction,
  transactionJson,
} from '../../schemas/avro/index.js'
import type { Model } from '../../scoring/index.js'
import { keyGroupsFor, type StoreMemory } from '../../state/index.js'
import { compile, type Plan, type Repeat, type SourceFormat } from '../../topology/index.js'
import { HeapWatch } from '../memory/index.js'
import { loadModel } from '../models/index.js'
import { followTopic, type RecordOutcome, Waiters } from '../serving/index.js'
import { type CommittedEpoch, journalTopicOf, Slot, type SlotEvent } from '../slot/index.js'
import { topicDeadLetters } from '../topics/index.js'
import { type RetentionTimes, retentionRules, trimWhatIsDue } from './retention.js'
import { Storage, type StorageOptions } from './storage.js'

export type EngineEvent =
  | SlotEvent
  | { readonly kind: 'slot-failed' | 'retention-failed'; readonly code: string; readonly message: string }

export interface EngineOptions extends StorageOptions {
  readonly app: string
  readonly model: string | undefined
  readonly rules: string | undefined
  readonly features: string | undefined
  readonly cardKey: string
  readonly inFlightMax: number
  /** State is written back after so many records, if nothing else asks for it; absent: the slot's default. */
  readonly writeBackRecords?: number
  /** Absent: everything is kept. */
  readonly retention?: RetentionTimes
  readonly onEvent: (event: EngineEvent) => void
}

const topics = ['transactions', 'labels', 'decisions', 'decisions.provisional', 'transactions.dead-letter'] as const
const pauseMsMax = 10_000
/** From the beginning of one round of retention to that of the next, at the least. */
const retentionEveryMs = 1_000
/** Decisions that the status page shows. */
const recentMax = 20

export class EmbeddedEngine {
  readonly decisions: DecisionPort
  readonly health: HealthPort
  readonly stream: StreamPort
  readonly state: StatePort = {
    inspect: async (step, key, options) => await this.#slot.inspect(step, key, options),
  }
  readonly explain = (decision: Buffer): string => explainDecision(decisionFromJson(decision))
  readonly #options: EngineOptions
  readonly #plan: Plan
  readonly #heap: HeapWatch
  readonly #model: Model
  #storage: Storage
  /** Why the log takes no more writes until it is opened again. */
  #broken: string | undefined
  readonly #waiters: Waiters<number>
  #slot: Slot
  #loop: Promise<void> | undefined
  #closing = false
  #retaining: Promise<void> | undefined
  #retainedAtMs = Number.NEGATIVE_INFINITY
  readonly #stopping = new AbortController()
  #trouble: string | undefined
  /** Offset after the last transaction of a committed epoch. */
  #decidedTo = 0
  /** Newest first: the last decision of each epoch. */
  readonly #recent: Buffer[] = []
  /** Appends that are under way. */
  #appending = new Set<Promise<unknown>>()

  /** @throws WeirError DIRECTORY_IN_USE, STATE_FORMAT, MODEL_CONTRACT, OUTPUT_UNWRITABLE, … */
  static async open(options: EngineOptions): Promise<EmbeddedEngine> {
    const featureSet = options.features === undefined ? defaultFeatureSet() : loadFeatureSet(options.features)
    const ruleSet = options.rules === undefined ? defaultRuleSet() : loadRuleSet(options.rules)
    if (options.retention !== undefined) checkRetention(options.retention, dedupeHorizon(featureSet))
    const plan = compile(
      defaultTopology({
        app: options.app,
        transactions: source('transaction-json', transactionJson({ cardKey: options.cardKey })),
        labels: source('label-json', labelJson()),
        repeats: repeatFormat(),
        featureSet,
        ruleSet,
      }).graph,
    )
    const model = await loadModel(options.model, plan.featureNames)
    try {
      const engine = new EmbeddedEngine(options, await openStorage(options), plan, model)
      try {
        await engine.#slot.start()
      } catch (error) {
        await engine.#storage.close()
        throw error
      }
      engine.#decidedTo = engine.#committedTo()
      engine.#loop = engine.#run()
      return engine
    } catch (error) {
      await model.close()
      throw error
    }
  }

  private constructor(options: EngineOptions, storage: Storage, plan: Plan, model: Model) {
    this.#options = options
    this.#heap = new HeapWatch(options.memory.cacheBytesMax)
    this.#storage = storage
    this.#plan = plan
    this.#model = model
    this.#waiters = new Waiters(options.inFlightMax)
    this.#slot = this.#newSlot()
    const provisional = provisionalDecisions(options.app)
    this.decisions = {
      decide: (transaction, deadlineMs) => this.#decide(transaction, millis(deadlineMs)),
      provisional: async (transaction, outcome, { source }) => {
        const { line, value } = provisional(transaction, outcome, options.clock.nowMs(), source)
        await this.#append('decisions.provisional', transaction.customer_id, value)
        await this.#sync(this.#storage)
        return line
      },
      find: async (transactionId, customerId) => await this.#serving().view.find(transactionId, customerId),
      label: async label => {
        await this.#append('labels', label.customer_id, encodeLabelJson(label))
        await this.#sync(this.#storage)
      },
    }
    this.stream = {
      decisions: (from, signal) => {
        const storage = this.#serving()
        const ends = AbortSignal.any([signal, this.#stopping.signal, storage.signal])
        return followTopic(storage.log, { topic: 'decisions', partitions: 1 }, from, ends)
      },
    }
    this.health = {
      notReady: () => {
        if (this.#closing) return ['stopping']
        if (this.#broken !== undefined) return [`the log cannot be written: ${this.#broken}`]
        return this.#trouble === undefined ? [] : [this.#trouble]
      },
      status: () => ({
        state: this.#slot.state,
        epoch: this.#slot.epoch,
        ...Object.fromEntries(this.#slot.counts),
        in_flight: this.#waiters.inFlight,
      }),
      recent: () => this.#recent,
    }
  }

  get memory(): StoreMemory {
    return this.#storage.store.memory
  }

  /** The log, for those who send without waiting (simulated traffic). */
  get producer(): LogProducer {
    return {
      append: appends => this.#guarded(async () => await this.#serving().log.append(appends)),
      sync: () => this.#sync(this.#storage),
    }
  }

  /** Stops taking records, decides what was taken, writes state back. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    this.#stopping.abort()
    await Promise.allSettled(this.#appending)
    await this.#loop
    await this.#retaining
    this.#waiters.settleAll({ kind: 'deadline' })
    await this.#storage.close()
    await this.#model.close()
  }

  async #decide(transaction: Transaction, deadline: DurationMs): Promise<DecideReply> {
    this.#waiters.reserve()
    const storage = this.#storage
    try {
      const at = await this.#append('transactions', transaction.customer_id, encodeTransactionJson(transaction))
      // The epoch may be quicker than the append's own answer: then the decision is in the view already.
      if (at < this.#decidedTo) return await this.#first(transaction, at, false)
      return await this.#replyOf(transaction, at, await this.#waiters.wait(at, deadline), storage)
    } finally {
      this.#waiters.release()
    }
  }

  /** @param storage that took the record */
  async #replyOf(transaction: Transaction, at: number, outcome: RecordOutcome, storage: Storage): Promise<DecideReply> {
    switch (outcome.kind) {
      case 'decided':
        return { kind: 'decided', decision: outcome.decision, repeated: false }
      case 'repeated':
        return outcome.conflicting ? { kind: 'conflict' } : await this.#first(transaction, at, true)
      case 'rejected':
        return outcome
      case 'deadline':
        await this.#sync(storage)
        return pendingAt(at)
      case 'unavailable':
        throw new WeirError('LOG_UNAVAILABLE', 'the log failed before the record was decided')
      default:
        return assertNever(outcome)
    }
  }

  /** The stored first decision of an id. */
  async #first(transaction: Transaction, at: number, repeated: boolean): Promise<DecideReply> {
    const found = await this.#serving().view.find(transaction.transaction_id, transaction.customer_id)
    if (found.kind === 'found') return { kind: 'decided', decision: found.decision, repeated }
    return repeated ? { kind: 'expired' } : pendingAt(at)
  }

  async #append(topic: string, key: string, value: Buffer): Promise<number> {
    if (this.#closing) throw new WeirError('LOG_UNAVAILABLE', 'the engine is stopping')
    const { log } = this.#serving()
    const appending = this.#guarded(() =>
      log.append([{ topic, partition: 0, records: [{ key: Buffer.from(key), value }] }]),
    )
    this.#appending.add(appending)
    try {
      const [at] = await appending
      return Number(at)
    } finally {
      this.#appending.delete(appending)
    }
  }

  /** @param storage that took what must be durable: another one says nothing about it */
  async #sync(storage: Storage): Promise<void> {
    if (storage !== this.#storage)
      throw new WeirError('LOG_UNAVAILABLE', 'the log failed before the record was durable')
    const { log } = this.#closing ? storage : this.#serving()
    await this.#guarded(() => log.sync())
  }

  /** @throws WeirError LOG_UNAVAILABLE while the log is broken or being opened again */
  #serving(): Storage {
    if (this.#broken !== undefined) throw new WeirError('LOG_UNAVAILABLE', this.#broken)
    return this.#storage
  }

  /** A write of the log: what fails it for good has it opened again. @throws WeirError QUEUE_FULL, LOG_UNAVAILABLE */
  async #guarded<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write()
    } catch (error) {
      if (isWeirError(error, 'QUEUE_FULL') || isWeirError(error, 'LOG_UNAVAILABLE')) throw error
      this.#noteBroken(error)
      throw new WeirError('LOG_UNAVAILABLE', messageOf(error), { cause: error })
    }
  }

  #noteBroken(error: unknown): void {
    if (isWeirError(error, 'BACKEND_FAILED') || isWeirError(error, 'COMMIT_INDEFINITE')) {
      this.#broken ??= messageOf(error)
    }
  }

  async #reopen(): Promise<void> {
    // The state is a cache of the log: what a broken database no longer takes is folded again.
    await this.#slot.close({ keepState: false })
    this.#waiters.settleAll({ kind: 'unavailable' })
    await Promise.allSettled(this.#appending)
    await this.#retaining
    await this.#storage.close()
    this.#storage = await openStorage(this.#options)
    this.#slot = this.#newSlot()
    this.#broken = undefined
  }

  #onCommitted(epoch: CommittedEpoch): void {
    for (const range of epoch.record.inputs) if (range.topic === 'transactions') this.#decidedTo = Number(range.to)
    for (const writer of epoch.writers) {
      let last: Buffer | undefined
      let decisions = 0
      writer.forEach((row, value) => {
        last = value
        decisions++
        const at = row.source.offset
        if (!this.#waiters.waitsFor(at)) return
        if (writer.sink.topic === 'decisions') {
          this.#waiters.settle(at, { kind: 'decided', decision: Buffer.from(value) })
        } else {
          const { conflicting } = row.value as Repeat<unknown>
          this.#waiters.settle(at, { kind: 'repeated', conflicting })
        }
      })
      if (writer.sink.topic === 'decisions') this.#storage.view.onCommitted(decisions)
      if (writer.sink.topic === 'decisions' && last !== undefined) {
        this.#recent.unshift(Buffer.from(last))
        this.#recent.length = Math.min(this.#recent.length, recentMax)
      }
    }
    for (const { source: at, code, message } of epoch.deadLetters) {
      if (at.topic === 'transactions') this.#waiters.settle(at.offset, { kind: 'rejected', code, message })
    }
  }

  async #run(): Promise<void> {
    let pauseMs = 100
    for (;;) {
      try {
        if (this.#broken !== undefined) {
          if (this.#closing) break
          this.#trouble = this.#broken
          await this.#reopen()
        }
        if (this.#slot.state === 'created') await this.#slot.start()
        const result = await this.#slot.step()
        this.#heap.look(this.#storage.store.cacheBytes)
        this.#retainWhenDue()
        this.#trouble = undefined
        pauseMs = 100
        if (this.#closing && result.kind !== 'committed') break
      } catch (error) {
        this.#trouble = messageOf(error)
        this.#noteBroken(error)
        this.#options.onEvent({
          kind: 'slot-failed',
          code: isWeirError(error) ? error.code : 'INTERNAL',
          message: this.#trouble,
        })
        if (this.#closing) break
        await this.#options.clock.sleep(millis(pauseMs))
        pauseMs = Math.min(pauseMs * 2, pauseMsMax)
        if (this.#broken !== undefined) continue
        await this.#slot.close()
        this.#slot = this.#newSlot()
      }
    }
    await this.#slot.close({ keepState: this.#broken === undefined })
  }

  /** Begins a round of retention and does not wait for it; one at a time. */
  #retainWhenDue(): void {
    const { clock, app, retention, onEvent } = this.#options
    if (retention === undefined) return
    const nowMs = clock.nowMs()
    // By its amount: a clock may be set back.
    if (this.#retaining !== undefined || Math.abs(nowMs - this.#retainedAtMs) < retentionEveryMs) return
    this.#retainedAtMs = nowMs
    const { log, view } = this.#storage
    this.#retaining = trimWhatIsDue({
      log,
      clock,
      rules: retentionRules(retention, view, app),
      journal: { topic: journalTopicOf(app), partition: 0 },
      reflected: () => this.#slot.reflected,
      stopped: () => this.#closing || this.#broken !== undefined,
    })
      .catch((error: unknown) => {
        this.#noteBroken(error)
        onEvent({
          kind: 'retention-failed',
          code: isWeirError(error) ? error.code : 'INTERNAL',
          message: messageOf(error),
        })
      })
      .finally(() => {
        this.#retaining = undefined
      })
  }

  #committedTo(): number {
    return Number(this.#slot.positions.find(at => at.topic === 'transactions')?.offset ?? 0)
  }

  #newSlot(): Slot {
    const { writeBackRecords } = this.#options
    return new Slot({
      plan: this.#plan,
      slot: 0,
      log: this.#storage.log,
      store: this.#storage.store,
      models: new Map([[championModel, this.#model]]),
      clock: this.#options.clock,
      // State is a cache of the log in the same database: the next commit's sync makes it durable too.
      syncState: false,
      limits: {
        pollWaitMs: millis(250),
        dirtyBytesMax: this.#options.memory.dirtyBytesMax,
        ...(writeBackRecords === undefined ? {} : { recordsPerWriteBackMax: writeBackRecords }),
      },
      genesis: {
        app: this.#options.app,
        slots: 1,
        key_groups: keyGroupsFor(1),
        partitions: ['transactions', 'labels'].map(topic => ({ topic, count: 1 })),
        start: ['labels', 'transactions'].map(topic => ({ topic, partition: 0, offset: '0' })),
        job: {},
      },
      deadLetters: topicDeadLetters,
      onEvent: this.#options.onEvent,
      onCommitted: epoch => this.#onCommitted(epoch),
    })
  }
}

/** A repeated id is answered with its first decision. @throws WeirError USAGE */
function checkRetention({ decisions }: RetentionTimes, horizon: DurationMs): void {
  if (decisions >= horizon) return
  const inDays = (ms: number): string => `${ms / days(1)} days`
  throw new WeirError(
    'USAGE',
    `retention.decisions of ${inDays(decisions)} is shorter than the dedupe horizon of ${inDays(horizon)}, in which a repeated id must find its first decision`,
  )
}

function openStorage(options: EngineOptions): Promise<Storage> {
  return Storage.open(options, [...topics, journalTopicOf(options.app), repeatsTopicOf(options.app)])
}

const pendingAt = (offset: number): DecideReply => ({
  kind: 'pending',
  source: { topic: 'transactions', partition: 0, offset },
})

function source<T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> {
  return { name, decode: (bytes, start, end) => decoder.decode(bytes, start, end) }
}

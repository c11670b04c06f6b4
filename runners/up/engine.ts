/**
 * The engine of `weir up`: log, journal, state and decision view in one RocksDB, told apart by the first byte of their keys
 * (design §4), and one slot that folds transactions as they come.
 *
 * Invariants: 1. nothing is answered before it is durable: a decision comes after the synchronous commit of its epoch, and
 * the write-ahead log is a prefix, so its input is durable too; a 202 waits for a sync; 2. a slot that failed is replaced,
 * with growing pauses, while readiness says why; 3. closing drains: no append is taken, what was taken is decided.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { DecideReply, DecisionPort, HealthPort, StreamPort } from '../../edge/index.js'
import {
  championModel,
  decisionFromJson,
  defaultFeatureSet,
  defaultRuleSet,
  defaultTopology,
  explainDecision,
  loadFeatureSet,
  loadRuleSet,
  provisionalDecisions,
  repeatsTopicOf,
} from '../../fraud/index.js'
import {
  assertNever,
  type Clock,
  type DurationMs,
  isWeirError,
  messageOf,
  millis,
  WeirError,
} from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
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
import { keyGroupsFor, openRocksDb, type StateBackend, StateStore } from '../../state/index.js'
import { compile, type Plan, type Repeat, type SourceFormat, toJson } from '../../topology/index.js'
import { loadModel } from '../models/index.js'
import { type CommittedEpoch, journalTopicOf, Slot, type SlotEvent } from '../slot/index.js'
import { topicDeadLetters } from './dead-letters.js'
import { followTopic } from './follow.js'
import { DecisionView } from './view.js'
import { type RecordOutcome, Waiters } from './waiters.js'

export type EngineEvent = SlotEvent | { readonly kind: 'slot-failed'; readonly code: string; readonly message: string }

export interface EngineOptions {
  readonly app: string
  readonly dataDir: string
  readonly model: string | undefined
  readonly rules: string | undefined
  readonly features: string | undefined
  readonly cardKey: string
  readonly cacheMb: number
  readonly inFlightMax: number
  readonly clock: Clock
  readonly onEvent: (event: EngineEvent) => void
  /** Opens the one database of everything; RocksDB below `dataDir` unless a test brings a disk of its own. */
  readonly openDatabase?: () => Promise<StateBackend>
}

const stateNamespace = Buffer.of(0x53)
const topics = ['transactions', 'labels', 'decisions', 'decisions.provisional', 'transactions.dead-letter'] as const
const pauseMsMax = 10_000
/** Decisions that the status page shows. */
const recentMax = 20

export class EmbeddedEngine {
  readonly decisions: DecisionPort
  readonly health: HealthPort
  readonly stream: StreamPort
  readonly explain = (decision: Buffer): string => explainDecision(decisionFromJson(decision))
  readonly #options: EngineOptions
  readonly #backend: StateBackend
  readonly #log: EmbeddedLog
  readonly #store: StateStore
  readonly #plan: Plan
  readonly #model: Model
  readonly #view: DecisionView
  readonly #waiters: Waiters
  #slot: Slot
  #loop: Promise<void> | undefined
  #closing = false
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
    const plan = compile(
      defaultTopology({
        app: options.app,
        transactions: source('transaction-json', transactionJson({ cardKey: options.cardKey })),
        labels: source('label-json', labelJson()),
        repeats: toJson<Repeat<{ customer_id: string; transaction_id: string }>>(
          'repeat',
          repeat => repeat.record.customer_id,
        ),
        featureSet,
        ruleSet,
      }).graph,
    )
    const model = await loadModel(options.model, plan.featureNames)
    const backend = await (options.openDatabase ?? (() => openDatabaseIn(options.dataDir)))()
    try {
      const log = await EmbeddedLog.open({ db: backend, clock: options.clock })
      for (const topic of [...topics, journalTopicOf(options.app), repeatsTopicOf(options.app)])
        await log.createTopic(topic, 1)
      const store = await StateStore.open({
        backend,
        keyGroups: keyGroupsFor(1),
        cacheBytesMax: options.cacheMb * (1 << 20),
        namespace: stateNamespace,
      })
      const view = await DecisionView.open(log, backend, 'decisions')
      const engine = new EmbeddedEngine(options, backend, log, store, plan, model, view)
      await engine.#slot.start()
      engine.#decidedTo = engine.#committedTo()
      engine.#loop = engine.#run()
      return engine
    } catch (error) {
      await backend.close()
      await model.close()
      throw error
    }
  }

  private constructor(
    options: EngineOptions,
    backend: StateBackend,
    log: EmbeddedLog,
    store: StateStore,
    plan: Plan,
    model: Model,
    view: DecisionView,
  ) {
    this.#options = options
    this.#backend = backend
    this.#log = log
    this.#store = store
    this.#plan = plan
    this.#model = model
    this.#view = view
    this.#waiters = new Waiters(options.inFlightMax)
    this.#slot = this.#newSlot()
    const provisional = provisionalDecisions(options.app)
    this.decisions = {
      decide: (transaction, deadlineMs) => this.#decide(transaction, millis(deadlineMs)),
      provisional: async (transaction, outcome, { source }) => {
        const decision = provisional(transaction, outcome, options.clock.nowMs(), source)
        await this.#append('decisions.provisional', transaction.customer_id, decision)
        await this.#log.sync()
        return decision
      },
      find: (transactionId, customerId) => this.#view.find(transactionId, customerId),
      label: async label => {
        await this.#append('labels', label.customer_id, encodeLabelJson(label))
        await this.#log.sync()
      },
    }
    this.stream = {
      decisions: (from, signal) =>
        followTopic(log, 'decisions', from, AbortSignal.any([signal, this.#stopping.signal])),
    }
    this.health = {
      notReady: () => {
        if (this.#closing) return ['stopping']
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

  /** The log, for those who send without waiting (simulated traffic). */
  get producer(): LogProducer {
    return this.#log
  }

  /** Stops taking records, decides what was taken, writes state back. */
  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    this.#stopping.abort()
    await Promise.allSettled(this.#appending)
    await this.#loop
    this.#waiters.settleAll()
    await this.#view.close()
    await this.#log.close()
    await this.#backend.close()
    await this.#model.close()
  }

  async #decide(transaction: Transaction, deadline: DurationMs): Promise<DecideReply> {
    this.#waiters.reserve()
    try {
      const at = await this.#append('transactions', transaction.customer_id, encodeTransactionJson(transaction))
      // The epoch may be quicker than the append's own answer: then the decision is in the view already.
      if (at < this.#decidedTo) return await this.#first(transaction, at, false)
      return await this.#replyOf(transaction, at, await this.#waiters.wait(at, deadline))
    } finally {
      this.#waiters.release()
    }
  }

  async #replyOf(transaction: Transaction, at: number, outcome: RecordOutcome): Promise<DecideReply> {
    switch (outcome.kind) {
      case 'decided':
        return { kind: 'decided', decision: outcome.decision, repeated: false }
      case 'repeated':
        return outcome.conflicting ? { kind: 'conflict' } : await this.#first(transaction, at, true)
      case 'rejected':
        return outcome
      case 'deadline':
        await this.#log.sync()
        return pendingAt(at)
      default:
        return assertNever(outcome)
    }
  }

  /** The stored first decision of an id. */
  async #first(transaction: Transaction, at: number, repeated: boolean): Promise<DecideReply> {
    const found = await this.#view.find(transaction.transaction_id, transaction.customer_id)
    return found.kind === 'found' ? { kind: 'decided', decision: found.decision, repeated } : pendingAt(at)
  }

  async #append(topic: string, key: string, value: Buffer): Promise<number> {
    if (this.#closing) throw new WeirError('LOG_UNAVAILABLE', 'the engine is stopping')
    const appending = this.#log.append([{ topic, partition: 0, records: [{ key: Buffer.from(key), value }] }])
    this.#appending.add(appending)
    try {
      const [at] = await appending
      return Number(at)
    } catch (error) {
      if (isWeirError(error, 'QUEUE_FULL')) throw error
      throw new WeirError('LOG_UNAVAILABLE', messageOf(error), { cause: error })
    } finally {
      this.#appending.delete(appending)
    }
  }

  #onCommitted(epoch: CommittedEpoch): void {
    for (const range of epoch.record.inputs) if (range.topic === 'transactions') this.#decidedTo = Number(range.to)
    for (const writer of epoch.writers) {
      let last: Buffer | undefined
      writer.forEach((row, value) => {
        last = value
        const at = row.source.offset
        if (!this.#waiters.waitsFor(at)) return
        if (writer.sink.topic === 'decisions') {
          this.#waiters.settle(at, { kind: 'decided', decision: Buffer.from(value) })
        } else {
          const { conflicting } = row.value as Repeat<unknown>
          this.#waiters.settle(at, { kind: 'repeated', conflicting })
        }
      })
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
        if (this.#slot.state === 'created') await this.#slot.start()
        const result = await this.#slot.step()
        this.#trouble = undefined
        pauseMs = 100
        if (this.#closing && result.kind !== 'committed') break
      } catch (error) {
        this.#trouble = messageOf(error)
        this.#options.onEvent({
          kind: 'slot-failed',
          code: isWeirError(error) ? error.code : 'INTERNAL',
          message: this.#trouble,
        })
        if (this.#closing) break
        await this.#options.clock.sleep(millis(pauseMs))
        pauseMs = Math.min(pauseMs * 2, pauseMsMax)
        await this.#slot.close()
        this.#slot = this.#newSlot()
      }
    }
    await this.#slot.close()
  }

  #committedTo(): number {
    return Number(this.#slot.positions.find(at => at.topic === 'transactions')?.offset ?? 0)
  }

  #newSlot(): Slot {
    return new Slot({
      plan: this.#plan,
      slot: 0,
      log: this.#log,
      store: this.#store,
      models: new Map([[championModel, this.#model]]),
      clock: this.#options.clock,
      // State is a cache of the log in the same database: the next commit's sync makes it durable too.
      syncState: false,
      limits: { pollWaitMs: millis(250) },
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

const pendingAt = (offset: number): DecideReply => ({
  kind: 'pending',
  source: { topic: 'transactions', partition: 0, offset },
})

function source<T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> {
  return { name, decode: (bytes, start, end) => decoder.decode(bytes, start, end) }
}

function openDatabaseIn(path: string): Promise<StateBackend> {
  try {
    mkdirSync(path, { recursive: true })
    return openRocksDb(join(path, 'db'))
  } catch (error) {
    throw new WeirError('OUTPUT_UNWRITABLE', `cannot create the data directory ${path}: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/**
 * The engine of `weir edge`: transactions go to Kafka, what became of them comes back as replies.
 *
 * Invariants:
 * 1. Nothing is answered before the transaction is durable: 200 and 202 wait for all replicas in sync. An append whose
 *    answer was lost is 503; sent again it is a repeat, and gets its first decision.
 * 2. A reply that does not come costs a caller patience, never a decision: 202, and the view has it.
 * 3. All that waits is bounded (I6): callers by `inFlightMax`, appends by the producer's queue, look-ups by their time.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { DecideReply, DecisionPort, HealthPort, StreamPort } from '../../edge/index.js'
import { decisionLines } from '../../fraud/index.js'
import { assertNever, type Clock, isWeirError, messageOf, millis, seconds, WeirError } from '../../kernel/index.js'
import type { Header } from '../../log/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import type { Transaction } from '../../schemas/avro/index.js'
import { openRocksDb, type StateBackend } from '../../state/index.js'
import { makeFolders } from '../folders/index.js'
import type { BackendShare } from '../memory/index.js'
import { encodeReplyTo, type Outcome, repliesTopic } from '../replies/index.js'
import { type Found, followTopic, type RecordOutcome, Waiters } from '../serving/index.js'
import { journalTopicOf, replyToHeader } from '../slot/index.js'
import type { KafkaAccess, RegistryAccess } from '../worker/index.js'
import { Reach } from './reach.js'
import { ReplyReceiver } from './receiver.js'
import { type EdgeValues, edgeValues, Partitions } from './values.js'
import { type DecisionLookUps, KafkaDecisionView } from './view.js'

/** A caller waits: what does not answer soon is told as unavailable, and the caller comes again. */
const limits = { connectMsMax: seconds(2), requestMsMax: seconds(5), attemptsMax: 8 }
/** A look-up takes one batch, and asks for no more before the next one. */
const singleLimits = { ...limits, fetchWaitMsMax: millis(1), fetchBytesMax: 1, partitionFetchBytesMax: 1 }

export interface KafkaEdgeOptions {
  readonly app: string
  readonly kafka: KafkaAccess
  /** Undefined: values are JSON. */
  readonly registry: Omit<RegistryAccess, 'decisionSchema'> | undefined
  /** Where the decision view lies. */
  readonly dataDir: string
  readonly memory: BackendShare
  /** Of `decisions.replies`; undefined: any. */
  readonly replyPartition: number | undefined
  readonly inFlightMax: number
  readonly clock: Clock
  readonly onEvent: (event: KafkaEdgeEvent) => void
}

export type KafkaEdgeEvent =
  | { readonly kind: 'reply-partition'; readonly partition: number }
  | { readonly kind: 'kafka'; readonly answers: boolean; readonly reason: string }
  | { readonly kind: 'append-failed'; readonly code: string }
  /** For Kafka or the registry, at the start. */
  | { readonly kind: 'waiting'; readonly reason: string }

/** For metrics. */
export interface KafkaEdgeFacts {
  readonly viewBehind: number
  readonly viewNoDecisions: number
  readonly unclaimedReplies: number
  readonly kafkaAnswers: boolean
}

interface Parts {
  readonly log: KafkaLog
  readonly singles: KafkaLog
  readonly backend: StateBackend
  readonly values: EdgeValues
  readonly partitions: Partitions
  readonly replyPartition: number
}

export class KafkaEdge {
  readonly decisions: DecisionPort
  readonly health: HealthPort
  readonly stream: StreamPort
  readonly #options: KafkaEdgeOptions
  readonly #parts: Parts
  readonly #waiters: Waiters<string>
  readonly #lineOf = decisionLines()
  /** No other run of any edge has it, so no reply to another is taken for one of ours. */
  readonly #run = randomUUID().replaceAll('-', '')
  readonly #stopping = new AbortController()
  #asked = 0
  #failedAtMs = Number.NEGATIVE_INFINITY
  #receiver!: ReplyReceiver
  #view!: DecisionLookUps
  #reach!: Reach

  /** @throws WeirError KAFKA_UNAVAILABLE, UNKNOWN_TOPIC, DIRECTORY_IN_USE, SCHEMA_CONFLICT, USAGE, … */
  static async open(options: KafkaEdgeOptions): Promise<KafkaEdge> {
    const { app, kafka, clock, replyPartition } = options
    const log = await KafkaLog.open({ ...kafka, limits })
    const singles = await KafkaLog.open({ ...kafka, limits: singleLimits })
    let backend: StateBackend | undefined
    try {
      const partitions = await Partitions.of(log, [
        ...['transactions', 'labels', 'decisions', 'decisions.provisional', repliesTopic],
      ])
      const values = await edgeValues(app, kafka.prefix ?? '', options.registry, clock)
      const parts = {
        log,
        singles,
        values,
        partitions,
        backend: await openView(options),
        replyPartition: choosePartition(replyPartition, partitions.count(repliesTopic)),
      }
      backend = parts.backend
      const edge = new KafkaEdge(options, parts)
      await edge.#start()
      return edge
    } catch (error) {
      await Promise.all([log.close(), singles.close()])
      await backend?.close()
      throw error
    }
  }

  private constructor(options: KafkaEdgeOptions, parts: Parts) {
    this.#options = options
    this.#parts = parts
    this.#waiters = new Waiters(options.inFlightMax)
    this.decisions = {
      decide: (transaction, deadlineMs) => this.#decide(transaction, deadlineMs),
      provisional: async (transaction, outcome, { source }) => {
        const { line, value } = parts.values.provisional(transaction, outcome, options.clock.nowMs(), source)
        await this.#append('decisions.provisional', transaction.customer_id, value)
        return line
      },
      find: async (transactionId, customerId) => this.#lineOfFound(await this.#find(transactionId, customerId)),
      label: async label => {
        await this.#append('labels', label.customer_id, parts.values.label(label))
      },
    }
    this.stream = { decisions: (from, signal) => this.#follow(from, signal) }
    this.health = {
      notReady: () => this.#notReady(),
      status: () => ({
        reply_partition: parts.replyPartition,
        view_behind: this.#view.behind,
        view: this.#view.trouble ?? 'following',
        view_no_decisions: this.#view.noDecisions,
        replies_unclaimed: this.#receiver.unclaimed,
        in_flight: this.#waiters.inFlight,
      }),
    }
  }

  get facts(): KafkaEdgeFacts {
    return {
      viewBehind: this.#view.behind,
      viewNoDecisions: this.#view.noDecisions,
      unclaimedReplies: this.#receiver.unclaimed,
      kafkaAnswers: this.#reach.trouble === undefined,
    }
  }

  /** After the HTTP server: nobody waits any more. */
  async close(): Promise<void> {
    this.#stopping.abort()
    this.#waiters.settleAll({ kind: 'deadline' })
    this.#reach.close()
    await this.#receiver.close()
    await this.#view.close()
    await Promise.all([this.#parts.log.close(), this.#parts.singles.close()])
    await this.#parts.backend.close()
  }

  async #start(): Promise<void> {
    const { log, singles, backend, partitions, replyPartition } = this.#parts
    const { clock, onEvent } = this.#options
    this.#view = await KafkaDecisionView.open({
      log,
      singles,
      backend,
      clock,
      partitionOf: customerId => partitions.ofKey('decisions', Buffer.from(customerId)),
    })
    try {
      this.#receiver = await ReplyReceiver.open({
        log,
        clock,
        partition: replyPartition,
        onReply: (id, outcome) => this.#settle(id, outcome),
      })
    } catch (error) {
      await this.#view.close()
      throw error
    }
    this.#reach = new Reach({
      clock,
      probe: async () => void (await log.range({ topic: repliesTopic, partition: replyPartition })),
      onChange: (answers, reason) => onEvent({ kind: 'kafka', answers, reason }),
    })
    onEvent({ kind: 'reply-partition', partition: replyPartition })
  }

  #notReady(): readonly string[] {
    if (this.#stopping.signal.aborted) return ['stopping']
    const reasons: string[] = []
    if (this.#reach.trouble !== undefined) reasons.push(`Kafka does not answer: ${this.#reach.trouble}`)
    else if (this.#receiver.trouble !== undefined) reasons.push(`replies do not arrive: ${this.#receiver.trouble}`)
    return reasons
  }

  async #decide(transaction: Transaction, deadlineMs: number): Promise<DecideReply> {
    this.#waiters.reserve()
    const { values, replyPartition } = this.#parts
    const id = `${this.#run}-${(++this.#asked).toString(36)}`
    try {
      // Before it is sent: the reply may be quicker than the append's own answer.
      const outcome = this.#waiters.wait(id, millis(deadlineMs))
      const source = await this.#append('transactions', transaction.customer_id, values.transaction(transaction), [
        { name: replyToHeader, value: encodeReplyTo({ partition: replyPartition, id }) },
      ])
      return await this.#replyOf(transaction, source, await outcome)
    } catch (error) {
      this.#waiters.settle(id, { kind: 'unavailable' })
      throw error
    } finally {
      this.#waiters.release()
    }
  }

  async #replyOf(transaction: Transaction, source: Source, outcome: RecordOutcome): Promise<DecideReply> {
    switch (outcome.kind) {
      case 'decided':
        return { kind: 'decided', decision: outcome.decision, repeated: false }
      case 'repeated':
        return outcome.conflicting ? { kind: 'conflict' } : await this.#first(transaction, source)
      case 'rejected':
        return outcome
      case 'deadline':
        return { kind: 'pending', source }
      case 'unavailable':
        throw new WeirError('LOG_UNAVAILABLE', 'the log failed before the record was decided')
      default:
        return assertNever(outcome)
    }
  }

  /** The stored first decision of an id. */
  async #first({ transaction_id, customer_id }: Transaction, source: Source): Promise<DecideReply> {
    try {
      const found = this.#lineOfFound(await this.#find(transaction_id, customer_id))
      if (found.kind === 'found') return { kind: 'decided', decision: found.decision, repeated: true }
      // With one slot a first decision is committed before, or with, the repeat. With more it may be on its way. Asked each
      // time: weir rescale changes it while edges run, and the journal keeps the partitions that it has grown to.
      const slots = await this.#reaching(() => this.#parts.log.partitionCount(journalTopicOf(this.#options.app)))
      return slots === 1 ? { kind: 'expired' } : { kind: 'pending', source }
    } catch (error) {
      if (!isWeirError(error, 'LOG_UNAVAILABLE')) throw error
      return { kind: 'pending', source }
    }
  }

  async #find(transactionId: string, customerId: string | undefined): Promise<Found> {
    return await this.#reaching(() => this.#view.find(transactionId, customerId))
  }

  #lineOfFound(found: Found): Found {
    return found.kind === 'found' ? { kind: 'found', decision: this.#lineOf(found.decision) } : found
  }

  #settle(id: string, outcome: Outcome): boolean {
    if (!this.#waiters.waitsFor(id)) return false
    switch (outcome.kind) {
      case 'decided':
        this.#waiters.settle(id, { kind: 'decided', decision: this.#lineOf(outcome.value) })
        break
      case 'repeated':
      case 'conflict':
        this.#waiters.settle(id, { kind: 'repeated', conflicting: outcome.kind === 'conflict' })
        break
      case 'rejected':
        this.#waiters.settle(id, outcome)
        break
      default:
        return assertNever(outcome)
    }
    return true
  }

  /** @throws WeirError LOG_UNAVAILABLE, QUEUE_FULL */
  async #append(topic: string, customer: string, value: Buffer, headers: readonly Header[] = []): Promise<Source> {
    const key = Buffer.from(customer)
    const partition = this.#parts.partitions.ofKey(topic, key)
    try {
      const [at] = await this.#reaching(() =>
        this.#parts.log.append([{ topic, partition, records: [{ key, value, headers }] }]),
      )
      return { topic, partition, offset: Number(at) }
    } catch (error) {
      if (isWeirError(error)) this.#noteFailure(error)
      throw error
    }
  }

  /** Once a second at most: the metrics of HTTP count them. */
  #noteFailure({ cause }: WeirError): void {
    const nowMs = this.#options.clock.nowMs()
    if (!isWeirError(cause) || Math.abs(nowMs - this.#failedAtMs) < 1_000) return
    this.#failedAtMs = nowMs
    this.#options.onEvent({ kind: 'append-failed', code: cause.code })
  }

  /** What Kafka refuses, or does not answer, is the log's trouble and not the caller's. */
  async #reaching<T>(work: () => Promise<T>): Promise<T> {
    if (this.#reach.trouble !== undefined) throw new WeirError('LOG_UNAVAILABLE', this.#reach.trouble)
    try {
      return await work()
    } catch (error) {
      if (isWeirError(error, 'QUEUE_FULL') || isWeirError(error, 'LOG_UNAVAILABLE')) throw error
      throw new WeirError('LOG_UNAVAILABLE', messageOf(error), { cause: error })
    }
  }

  #follow(from: 'beginning' | 'end', signal: AbortSignal): AsyncIterable<Buffer> {
    const { log, partitions } = this.#parts
    const ends = AbortSignal.any([signal, this.#stopping.signal])
    const followed = { topic: 'decisions', partitions: partitions.count('decisions') }
    return lines(followTopic(log, followed, from, ends), this.#lineOf)
  }
}

async function* lines(values: AsyncIterable<Buffer>, lineOf: (value: Buffer) => Buffer): AsyncGenerator<Buffer> {
  for await (const value of values) yield lineOf(value)
}

interface Source {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** Edges that share a partition read each other's replies and know them for what they are: any one will do. */
function choosePartition(wanted: number | undefined, partitions: number): number {
  if (wanted === undefined) return Math.floor(Math.random() * partitions)
  if (wanted < partitions) return wanted
  throw new WeirError('USAGE', `there is no partition ${wanted} of ${repliesTopic}, which has ${partitions}`)
}

/** One directory for each deployment: a view of other topics is not taken for this one's. */
async function openView({ dataDir, kafka, app, memory }: KafkaEdgeOptions): Promise<StateBackend> {
  const directory = join(dataDir, `view-${encodeURIComponent(`${kafka.prefix ?? ''}${app}`)}`)
  makeFolders(directory)
  return await openRocksDb(directory, memory)
}

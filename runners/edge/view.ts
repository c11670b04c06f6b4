/**
 * The decision view of an edge: a fold over all partitions of `decisions`, followed all the time, in a database of its own
 * below the edge's data directory. It is a cache of the log: what is lost is folded again.
 *
 * Invariants:
 * 1. A look-up that finds nothing has seen all that was in the log before it was made, records of transactions that were
 *    still open included: it waits until the fold is past them. So who was told of a decision finds it, at any edge: a
 *    reply follows the commit, but the markers that make the commit readable may come after it. What cannot be known
 *    within `waitMsMax` is LOG_UNAVAILABLE, never unknown.
 * 2. Folding, and forgetting what retention took from the log, are one loop: an entry that was just written is not swept.
 * 3. A decision whose place the log no longer has is unknown.
 */
import { EventEmitter, once } from 'node:events'
import {
  type Clock,
  type DurationMs,
  hours,
  isWeirError,
  messageOf,
  millis,
  seconds,
  WeirError,
} from '../../kernel/index.js'
import type { LogReader, Offset } from '../../log/index.js'
import type { KafkaLog } from '../../log/kafka/index.js'
import type { StateBackend } from '../../state/index.js'
import { type DecisionAt, decisionIdsOf, type Found, ViewIndex } from '../serving/index.js'

const topic = 'decisions'
const foldLimits = { recordsMax: 1_024, bytesMax: 16 << 20, waitMsMax: millis(100) }
const troublePause = millis(500)
const readLimits = { recordsMax: 1, bytesMax: 1, waitMsMax: seconds(5) }
/** Readers kept for look-ups, for each partition. */
const idleReadersMax = 2
const sweepEvery = hours(1)
const sweepEntries = 4_096

/** What an edge asks of its view; Redis or PostgreSQL may stand behind it. */
export interface DecisionLookUps {
  /** @throws WeirError LOG_UNAVAILABLE when it is not known in time whether there is a decision */
  find(transactionId: string, customerId: string | undefined): Promise<Found>
  /** Records of `decisions` that are not folded yet, as far as is known. */
  readonly behind: number
  /** Records of `decisions` since the start that are none, and were passed over. */
  readonly noDecisions: number
  /** Why the fold does not get on; undefined while it does. */
  readonly trouble: string | undefined
  close(): Promise<void>
}

export interface KafkaViewOptions {
  /** For the fold. */
  readonly log: KafkaLog
  /** For look-ups, which fetch single batches. */
  readonly singles: KafkaLog
  readonly backend: StateBackend
  readonly partitionOf: (customerId: string) => number
  readonly clock: Clock
  /** What a look-up waits at most until the fold has passed what it must have seen. */
  readonly waitMsMax?: DurationMs
}

export class KafkaDecisionView implements DecisionLookUps {
  readonly #options: KafkaViewOptions
  readonly #index: ViewIndex
  readonly #reader: Awaited<ReturnType<KafkaLog['reader']>>
  /** The next offset that is not folded, by partition. */
  readonly #folded: bigint[]
  readonly #folds = new EventEmitter().setMaxListeners(0)
  readonly #idle = new Map<number, LogReader[]>()
  #following: Promise<void> = Promise.resolve()
  #endsAsked: Promise<readonly bigint[]> = Promise.resolve([])
  #endsNext: Promise<readonly bigint[]> | undefined
  /** Where retention had the log begin at the last sweep, and where the walk stands. */
  #swept: readonly bigint[]
  #sweptAtMs: number
  #sweepFrom: Buffer | 'done' | undefined = 'done'
  #trouble: string | undefined
  /** Records of `decisions` since the start that are none: somebody else has written there. */
  noDecisions = 0
  #closed = false

  /** @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE, BACKEND_FAILED */
  static async open(options: KafkaViewOptions): Promise<KafkaDecisionView> {
    const { log, backend } = options
    const index = new ViewIndex(backend)
    const stored = await index.positions(await log.partitionCount(topic))
    const places = stored.map((_, partition) => ({ topic, partition }))
    const ends = await Promise.all(places.map(at => log.end(at)))
    const begins = await Promise.all(places.map(async at => (await log.range(at)).earliest))
    // It knows more than the log has: the topic was created anew, and nothing that it holds is true.
    const foreign = stored.some((at, partition) => at !== undefined && at > ends[partition]!)
    if (foreign) await clear(index)
    const positions = places.map((at, partition) => {
      const known = foreign ? undefined : stored[partition]
      return { ...at, offset: known === undefined || known < begins[partition]! ? begins[partition]! : known }
    })
    if (foreign) await index.fold([], positions, () => {})
    const reader = await log.reader(positions)
    const view = new KafkaDecisionView(options, index, reader, begins)
    view.#following = view.#follow()
    return view
  }

  private constructor(
    options: KafkaViewOptions,
    index: ViewIndex,
    reader: Awaited<ReturnType<KafkaLog['reader']>>,
    begins: readonly bigint[],
  ) {
    this.#options = options
    this.#index = index
    this.#reader = reader
    this.#folded = begins.map(() => 0n)
    for (const { partition, offset } of reader.positions()) this.#folded[partition] = offset
    this.#swept = begins.map(() => 0n)
    this.#sweptAtMs = Number.NEGATIVE_INFINITY
  }

  get behind(): number {
    return this.#reader.state().reduce((sum, { partition, highWatermark }) => {
      const behind = Number(highWatermark - this.#folded[partition]!)
      return sum + Math.max(0, behind)
    }, 0)
  }

  get trouble(): string | undefined {
    return this.#trouble
  }

  async find(transactionId: string, customerId: string | undefined): Promise<Found> {
    if (customerId !== undefined) {
      // What is found is the decision; only what is not found might not be folded yet.
      const found = await this.#look(transactionId, customerId)
      if (found.kind !== 'unknown') return found
    }
    await this.#caughtUp(customerId)
    return await this.#look(transactionId, customerId)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#reader.close()
    await this.#following
    await Promise.all([...this.#idle.values()].flat().map(reader => reader.close()))
    this.#idle.clear()
  }

  async #look(transactionId: string, customerId: string | undefined): Promise<Found> {
    const found = await this.#index.lookUp(transactionId, customerId)
    return found.kind === 'at' ? await this.#read(found, transactionId, customerId) : found
  }

  /** @throws WeirError LOG_UNAVAILABLE */
  async #caughtUp(customerId: string | undefined): Promise<void> {
    const { waitMsMax = seconds(2), partitionOf } = this.#options
    const ends = await this.#ends()
    const only = customerId === undefined ? undefined : partitionOf(customerId)
    const isBehind = (): boolean =>
      ends.some((end, partition) => (only === undefined || partition === only) && this.#folded[partition]! < end)
    const signal = AbortSignal.timeout(waitMsMax)
    while (isBehind()) {
      if (this.#closed || signal.aborted) {
        throw new WeirError('LOG_UNAVAILABLE', 'the decision view has not reached the end of decisions')
      }
      // Told by the signal when it is aborted: the loop says what that means.
      await once(this.#folds, 'fold', { signal }).catch(() => {})
    }
  }

  /** Ends of all partitions, asked after the call. One question at a time: who comes meanwhile shares the next. */
  #ends(): Promise<readonly bigint[]> {
    this.#endsNext ??= this.#endsAsked
      .catch(() => [])
      .then(() => {
        this.#endsNext = undefined
        this.#endsAsked = Promise.all(this.#folded.map((_, partition) => this.#options.log.end({ topic, partition })))
        return this.#endsAsked
      })
    return this.#endsNext
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      try {
        const batches = await this.#reader.poll(foldLimits)
        if (batches.length > 0) await this.#index.fold(batches, this.#reader.positions(), () => this.noDecisions++)
        for (const { partition, offset } of this.#reader.positions()) this.#folded[partition] = offset
        this.#folds.emit('fold')
        await this.#sweepSome()
        this.#trouble = undefined
      } catch (error) {
        if (this.#closed) break
        await this.#goBack(error)
      }
    }
    this.#folds.emit('fold')
  }

  /** To what is folded, or past what retention took before it was. */
  async #goBack(error: unknown): Promise<void> {
    this.#trouble = messageOf(error)
    const trimmed = isWeirError(error, 'OFFSET_OUT_OF_RANGE')
    for (const at of this.#reader.positions()) {
      let to = this.#folded[at.partition] as Offset
      if (trimmed) {
        const begin = await this.#options.log.range(at).then(
          ({ earliest }) => earliest,
          () => to, // found out at the next poll
        )
        if (begin > to) to = begin
      }
      this.#reader.seek({ ...at, offset: to })
    }
    if (!trimmed) await this.#options.clock.sleep(troublePause)
  }

  /** One step of the walk that forgets what the log no longer has; begins one when retention has moved. */
  async #sweepSome(): Promise<void> {
    const { clock, log } = this.#options
    if (this.#sweepFrom === 'done') {
      if (Math.abs(clock.nowMs() - this.#sweptAtMs) < sweepEvery) return
      this.#sweptAtMs = clock.nowMs()
      const begins = await Promise.all(
        this.#folded.map(async (_, partition) => (await log.range({ topic, partition })).earliest),
      )
      if (begins.every((begin, partition) => begin <= this.#swept[partition]!)) return
      this.#swept = begins
      this.#sweepFrom = undefined
    }
    const isGone = ({ partition, offset }: DecisionAt): boolean => offset < (this.#swept[partition] ?? 0n)
    this.#sweepFrom = (await this.#index.sweep(this.#sweepFrom, sweepEntries, isGone)) ?? 'done'
  }

  async #read(at: DecisionAt, transactionId: string, customerId: string | undefined): Promise<Found> {
    const position = { topic, partition: at.partition, offset: at.offset }
    const reader = this.#idle.get(at.partition)?.pop() ?? (await this.#options.singles.reader([position]))
    try {
      reader.seek(position)
      const [batch] = await reader.poll(readLimits)
      if (batch === undefined) throw new WeirError('LOG_UNAVAILABLE', 'a decision could not be read in time')
      const ids = decisionIdsOf(batch, 0)
      const isIt =
        batch.baseOffset + BigInt(batch.offsetDelta[0]!) === at.offset &&
        ids.transactionId === transactionId &&
        (customerId === undefined || ids.customerId === customerId)
      if (!isIt) return { kind: 'unknown' }
      return { kind: 'found', decision: Buffer.from(batch.bytes.subarray(batch.valueStart[0], batch.valueEnd[0])) }
    } catch (error) {
      if (isWeirError(error, 'OFFSET_OUT_OF_RANGE')) return { kind: 'unknown' }
      throw error
    } finally {
      await this.#putBack(at.partition, reader)
    }
  }

  async #putBack(partition: number, reader: LogReader): Promise<void> {
    const idle = this.#idle.get(partition) ?? []
    if (this.#closed || idle.length >= idleReadersMax) return await reader.close()
    idle.push(reader)
    this.#idle.set(partition, idle)
  }
}

async function clear(index: ViewIndex): Promise<void> {
  let from: Buffer | undefined
  do from = await index.sweep(from, sweepEntries, () => true)
  while (from !== undefined)
}

/**
 * Reads partitions with Fetch, without a group: one connection and at most one fetch under way for each leader.
 *
 * Invariants:
 * 1. Positions move by `poll` and `seek` alone. A position outside the log is OFFSET_OUT_OF_RANGE, at each poll until a
 *    seek; a log that was cut off behind the position (an unclean leader election) is told the same way.
 * 2. A partition is fetched again once what was fetched of it is delivered: a reader holds at most one answer for each
 *    partition, and stops fetching at `fetchBytesMax` for each leader (I6).
 * 3. While something of a leader waits for delivery or is known to be there, its fetches do not wait at the broker: an idle
 *    partition never delays a busy one.
 * 4. Leadership moves and lost connections are met with another attempt, `attemptsMax` of them in a row; then the poll says
 *    KAFKA_UNAVAILABLE, and the next one tries again from the same position.
 */
import { assert, type ErrorCode, isWeirError, millis, WeirError } from '../../kernel/index.js'
import { Doorbell, systemTimer } from '../entries/index.js'
import type { LogReader, PollLimits, Position, RecordBatch } from '../port.js'
import { offset } from '../port.js'
import type { Cluster } from './cluster.js'
import type { Connections } from './connections.js'
import { type Cursor, cursorOf, keyOf, pushBatches, type TakeLimits, take } from './cursor.js'
import { code, nameOf, refusal } from './error-codes.js'
import { AbortFilter } from './records/abort-filter.js'
import { decodeRecords } from './records/decode.js'
import { type BrokerAddress, type FetchedPartition, fetch } from './requests/index.js'
import { ConnectionLost, pauseAfter } from './retry.js'

/** Where a partition of a reader stands. */
export interface PartitionState {
  readonly topic: string
  readonly partition: number
  readonly position: bigint
  /** What is replicated; records of open transactions included. */
  readonly highWatermark: bigint
  /** Records below are decided. Behind the high watermark for long: a transaction hangs open, and nobody reads past it. */
  readonly lastStableOffset: bigint
  readonly earliest: bigint
}

export class KafkaReader implements LogReader {
  readonly finished = false
  readonly #cluster: Cluster
  readonly #connections: Connections
  readonly #cursors: readonly Cursor[]
  readonly #byKey: ReadonlyMap<string, Cursor>
  readonly #onClosed: () => void
  readonly #bell = new Doorbell()
  /** Leaders with a fetch under way. */
  readonly #asked = new Set<number>()
  #first = 0
  #polling = false
  #closed = false

  /** @param from their topics exist */
  constructor(cluster: Cluster, from: readonly Position[], prefix: string, onClosed: () => void) {
    this.#cluster = cluster
    this.#onClosed = onClosed
    this.#connections = cluster.connections()
    const topics = [...new Set(from.map(({ topic }) => topic))]
    this.#cursors = [...from]
      .sort((a, b) => topics.indexOf(a.topic) - topics.indexOf(b.topic) || a.partition - b.partition)
      .map(position => cursorOf(position, prefix))
    this.#byKey = new Map(this.#cursors.map(cursor => [keyOf(cursor.name, cursor.partition), cursor]))
  }

  async poll(limits: PollLimits): Promise<readonly RecordBatch[]> {
    assert(!this.#polling, 'one poll at a time')
    assert(!this.#closed, 'the reader and its log are open')
    assert(limits.recordsMax > 0, 'a poll asks for at least one record')
    this.#polling = true
    try {
      this.#pump()
      if (!this.#hasNews() && limits.waitMsMax > 0) {
        await this.#bell.wait(() => this.#closed || this.#hasNews(), millis(limits.waitMsMax), systemTimer)
      }
      if (this.#closed) return []
      this.#throwFailure()
      return this.#take(limits)
    } finally {
      // The next fetch goes out before this poll's records are worked on.
      this.#pump()
      this.#polling = false
    }
  }

  seek(position: Position): void {
    assert(!this.#polling, 'no seek during a poll')
    const cursor = this.#cursors.find(
      ({ topic, partition }) => topic === position.topic && partition === position.partition,
    )
    assert(cursor !== undefined, `the reader has ${position.topic}/${position.partition}`)
    cursor.position = Number(position.offset)
    cursor.fetchNext = cursor.position
    cursor.lastEpoch = -1
    cursor.runs = []
    cursor.taken = 0
    cursor.bufferedBytes = 0
    cursor.failure = undefined
    cursor.attempts = 0
  }

  positions(): readonly Position[] {
    return this.#cursors.map(({ topic, partition, position }) => ({ topic, partition, offset: offset(position) }))
  }

  /** As the last fetch of each partition told it. */
  state(): readonly PartitionState[] {
    return this.#cursors.map(cursor => ({
      topic: cursor.topic,
      partition: cursor.partition,
      position: BigInt(cursor.position),
      highWatermark: BigInt(cursor.highWatermark),
      lastStableOffset: BigInt(cursor.stable),
      earliest: BigInt(cursor.logStart),
    }))
  }

  /** Records below `before` are gone: what is held of them must not be delivered any more. */
  trimmed(name: string, partition: number, before: number): void {
    const cursor = this.#byKey.get(keyOf(name, partition))
    if (cursor !== undefined) cursor.logStart = Math.max(cursor.logStart, before)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#bell.ring()
    this.#onClosed()
    await this.#connections.close()
  }

  #hasNews(): boolean {
    return this.#cursors.some(cursor => cursor.runs.length > 0 || failureOf(cursor) !== undefined)
  }

  #throwFailure(): void {
    for (const cursor of this.#cursors) {
      const failure = failureOf(cursor)
      if (failure === undefined) continue
      if (isWeirError(failure, 'KAFKA_UNAVAILABLE')) {
        cursor.failure = undefined
        cursor.attempts = 0
      }
      throw failure
    }
  }

  /** The limits are offered to another partition first at each poll, so that none waits for the others. */
  #take(limits: PollLimits): readonly RecordBatch[] {
    const cursors = this.#cursors
    const left: TakeLimits = { records: limits.recordsMax, bytes: limits.bytesMax, delivered: false }
    for (let i = 0; i < cursors.length; i++) take(cursors[(this.#first + i) % cursors.length]!, left)
    this.#first = cursors.length === 0 ? 0 : (this.#first + 1) % cursors.length
    const batches: RecordBatch[] = []
    for (const cursor of cursors) pushBatches(cursor, batches)
    return batches
  }

  /** Sends a fetch to each leader that has none under way, for its partitions of which nothing is held. */
  #pump(): void {
    if (this.#closed) return
    const groups = new Map<number, { broker: BrokerAddress; cursors: Cursor[] }>()
    for (const cursor of this.#cursors) {
      if (cursor.recovering || cursor.failure !== undefined) continue
      const leader = this.#cluster.leader(cursor.name, cursor.partition)
      if (leader === undefined) {
        this.#recover([cursor], `${cursor.name}/${cursor.partition} has no leader`)
        continue
      }
      cursor.leaderEpoch = leader.epoch
      const group = groups.get(leader.broker.id)
      if (group === undefined) groups.set(leader.broker.id, { broker: leader.broker, cursors: [cursor] })
      else group.cursors.push(cursor)
    }
    for (const { broker, cursors } of groups.values()) {
      if (this.#asked.has(broker.id)) continue
      const empty = cursors.filter(cursor => cursor.runs.length === 0)
      const held = cursors.reduce((sum, cursor) => sum + cursor.bufferedBytes, 0)
      if (empty.length === 0 || held >= this.#cluster.settings.limits.fetchBytesMax) continue
      const idle = empty.length === cursors.length && empty.every(cursor => cursor.fetchNext >= cursor.stable)
      this.#asked.add(broker.id)
      void this.#fetch(broker, empty, idle)
    }
  }

  async #fetch(broker: BrokerAddress, cursors: readonly Cursor[], idle: boolean): Promise<void> {
    const { limits } = this.#cluster.settings
    const asked = new Map(cursors.map(cursor => [keyOf(cursor.name, cursor.partition), cursor.fetchNext]))
    // Brokers fill an answer in the order asked: whoever was first is last the next time.
    const turn = this.#first % cursors.length
    const partitions = [...cursors.slice(turn), ...cursors.slice(0, turn)].map(cursor => ({
      topic: cursor.name,
      partition: cursor.partition,
      leaderEpoch: cursor.leaderEpoch,
      offset: cursor.fetchNext,
      lastEpoch: cursor.lastEpoch,
      bytesMax: limits.partitionFetchBytesMax,
    }))
    try {
      const connection = await this.#connections.to(broker)
      const waitMsMax = idle ? limits.fetchWaitMsMax : 0
      const answer = await connection.request(fetch, { waitMsMax, bytesMax: limits.fetchBytesMax, partitions })
      if (answer.errorCode !== code.none) throw new ConnectionLost(`Fetch: ${nameOf(answer.errorCode)}`)
      for (const fetched of answer.partitions) {
        const key = keyOf(fetched.topic, fetched.partition)
        const cursor = this.#byKey.get(key)
        // A seek since then makes the answer one to another question.
        if (cursor !== undefined && cursor.fetchNext === asked.get(key) && cursor.runs.length === 0) {
          this.#accept(cursor, fetched)
        }
      }
    } catch (error) {
      if (this.#closed) return
      if (error instanceof ConnectionLost) this.#recover(cursors, error.message)
      else for (const cursor of cursors) cursor.failure = asError(error)
    } finally {
      this.#asked.delete(broker.id)
      if (this.#polling) this.#pump()
      this.#bell.ring()
    }
  }

  #accept(cursor: Cursor, fetched: FetchedPartition): void {
    const where = `${cursor.name}/${cursor.partition}`
    const { errorCode } = fetched
    if (errorCode === code.offsetOutOfRange) {
      cursor.failure = new WeirError('OFFSET_OUT_OF_RANGE', `${where} does not have offset ${cursor.fetchNext}`)
    } else if (errorCode !== code.none) {
      const refused = refusal(errorCode, `Fetch of ${where}`)
      const gone = errorCode === code.unknownTopicOrPartition
      // Whatever else it is, reading changes nothing: it may be over at the next attempt.
      if (refused !== undefined) cursor.failure = refused
      else this.#recover([cursor], `${where}: ${nameOf(errorCode)}`, gone ? 'UNKNOWN_TOPIC' : 'KAFKA_UNAVAILABLE')
    } else if (fetched.divergesAt !== undefined) {
      const what = `${where} was cut off at offset ${fetched.divergesAt} by an unclean leader election`
      cursor.failure = new WeirError('OFFSET_OUT_OF_RANGE', `${what}; ${cursor.fetchNext} had been reached`)
    } else this.#decode(cursor, fetched, where)
  }

  #decode(cursor: Cursor, fetched: FetchedPartition, where: string): void {
    cursor.attempts = 0
    cursor.highWatermark = fetched.highWatermark
    cursor.stable = fetched.lastStableOffset
    cursor.logStart = Math.max(cursor.logStart, fetched.logStart)
    if (fetched.records === null || fetched.records.length === 0) return
    try {
      const { runs, next, lastEpoch } = decodeRecords(fetched.records, cursor.fetchNext, {
        where,
        filter: new AbortFilter(fetched.aborted),
        checksum: this.#cluster.checksum,
        decompressedBytesMax: this.#cluster.settings.limits.decompressedBytesMax,
      })
      cursor.fetchNext = next
      if (lastEpoch >= 0) cursor.lastEpoch = lastEpoch
      cursor.runs = [...runs]
      // Runs that were not compressed share their buffer.
      cursor.bufferedBytes = [...new Set(runs.map(run => run.bytes))].reduce((sum, { length }) => sum + length, 0)
    } catch (error) {
      const damaged = error instanceof RangeError
      cursor.failure = damaged ? new WeirError('LOG_CORRUPT', `${where}: ${error.message}`) : asError(error)
    }
  }

  /** Waits a little, asks for the leaders anew, and lets the partitions be fetched again. */
  #recover(cursors: readonly Cursor[], why: string, pastBound: ErrorCode = 'KAFKA_UNAVAILABLE'): void {
    const { settings } = this.#cluster
    for (const cursor of cursors) {
      cursor.recovering = true
      if (++cursor.attempts < settings.limits.attemptsMax) continue
      cursor.failure ??= new WeirError(pastBound, why)
    }
    const attempt = Math.max(...cursors.map(cursor => cursor.attempts)) - 1
    void (async () => {
      await settings.clock.sleep(pauseAfter(attempt))
      try {
        if (!this.#closed) await this.#cluster.refresh()
      } catch (error) {
        // The next fetch meets the same trouble, and counts it.
        if (!(error instanceof ConnectionLost)) for (const cursor of cursors) cursor.failure = asError(error)
      }
      for (const cursor of cursors) cursor.recovering = false
      if (this.#polling) this.#pump()
      this.#bell.ring()
    })()
  }
}

function failureOf(cursor: Cursor): Error | undefined {
  if (cursor.failure !== undefined) return cursor.failure
  if (cursor.position >= cursor.logStart) return undefined
  return new WeirError(
    'OFFSET_OUT_OF_RANGE',
    `${cursor.name}/${cursor.partition} begins at offset ${cursor.logStart}, ${cursor.position} is gone`,
  )
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)))

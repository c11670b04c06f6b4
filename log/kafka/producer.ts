/**
 * Appends outside of transactions, with acks of all replicas in sync and without a producer id: an append whose answer is
 * lost is reported (COMMIT_INDEFINITE) and never sent again, so the caller decides. An idempotent producer would hide one
 * cause of repeats of several (a caller that sends again is the other); slots recognise repeated transactions anyway, and
 * a producer without an identity has nothing that can expire or be fenced.
 *
 * Invariants:
 * 1. Of each partition one batch is under way; what is appended meanwhile goes together in the next. A partition without
 *    a leader delays no other, and none learns of another's error, though batches of one moment share their leader's request.
 * 2. At most `producerQueueBytesMax` wait for each partition (I6): then QUEUE_FULL, and nothing was taken.
 */
import { WeirError } from '../../kernel/index.js'
import type { Append, AppendRecord, LogProducer, Offset } from '../port.js'
import { offset, recordBytes } from '../port.js'
import type { Cluster } from './cluster.js'
import type { Connections } from './connections.js'
import { keyOf } from './cursor.js'
import { type Answer, askLeaders, type Outgoing, tryAgain } from './produce.js'
import { BatchEncoder, checkSizes, countOf, isEncoded, plainProducer, type Records } from './records/encode.js'
import { Patience } from './retry.js'

/** One append to one partition. */
interface Waiting {
  readonly records: Records
  readonly size: number
  /** How many of its records are written. */
  done: number
  first: number
  readonly resolve: (first: Offset) => void
  readonly reject: (error: unknown) => void
}

export class KafkaProducer implements LogProducer {
  readonly #cluster: Cluster
  readonly #connections: Connections
  readonly #prefix: string
  readonly #departures: Departures
  readonly #queues = new Map<string, PartitionQueue>()

  constructor(cluster: Cluster, prefix: string) {
    this.#cluster = cluster
    this.#connections = cluster.connections()
    this.#departures = new Departures(cluster, this.#connections)
    this.#prefix = prefix
  }

  async append(appends: readonly Append[]): Promise<readonly Offset[]> {
    const queues: PartitionQueue[] = []
    for (const { topic, partition, records } of appends) {
      const queue = await this.#queue(this.#prefix + topic, partition)
      checkSizes(queue.topic, records, queue.bytesMax)
      queues.push(queue)
    }
    for (const [i, queue] of queues.entries()) queue.checkRoom(bytesOf(appends[i]!.records))
    const results = await Promise.allSettled(
      appends.map(({ records }, i) => (countOf(records) === 0 ? offset(0) : queues[i]!.append(records))),
    )
    return results.map(result => {
      if (result.status === 'rejected') throw result.reason
      return result.value
    })
  }

  /** With acks of all, what is appended is as durable as it gets. */
  async sync(): Promise<void> {}

  close(): Promise<void> {
    return this.#connections.close()
  }

  /** @throws WeirError UNKNOWN_TOPIC */
  async #queue(topic: string, partition: number): Promise<PartitionQueue> {
    const key = keyOf(topic, partition)
    const known = this.#queues.get(key)
    if (known !== undefined) return known
    await this.#cluster.partition(topic, partition)
    const bytesMax = await this.#cluster.batchBytesMax(topic)
    const queue =
      this.#queues.get(key) ?? new PartitionQueue(this.#cluster, this.#departures, topic, partition, bytesMax)
    this.#queues.set(key, queue)
    return queue
  }
}

/** Batches that are ready in the same turn go to their leader in one request: a broker feels each. */
class Departures {
  readonly #cluster: Cluster
  readonly #connections: Connections
  #ready: { readonly batch: Outgoing; readonly answered: (answer: Promise<Answer>) => void }[] = []

  constructor(cluster: Cluster, connections: Connections) {
    this.#cluster = cluster
    this.#connections = connections
  }

  /** @param batch of a partition of which no other is under way */
  send(batch: Outgoing): Promise<Answer> {
    return new Promise(answered => {
      if (this.#ready.push({ batch, answered }) === 1) setImmediate(() => this.#leave())
    })
  }

  #leave(): void {
    const leaving = this.#ready
    this.#ready = []
    const batches = leaving.map(({ batch }) => batch)
    const as = { transactionalId: null, addsPartitions: false }
    for (const [i, answer] of askLeaders(this.#cluster, this.#connections, as, batches).entries()) {
      leaving[i]!.answered(answer)
    }
  }
}

class PartitionQueue {
  readonly topic: string
  readonly bytesMax: number
  readonly #partition: number
  readonly #cluster: Cluster
  readonly #departures: Departures
  readonly #encoder = new BatchEncoder()
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  #sending = false

  constructor(cluster: Cluster, departures: Departures, topic: string, partition: number, bytesMax: number) {
    this.#cluster = cluster
    this.#departures = departures
    this.topic = topic
    this.#partition = partition
    this.bytesMax = bytesMax
  }

  /** @throws WeirError QUEUE_FULL */
  checkRoom(size: number): void {
    const { producerQueueBytesMax } = this.#cluster.settings.limits
    if (this.#waiting.length === 0 || this.#waitingBytes + size <= producerQueueBytesMax) return
    throw new WeirError('QUEUE_FULL', `${this.#waitingBytes} bytes wait for ${this.topic}/${this.#partition}`)
  }

  append(records: Records): Promise<Offset> {
    return new Promise((resolve, reject) => {
      const size = bytesOf(records)
      this.#waiting.push({ records, size, done: 0, first: -1, resolve, reject })
      this.#waitingBytes += size
      if (!this.#sending) void this.#send()
    })
  }

  async #send(): Promise<void> {
    this.#sending = true
    // Whatever is appended in the same turn goes into the same batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#fill()
      try {
        await this.#produce(batch)
        this.#settle(batch)
      } catch (error) {
        for (const { waiting } of batch) {
          this.#drop(waiting)
          waiting.reject(error)
        }
      }
    }
    this.#sending = false
  }

  /** Fills the encoder from the queue. @returns which appends take part, and up to which of their records */
  #fill(): { waiting: Waiting; to: number }[] {
    const batch: { waiting: Waiting; to: number }[] = []
    this.#encoder.begin(this.bytesMax)
    for (const waiting of this.#waiting) {
      const to = this.#encoder.add(waiting.records, waiting.done)
      if (to === waiting.done) break
      batch.push({ waiting, to })
      if (to < countOf(waiting.records)) break
    }
    return batch
  }

  async #produce(batch: readonly { waiting: Waiting; to: number }[]): Promise<void> {
    const { checksum, settings } = this.#cluster
    const bytes = this.#encoder.finish(plainProducer, settings.clock.nowMs(), checksum)
    let next = await this.#written({ topic: this.topic, partition: this.#partition, bytes })
    for (const { waiting, to } of batch) {
      if (waiting.first < 0) waiting.first = next
      next += to - waiting.done
      waiting.done = to
    }
  }

  /** @returns the offset of the batch's first record */
  async #written(batch: Outgoing): Promise<number> {
    const patience = new Patience(this.#cluster.settings)
    for (;;) {
      const answer = await this.#departures.send(batch)
      if (answer.kind === 'failed') throw answer.error
      if (answer.kind === 'written') return answer.offset
      await tryAgain(this.#cluster, patience, answer.brief, answer.why)
    }
  }

  #settle(batch: readonly { waiting: Waiting }[]): void {
    for (const { waiting } of batch) {
      if (waiting.done < countOf(waiting.records)) continue
      this.#drop(waiting)
      waiting.resolve(offset(waiting.first))
    }
  }

  #drop(waiting: Waiting): void {
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
    this.#waitingBytes -= waiting.size
  }
}

function bytesOf(records: Records): number {
  if (isEncoded(records)) return records.count === 0 ? 0 : records.valueEnd[records.count - 1]! - records.valueStart[0]!
  return records.reduce((sum: number, record: AppendRecord) => sum + recordBytes(record), 0)
}

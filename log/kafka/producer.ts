/**
 * Appends outside of transactions, with acks of all replicas in sync and without a producer id: an append whose answer is
 * lost is reported (COMMIT_INDEFINITE) and never sent again, so the caller decides. An idempotent producer would hide one
 * cause of repeats of several (a caller that sends again is the other); slots recognise repeated transactions anyway, and
 * a producer without an identity has nothing that can expire or be fenced.
 *
 * Invariants:
 * 1. Of each partition one request is under way; what is appended meanwhile goes together in the next. A partition without
 *    a leader delays no other.
 * 2. At most `producerQueueBytesMax` wait for each partition (I6): then QUEUE_FULL, and nothing was taken.
 */
import { WeirError } from '../../kernel/index.js'
import type { Append, AppendRecord, LogProducer, Offset } from '../port.js'
import { offset } from '../port.js'
import type { Cluster } from './cluster.js'
import type { Connections } from './connections.js'
import { keyOf } from './cursor.js'
import { produceAll } from './produce.js'
import { BatchEncoder, checkSizes, countOf, isEncoded, plainProducer, type Records, sizeOf } from './records/encode.js'

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
  readonly #queues = new Map<string, PartitionQueue>()

  constructor(cluster: Cluster, prefix: string) {
    this.#cluster = cluster
    this.#connections = cluster.connections()
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
      this.#queues.get(key) ?? new PartitionQueue(this.#cluster, this.#connections, topic, partition, bytesMax)
    this.#queues.set(key, queue)
    return queue
  }
}

class PartitionQueue {
  readonly topic: string
  readonly bytesMax: number
  readonly #partition: number
  readonly #cluster: Cluster
  readonly #connections: Connections
  readonly #encoder = new BatchEncoder()
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  #sending = false

  constructor(cluster: Cluster, connections: Connections, topic: string, partition: number, bytesMax: number) {
    this.#cluster = cluster
    this.#connections = connections
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
    const outgoing = { topic: this.topic, partition: this.#partition, bytes }
    const as = { transactionalId: null, addsPartitions: false }
    const [base] = await produceAll(this.#cluster, this.#connections, as, [outgoing])
    let next = base!
    for (const { waiting, to } of batch) {
      if (waiting.first < 0) waiting.first = next
      next += to - waiting.done
      waiting.done = to
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
  return records.reduce((sum: number, record: AppendRecord) => sum + sizeOf(record), 0)
}

/**
 * The log port over Apache Kafka. Nothing of it joins a group, and nothing moves a position but its readers' polls.
 *
 * Invariants:
 * 1. `range` covers every transaction that a committer of this log has committed. Kafka decides a transaction before its
 *    markers are written, and readers see it after: `range` waits for that moment, commits do not.
 * 2. Names carry the prefix inside Kafka, and nowhere else.
 */
import { assert, isWeirError, WeirError } from '../../kernel/index.js'
import type { Append, Log, LogProducer, LogRange, LogTrimmer, Offset, Position, TopicPartition } from '../port.js'
import { offset } from '../port.js'
import { Cluster } from './cluster.js'
import { KafkaCommitter } from './committer.js'
import { keyOf } from './cursor.js'
import { code, isTemporary, nameOf, refusal } from './error-codes.js'
import { loadLibrary } from './library.js'
import { type KafkaOptions, type KafkaSettings, settingsOf } from './options.js'
import { KafkaProducer } from './producer.js'
import { KafkaReader } from './reader.js'
import { recordRoom } from './records/encode.js'
import {
  createPartitions,
  createTopics,
  deleteRecords,
  earliestOffset,
  latestOffset,
  listOffsets,
} from './requests/index.js'
import { retried, TemporaryError } from './retry.js'

/** What a topic is created with; what is left out is the cluster's to choose. */
export interface TopicSettings {
  /** Default: 3 where three brokers are up or named, else 1. */
  readonly replication?: number
  /** Kafka's names and values, such as `retention.ms`; `min.insync.replicas` is 2 with three replicas unless stated. */
  readonly config?: Readonly<Record<string, string>>
}

export interface TopicDescription {
  readonly partitions: number
  readonly replication: number
  /** Defaults included; undefined where this client may not read it. */
  readonly config: ReadonlyMap<string, string | null> | undefined
}

export class KafkaLog implements Log, LogProducer, LogTrimmer {
  readonly totalOrder = false
  readonly #settings: KafkaSettings
  readonly #cluster: Cluster
  readonly #producer: KafkaProducer
  readonly #readers = new Set<KafkaReader>()
  readonly #committers = new Set<KafkaCommitter>()
  /** One past the last record that a committer of this log has committed, for each partition until it is readable. */
  readonly #committed = new Map<string, number>()
  #closed = false

  private constructor(settings: KafkaSettings, cluster: Cluster) {
    this.#settings = settings
    this.#cluster = cluster
    this.#producer = new KafkaProducer(cluster, settings.prefix)
  }

  /** Nothing is asked of the brokers yet. @throws WeirError USAGE */
  static async open(options: KafkaOptions): Promise<KafkaLog> {
    const settings = settingsOf(options)
    return new KafkaLog(settings, new Cluster(await loadLibrary(), settings))
  }

  /** @throws WeirError TOPIC_MISMATCH, KAFKA_REFUSED, KAFKA_UNAVAILABLE */
  async createTopic(topic: string, partitions: number, settings: TopicSettings = {}): Promise<void> {
    this.#assertOpen()
    const name = this.#settings.prefix + topic
    await this.#cluster.atController(`creating ${name}`, async connection => {
      const replication = settings.replication ?? (this.#cluster.brokerCount >= 3 ? 3 : 1)
      const minInSync = replication >= 3 ? { 'min.insync.replicas': '2' } : {}
      const config = { ...minInSync, ...settings.config }
      const timeoutMs = this.#settings.limits.requestMsMax
      const args = { topic: name, partitions, replication, config, timeoutMs }
      const { errorCode, message } = await connection.request(createTopics, args)
      if (errorCode === code.none || errorCode === code.topicExists) return
      if (isTemporary(errorCode)) throw new TemporaryError(nameOf(errorCode))
      const what = `creating ${name}`
      throw refusal(errorCode, what, message) ?? new WeirError('KAFKA_REFUSED', `${what}: ${nameOf(errorCode)}`)
    })
    await this.#whenLed(name, partitions)
  }

  /**
   * Until the topic has at least so many partitions. Keys of what is there already stay where they are: for topics whose
   * partitions are not chosen by key.
   * @throws WeirError UNKNOWN_TOPIC, KAFKA_REFUSED, KAFKA_UNAVAILABLE
   */
  async growTopic(topic: string, partitions: number): Promise<void> {
    if ((await this.partitionCount(topic)) >= partitions) return
    const name = this.#settings.prefix + topic
    const what = `more partitions for ${name}`
    await this.#cluster.atController(what, async connection => {
      const args = { topic: name, partitions, timeoutMs: this.#settings.limits.requestMsMax }
      const { errorCode, message } = await connection.request(createPartitions, args)
      // Somebody else was faster; how many there are is looked up below.
      if (errorCode === code.none || errorCode === code.invalidPartitions) return
      if (isTemporary(errorCode)) throw new TemporaryError(nameOf(errorCode))
      throw refusal(errorCode, what, message) ?? new WeirError('KAFKA_REFUSED', `${what}: ${nameOf(errorCode)}`)
    })
    await this.#whenLed(name, partitions, true)
  }

  async partitionCount(topic: string): Promise<number> {
    return (await this.describeTopic(topic, [])).partitions
  }

  async recordBytesMax(topic: string): Promise<number> {
    this.#assertOpen()
    return recordRoom(await this.#cluster.batchBytesMax(this.#settings.prefix + topic))
  }

  /** @param names of the configuration wanted; null for all. @throws WeirError UNKNOWN_TOPIC */
  async describeTopic(topic: string, names: string[] | null = null): Promise<TopicDescription> {
    this.#assertOpen()
    const name = this.#settings.prefix + topic
    const { partitions } = await this.#cluster.topic(name)
    return {
      partitions: partitions.length,
      replication: partitions[0]?.replicas.length ?? 0,
      config: names?.length === 0 ? new Map() : await this.#cluster.topicConfig(name, names),
    }
  }

  /** Brokers that the last answer about topics named. */
  get brokerCount(): number {
    return this.#cluster.brokerCount
  }

  async range(at: TopicPartition): Promise<LogRange> {
    this.#assertOpen()
    const name = this.#settings.prefix + at.topic
    const key = keyOf(name, at.partition)
    const earliest = await this.#list(name, at.partition, earliestOffset)
    const latest = await retried(this.#settings, `the end of ${key}`, async () => {
      const stable = await this.#list(name, at.partition, latestOffset)
      // The marker takes an offset of its own.
      if (stable <= (this.#committed.get(key) ?? -1)) throw new TemporaryError('markers are being written', true)
      return stable
    })
    this.#committed.delete(key)
    return { earliest: offset(earliest), latest: offset(latest) }
  }

  /** The offset after the last record that is replicated, those of open transactions included: never below `range`'s. */
  async end(at: TopicPartition): Promise<Offset> {
    this.#assertOpen()
    return offset(await this.#list(this.#settings.prefix + at.topic, at.partition, latestOffset, false))
  }

  async reader(from: readonly Position[]): Promise<KafkaReader> {
    this.#assertOpen()
    const { prefix } = this.#settings
    for (const { topic, partition } of from) await this.#cluster.partition(prefix + topic, partition)
    const reader = new KafkaReader(this.#cluster, from, prefix, () => this.#readers.delete(reader))
    this.#readers.add(reader)
    return reader
  }

  async committer(id: string): Promise<KafkaCommitter> {
    this.#assertOpen()
    const committer = await KafkaCommitter.open(id, this.#cluster, this.#settings.prefix, {
      committed: (topic, partition, end) => this.#committed.set(keyOf(topic, partition), end),
      closed: () => this.#committers.delete(committer),
    })
    this.#committers.add(committer)
    return committer
  }

  append(appends: readonly Append[]): Promise<readonly Offset[]> {
    this.#assertOpen()
    return this.#producer.append(appends)
  }

  sync(): Promise<void> {
    return this.#producer.sync()
  }

  async trim(before: Position): Promise<void> {
    this.#assertOpen()
    const name = this.#settings.prefix + before.topic
    const { partition } = before
    const args = {
      topic: name,
      partition,
      before: Number(before.offset),
      timeoutMs: this.#settings.limits.requestMsMax,
    }
    const lowWatermark = await this.#cluster.atLeader(name, partition, async connection => {
      const answer = await connection.request(deleteRecords, args)
      const what = `trimming ${keyOf(name, partition)} below ${before.offset}`
      return checked(answer.errorCode, what, answer.lowWatermark)
    })
    for (const reader of this.#readers) reader.trimmed(name, partition, lowWatermark)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const open = [...this.#readers, ...this.#committers, this.#producer]
    await Promise.all(open.map(part => part.close()))
    await this.#cluster.close()
  }

  #list(name: string, partition: number, timestamp: number, committedOnly = true): Promise<number> {
    return this.#cluster.atLeader(name, partition, async (connection, { epoch }) => {
      const args = { topic: name, partition, leaderEpoch: epoch, timestamp, committedOnly }
      const { errorCode, offset: found } = await connection.request(listOffsets, args)
      return checked(errorCode, `the range of ${keyOf(name, partition)}`, found)
    })
  }

  /** A new topic is known to every broker, and led, a moment after it was created; so are new partitions (`more`). */
  async #whenLed(name: string, partitions: number, more = false): Promise<void> {
    await retried(this.#settings, `topic ${name}`, async () => {
      const found = await this.#cluster.topic(name).catch((error: unknown) => {
        throw isWeirError(error, 'UNKNOWN_TOPIC') ? new TemporaryError(error.message) : error
      })
      if (found.partitions.length < partitions && more) throw new TemporaryError('its new partitions are not known yet')
      if (found.partitions.length !== partitions && !more) {
        throw new WeirError('TOPIC_MISMATCH', `${name} has ${found.partitions.length} partitions, not ${partitions}`)
      }
      const leaderless = found.partitions.find(({ leader }) => leader < 0)
      if (leaderless !== undefined) throw new TemporaryError(`partition ${leaderless.partition} has no leader`)
    })
  }

  #assertOpen(): void {
    assert(!this.#closed, 'the log is open')
  }
}

/** The value of an answer without error. */
function checked<T>(errorCode: number, what: string, value: T): T {
  if (errorCode === code.none) return value
  const text = `${what}: ${nameOf(errorCode)}`
  if (isTemporary(errorCode)) throw new TemporaryError(text)
  if (errorCode === code.offsetOutOfRange) throw new WeirError('OFFSET_OUT_OF_RANGE', text)
  throw refusal(errorCode, what) ?? new WeirError('KAFKA_UNAVAILABLE', text)
}

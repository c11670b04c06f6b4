/**
 * What is known of the cluster: its brokers, and of each topic asked about its partitions and their leaders. Knowledge
 * ages; whoever is told by a broker that it is wrong calls `refresh`. Names are as in Kafka, prefix included.
 */
import { assert, type DurationMs, millis, WeirError } from '../../kernel/index.js'
import { systemTimer } from '../entries/index.js'
import { type BrokerConnection, Connections } from './connections.js'
import { code, isTemporary, nameOf, refusal } from './error-codes.js'
import type { KafkaLibrary } from './library.js'
import type { KafkaAddress, KafkaSettings } from './options.js'
import {
  type BrokerAddress,
  describeTopicConfig,
  type Metadata,
  metadata,
  type PartitionMetadata,
  type TopicMetadata,
} from './requests/index.js'
import { ConnectionLost, retried, TemporaryError } from './retry.js'

export interface Leader {
  readonly broker: BrokerAddress
  readonly epoch: number
}

/** Longer without an answer, and another broker is asked, too. */
const silenceMsMax = millis(1_000)

interface Answered<T> {
  readonly address: KafkaAddress
  readonly answer: T
}

export class Cluster {
  readonly settings: KafkaSettings
  readonly #library: KafkaLibrary
  readonly #bootstrap: readonly KafkaAddress[]
  readonly #connections: Connections
  readonly #topics = new Map<string, TopicMetadata>()
  readonly #batchBytesMax = new Map<string, number>()
  #brokers = new Map<number, BrokerAddress>()
  #controller = -1
  #refreshing: Promise<Metadata> | undefined
  #answeredLast: KafkaAddress | undefined

  constructor(library: KafkaLibrary, settings: KafkaSettings) {
    assert(settings.brokers.length > 0, 'at least one broker to begin with')
    this.#library = library
    this.settings = settings
    this.#bootstrap = settings.brokers.map(addressIn)
    this.#connections = this.connections()
  }

  /** A new set of connections for an owner. */
  connections(): Connections {
    return new Connections(this.#library, this.settings)
  }

  get checksum(): (bytes: Buffer) => number {
    return this.#library.checksum
  }

  /** As many as are up, or as are named: one that is down when a topic is created must not cost the topic its replicas. */
  get brokerCount(): number {
    return Math.max(this.#brokers.size, this.#bootstrap.length)
  }

  /**
   * The partitions of a topic as the cluster has them now.
   * @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE
   */
  async topic(topic: string): Promise<TopicMetadata> {
    return retried(this.settings, `topic ${topic}`, async () => {
      const answer = await this.#ask([topic])
      const found = answer.topics.find(candidate => candidate.topic === topic)
      const errorCode = found?.errorCode ?? code.unknownTopicOrPartition
      if (errorCode === code.unknownTopicOrPartition || errorCode === code.invalidTopic) {
        this.#topics.delete(topic)
        throw new WeirError('UNKNOWN_TOPIC', `there is no topic ${topic}`)
      }
      if (errorCode !== code.none) {
        throw refusal(errorCode, `topic ${topic}`) ?? new TemporaryError(nameOf(errorCode))
      }
      return found!
    })
  }

  /** @throws WeirError UNKNOWN_TOPIC */
  async partition(topic: string, partition: number): Promise<PartitionMetadata> {
    const known = this.#topics.get(topic)?.partitions[partition]
    if (known !== undefined) return known
    const { partitions } = await this.topic(topic)
    const found = partitions[partition]
    if (found !== undefined) return found
    throw new WeirError('UNKNOWN_TOPIC', `${topic} has ${partitions.length} partitions, none with number ${partition}`)
  }

  /** Undefined while the partition has no leader, or none is known. */
  leader(topic: string, partition: number): Leader | undefined {
    const found = this.#topics.get(topic)?.partitions[partition]
    const broker = found === undefined ? undefined : this.#brokers.get(found.leader)
    return broker === undefined ? undefined : { broker, epoch: found!.leaderEpoch }
  }

  /** Asks for the leaders of every topic in use. Calls made meanwhile share the answer. @throws ConnectionLost */
  async refresh(): Promise<void> {
    this.#refreshing ??= this.#ask([...this.#topics.keys()]).finally(() => {
      this.#refreshing = undefined
    })
    await this.#refreshing
  }

  /**
   * Hands `work` a connection to the partition's leader, again after a refresh while leadership moves; for requests that
   * may be repeated. It throws TemporaryError for what is worth another attempt.
   */
  async atLeader<T>(
    topic: string,
    partition: number,
    work: (connection: BrokerConnection, leader: Leader) => Promise<T>,
  ): Promise<T> {
    await this.partition(topic, partition)
    let first = true
    return retried(this.settings, `${topic}/${partition}`, async () => {
      if (!first) await this.refresh()
      first = false
      const leader = this.leader(topic, partition)
      if (leader === undefined) throw new TemporaryError('the partition has no leader')
      return work(await this.#connections.to(leader.broker), leader)
    })
  }

  async atController<T>(what: string, work: (connection: BrokerConnection) => Promise<T>): Promise<T> {
    return retried(this.settings, what, async () => {
      await this.#ask([])
      const controller = this.#brokers.get(this.#controller)
      if (controller === undefined) throw new TemporaryError('the cluster has no controller')
      return work(await this.#connections.to(controller))
    })
  }

  /**
   * Any broker that answers, first the one that answered last; only for what may be asked twice. One that hangs says nothing
   * for as long as a request may take: after `silenceMsMax` the next is asked beside it.
   * @throws ConnectionLost when there is none
   */
  async anyBroker<T>(work: (connection: BrokerConnection) => Promise<T>): Promise<T> {
    let lost = new ConnectionLost('no broker is known')
    const open = new Set<Promise<Answered<T> | undefined>>()
    const ask = async (address: KafkaAddress): Promise<Answered<T> | undefined> => {
      try {
        return { address, answer: await work(await this.#connections.to(address)) }
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error
        lost = error
        return undefined
      }
    }
    const left = this.#addresses()
    while (left.length > 0 || open.size > 0) {
      const next = left.shift()
      if (next !== undefined) {
        const asked = ask(next).finally(() => open.delete(asked))
        open.add(asked)
      }
      const answered = await firstOf(open, left.length > 0 ? silenceMsMax : undefined)
      if (answered === undefined) continue
      this.#answeredLast = answered.address
      return answered.answer
    }
    throw lost
  }

  /** The largest record batch that the topic takes, as far as this client may know it. */
  async batchBytesMax(topic: string): Promise<number> {
    const known = this.#batchBytesMax.get(topic)
    if (known !== undefined) return known
    const config = await this.topicConfig(topic, ['max.message.bytes'])
    const limit = Math.min(
      this.settings.limits.batchBytesMax,
      Number(config?.get('max.message.bytes') ?? Number.POSITIVE_INFINITY),
    )
    this.#batchBytesMax.set(topic, limit)
    return limit
  }

  /** The topic's configuration with the broker's defaults; undefined where this client may not read it. */
  async topicConfig(topic: string, names: string[] | null): Promise<ReadonlyMap<string, string | null> | undefined> {
    return retried(this.settings, `configuration of ${topic}`, async () => {
      const described = await this.anyBroker(connection => connection.request(describeTopicConfig, { topic, names }))
      if (described.errorCode === code.none) return described.values
      if (isTemporary(described.errorCode)) throw new TemporaryError(nameOf(described.errorCode))
      return undefined
    })
  }

  close(): Promise<void> {
    return this.#connections.close()
  }

  #addresses(): KafkaAddress[] {
    const last = this.#answeredLast
    const known = [...(last === undefined ? [] : [last]), ...this.#brokers.values(), ...this.#bootstrap]
    return [...new Map(known.map(address => [`${address.host}:${address.port}`, address])).values()]
  }

  async #ask(topics: readonly string[]): Promise<Metadata> {
    const answer = await this.anyBroker(connection => connection.request(metadata, { topics }))
    this.#brokers = new Map(answer.brokers.map(broker => [broker.id, broker]))
    this.#controller = answer.controller
    for (const topic of answer.topics) if (topic.errorCode === code.none) this.#topics.set(topic.topic, topic)
    return answer
  }
}

/** @returns what ends first; undefined too once `ms` have passed */
async function firstOf<T>(
  open: ReadonlySet<Promise<T | undefined>>,
  ms: DurationMs | undefined,
): Promise<T | undefined> {
  if (ms === undefined) return Promise.race(open)
  let cancel = (): void => {}
  const silence = new Promise<undefined>(resolve => {
    cancel = systemTimer(ms, () => resolve(undefined))
  })
  try {
    return await Promise.race([...open, silence])
  } finally {
    cancel()
  }
}

/** @throws WeirError USAGE */
function addressIn(broker: string): KafkaAddress {
  const match = /^\[?(.+?)\]?:(\d{1,5})$/.exec(broker)
  if (match === null) throw new WeirError('USAGE', `a broker is HOST:PORT, not ${broker}`)
  return { host: match[1]!, port: Number(match[2]) }
}

/** How Kafka is reached, and the bounds of everything that waits, retries or holds bytes (I6). */
import { type Clock, type DurationMs, millis, seconds, systemClock } from '../../kernel/index.js'

export interface KafkaTls {
  /** PEM; without it the system's authorities. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export interface KafkaSasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
  readonly username: string
  readonly password: string
}

export interface KafkaAddress {
  readonly host: string
  readonly port: number
}

export interface KafkaOptions {
  /** `host:port` of brokers to begin with; the others are learned. */
  readonly brokers: readonly string[]
  /** Put verbatim before topics and transactional ids. */
  readonly prefix?: string
  readonly clientId?: string
  readonly tls?: KafkaTls
  readonly sasl?: KafkaSasl
  /** Where an advertised broker is reached from here; for tunnels and port forwarding. */
  readonly addressOf?: (advertised: KafkaAddress) => KafkaAddress
  /**
   * `auto`: KIP-890 transactions where the cluster has finalised transaction.version 2. `v1`: the older protocol always.
   */
  readonly transactions?: 'auto' | 'v1'
  readonly limits?: Partial<KafkaLimits>
  /** Gives records their timestamp, and waits between attempts. */
  readonly clock?: Clock
}

export interface KafkaLimits {
  readonly connectMsMax: DurationMs
  /** Longer without an answer: the connection is closed. */
  readonly requestMsMax: DurationMs
  /** Kafka aborts a transaction that is open for longer. */
  readonly transactionMsMax: DurationMs
  /** Attempts at what is temporarily refused; with the pauses between them, half a minute. */
  readonly attemptsMax: number
  /** A fetch without records is answered after this long. */
  readonly fetchWaitMsMax: DurationMs
  /** Of one fetch from one broker; a single larger batch passes. A reader holds at most twice this for each broker. */
  readonly fetchBytesMax: number
  readonly partitionFetchBytesMax: number
  /** What a compressed batch may become. */
  readonly decompressedBytesMax: number
  /** Of a batch written, lower where the topic's max.message.bytes is lower. */
  readonly batchBytesMax: number
  /** Key and value bytes that wait in a producer, for each partition. */
  readonly producerQueueBytesMax: number
}

export const defaultLimits: KafkaLimits = {
  connectMsMax: seconds(5),
  requestMsMax: seconds(30),
  transactionMsMax: seconds(10),
  attemptsMax: 40,
  fetchWaitMsMax: millis(250),
  fetchBytesMax: 8 << 20,
  partitionFetchBytesMax: 1 << 20,
  decompressedBytesMax: 64 << 20,
  batchBytesMax: 1 << 20,
  producerQueueBytesMax: 16 << 20,
}

/** The options with every default in place. */
export interface KafkaSettings extends KafkaOptions {
  readonly prefix: string
  readonly clientId: string
  readonly limits: KafkaLimits
  readonly clock: Clock
}

export const settingsOf = (options: KafkaOptions): KafkaSettings => ({
  ...options,
  prefix: options.prefix ?? '',
  clientId: options.clientId ?? 'weir',
  limits: { ...defaultLimits, ...options.limits },
  clock: options.clock ?? systemClock,
})

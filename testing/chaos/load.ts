/**
 * Transactions and labels at a steady rate, by kafkajs: a client that is not ours, and that may send a record twice. Each request has
 * one partition: of several, kafkajs 2.2.4 forgets those whose leader moves, between two tries, to a broker that has
 * answered for another (`brokersWithoutResponse` in its sendMessages.js), and calls them sent.
 */
import { Kafka, logLevel, Partitioners, type Producer } from 'kafkajs'
import { seededRandom } from '../random/index.js'

export interface LoadOptions {
  readonly brokers: readonly string[]
  readonly perSecond: number
  readonly customers: number
  readonly terminals: number
  /** Of both topics. */
  readonly partitions: number
  readonly seed: number
  /** Event time of the first record, ms. */
  readonly startMs: number
  /** Event time that passes in a second of the run, ms. */
  readonly eventMsPerSecond: number
}

const tickMs = 20
const dayMs = 86_400_000
const recentMax = 2_000

interface Message {
  readonly key: string
  readonly value: string
}

export class Load {
  readonly #options: LoadOptions
  readonly #random: () => number
  readonly #producer: Producer
  readonly #partitionOf: (key: string) => number
  #running = false
  #loop: Promise<void> = Promise.resolve()
  #sent = 0
  #eventMs: number
  /** Sent before, some of which are sent again. */
  readonly #recent: Message[] = []
  errors = 0

  constructor(options: LoadOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#eventMs = options.startMs
    const kafka = new Kafka({
      clientId: 'chaos-load',
      brokers: [...options.brokers],
      logLevel: logLevel.NOTHING,
      requestTimeout: 5_000,
      retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 1_000 },
    })
    this.#producer = kafka.producer()
    const partition = Partitioners.DefaultPartitioner()
    const partitionMetadata = Array.from({ length: options.partitions }, (_, partitionId) => ({
      partitionId,
      partitionErrorCode: 0,
      leader: 0,
      replicas: [],
      isr: [],
    }))
    this.#partitionOf = key => partition({ topic: '', partitionMetadata, message: { key, value: null } })
  }

  get sent(): number {
    return this.#sent
  }

  async start(): Promise<void> {
    await this.#producer.connect()
    this.#running = true
    this.#loop = this.#run()
  }

  /** Resolves when everything sent is acknowledged. */
  async stop(): Promise<void> {
    this.#running = false
    await this.#loop
    await this.#producer.disconnect()
  }

  async #run(): Promise<void> {
    let last = performance.now()
    let owed = 0
    while (this.#running) {
      await new Promise(resolve => setTimeout(resolve, tickMs))
      const now = performance.now()
      // After a pause of the brokers it goes on at its rate, and does not send all that it owes at once.
      owed += (Math.min(now - last, 500) * this.#options.perSecond) / 1_000
      last = now
      const count = Math.floor(owed)
      owed -= count
      if (count > 0) await this.#send(count)
    }
  }

  /** In order: the next batch is sent when this one is acknowledged. What fails is sent again: a repeat, if it had arrived. */
  async #send(count: number): Promise<void> {
    const transactions = Array.from({ length: count }, () => this.#transaction())
    const labels = transactions.flatMap(message => this.#label(message))
    await Promise.all([...this.#requests('transactions', transactions), ...this.#requests('labels', labels)])
    this.#sent += count
  }

  #requests(topic: string, messages: readonly Message[]): Promise<void>[] {
    const byPartition = new Map<number, (Message & { readonly partition: number })[]>()
    for (const message of messages) {
      const partition = this.#partitionOf(message.key)
      const already = byPartition.get(partition) ?? []
      byPartition.set(partition, already)
      already.push({ ...message, partition })
    }
    return [...byPartition.values()].map(messages => this.#sendUntilAcknowledged(topic, messages))
  }

  async #sendUntilAcknowledged(topic: string, messages: Message[]): Promise<void> {
    for (;;) {
      try {
        await this.#producer.send({ acks: -1, timeout: 5_000, topic, messages })
        return
      } catch {
        // Whatever it was, only an acknowledgement ends it; how often it came is told at the end.
        this.errors++
        await new Promise(resolve => setTimeout(resolve, 200))
      }
    }
  }

  #transaction(): Message {
    const { customers, terminals, perSecond, eventMsPerSecond } = this.#options
    if (this.#recent.length > 100 && this.#below(100) === 0) return this.#recent[this.#below(this.#recent.length)]!
    this.#eventMs += eventMsPerSecond / perSecond
    const customer = `c-${this.#below(customers)}`
    const disorder = this.#below(20) === 0 ? this.#below(3_600_000) : this.#below(5_000)
    const message = {
      key: customer,
      value: JSON.stringify({
        transaction_id: `t-${this.#options.seed}-${this.#sent}-${this.#below(1 << 30)}`,
        event_time: Math.round(this.#eventMs - disorder),
        customer_id: customer,
        terminal_id: `m-${this.#below(terminals)}`,
        amount_minor: this.#below(100_000),
        currency: 'EUR',
      }),
    }
    if (this.#recent.length < recentMax) this.#recent.push(message)
    else this.#recent[this.#below(recentMax)] = message
    return message
  }

  #label({ value }: Message): Message[] {
    if (this.#below(50) !== 0) return []
    const { transaction_id, customer_id, terminal_id, event_time } = JSON.parse(value)
    const label = this.#below(2) === 0 ? 'fraud' : 'legitimate'
    const available_at = event_time + this.#below(10) * dayMs
    const record = {
      transaction_id,
      customer_id,
      terminal_id,
      event_time,
      label,
      label_source: 'chargeback',
      available_at,
    }
    return [{ key: customer_id, value: JSON.stringify(record) }]
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }
}

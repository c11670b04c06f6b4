/**
 * A deployment under measurement: its topics below a prefix, a producer, and a reader of its decisions that knows when each
 * transaction was due. Open loop: records are due at even distances whatever became of those before.
 */
import { millis, positiveMurmur2 } from '../kernel/index.js'
import { type AppendRecord, offset } from '../log/index.js'
import { KafkaLog } from '../log/kafka/index.js'
import { topicSpecs } from '../runners/topics/index.js'

export interface SideOptions {
  readonly brokers: readonly string[]
  readonly prefix: string
  readonly partitions: number
  /** Each has a state of its own; there is a terminal for every five. */
  readonly customers: number
  /** Sends are gathered for so long, ms. */
  readonly lingerMs: number
}

/** Of transactions that are sent as fast as they are decided. */
const underWayMax = 50_000
const fillRecords = 2_000
const decidedMsMax = 60_000

export const wait = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

export class Side {
  readonly prefix: string
  /** Ms from the moment that each was due to the arrival of its decision. */
  latencies: number[] = []
  lastDecisionAt = 0
  readonly #options: SideOptions
  readonly #log: KafkaLog
  readonly #sentAt = new Map<number, number>()
  readonly #stop = new AbortController()
  readonly #reading: Promise<void>
  #sent = 0

  static async open(options: SideOptions): Promise<Side> {
    const log = await KafkaLog.open({ brokers: options.brokers, prefix: options.prefix })
    for (const spec of topicSpecs({ app: 'fraud', partitions: options.partitions, slots: 1 })) {
      await log.createTopic(spec.name, spec.partitions, { config: spec.config })
    }
    return new Side(options, log)
  }

  private constructor(options: SideOptions, log: KafkaLog) {
    this.prefix = options.prefix
    this.#options = options
    this.#log = log
    this.#reading = this.#readDecisions()
    // Told by whoever waits for decisions.
    this.#reading.catch(() => undefined)
  }

  get sent(): number {
    return this.#sent
  }

  /** Transactions without a decision. */
  get undecided(): number {
    return this.#sentAt.size
  }

  async sendAt(rate: number, forSeconds: number): Promise<void> {
    const startedAt = performance.now()
    const total = rate * forSeconds
    const sending = new Set<Promise<unknown>>()
    for (let done = 0; done < total; ) {
      const due = Math.min(total, 1 + Math.floor(((performance.now() - startedAt) * rate) / 1_000))
      const from = done
      done = due
      const append = this.#append(due - from, i => startedAt + ((from + i) * 1_000) / rate).finally(() =>
        sending.delete(append),
      )
      sending.add(append)
      await wait(this.#options.lingerMs)
    }
    await Promise.all(sending)
  }

  /** So many, as fast as they are decided. */
  async fill(transactions: number): Promise<void> {
    for (let done = 0; done < transactions; done += fillRecords) {
      while (this.#sentAt.size > underWayMax) await Promise.race([wait(5), this.#reading])
      const nowMs = performance.now()
      await this.#append(Math.min(fillRecords, transactions - done), () => nowMs)
    }
    await this.whenAllDecided(decidedMsMax)
  }

  async #append(count: number, dueAt: (i: number) => number): Promise<void> {
    const { customers, partitions } = this.#options
    const byPartition = new Map<number, AppendRecord[]>()
    for (let i = 0; i < count; i++) {
      const number = this.#sent++
      const key = Buffer.from(`c-${(number * 7_919) % customers}`)
      const partition = positiveMurmur2(key) % partitions
      const value = JSON.stringify({
        transaction_id: `k-${number}`,
        event_time: Date.now(),
        customer_id: key.toString(),
        terminal_id: `t-${(number * 104_729) % Math.ceil(customers / 5)}`,
        amount_minor: 100 + (number % 9_000),
        currency: 'EUR',
      })
      this.#sentAt.set(number, dueAt(i))
      const records = byPartition.get(partition) ?? []
      records.push({ key, value: Buffer.from(value) })
      byPartition.set(partition, records)
    }
    const appends = [...byPartition].map(([partition, records]) => ({ topic: 'transactions', partition, records }))
    await Promise.all(appends.map(append => this.#log.append([append])))
  }

  async #readDecisions(): Promise<void> {
    const from = Array.from({ length: this.#options.partitions }, (_, partition) => ({
      topic: 'decisions',
      partition,
      offset: offset(0),
    }))
    const reader = await this.#log.reader(from)
    while (!this.#stop.signal.aborted) {
      const batches = await reader.poll({ recordsMax: 10_000, bytesMax: 16 << 20, waitMsMax: millis(100) })
      const nowMs = performance.now()
      if (batches.length > 0) this.lastDecisionAt = nowMs
      for (const { bytes, valueStart, valueEnd, count } of batches) {
        for (let i = 0; i < count; i++) {
          const text = bytes.toString('latin1', valueStart[i], Math.min(valueEnd[i]!, valueStart[i]! + 200))
          const number = Number(/"transaction_id":"k-(\d+)"/.exec(text)?.[1])
          const at = this.#sentAt.get(number)
          if (at === undefined) throw new Error(`a decision for k-${number}, which nobody sent or which came twice`)
          this.#sentAt.delete(number)
          this.latencies.push(nowMs - at)
        }
      }
    }
    await reader.close()
  }

  /** Or until so long has passed; `undecided` then says how many are missing. */
  async whenAllDecided(msMax = 30_000): Promise<void> {
    const until = performance.now() + msMax
    while (this.#sentAt.size > 0 && performance.now() < until) await Promise.race([wait(10), this.#reading])
  }

  /** When the first decision after this moment arrives, as performance.now(). @throws Error when none does */
  async decisionAfter(moment: number, msMax: number): Promise<number> {
    while (this.lastDecisionAt <= moment) {
      if (performance.now() - moment > msMax) throw new Error(`no decision for ${msMax} ms`)
      await Promise.race([wait(5), this.#reading])
    }
    return this.lastDecisionAt
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#reading
    await this.#log.close()
  }
}

/** @param sorted ascending */
export const quantile = (sorted: readonly number[], q: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN).toFixed(1)

export const quantiles = (latencies: readonly number[]): string => {
  const sorted = [...latencies].sort((a, b) => a - b)
  return `p50 ${quantile(sorted, 0.5)}  p99 ${quantile(sorted, 0.99)}  p99.9 ${quantile(sorted, 0.999)}  max ${quantile(sorted, 1)} ms`
}

interface Timed {
  readonly msg: string
  readonly time: string
}

/** Lines that a worker logged at `sinceMs` of the wall clock or later, and when. */
export function logged(stderr: string, sinceMs: number): readonly { readonly msg: string; readonly atMs: number }[] {
  return stderr
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as Timed)
    .map(({ msg, time }) => ({ msg, atMs: Date.parse(time) }))
    .filter(({ atMs }) => atMs >= sinceMs)
}

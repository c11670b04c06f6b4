/**
 * Sends a file of transactions to `transactions`, and the labels that it knows to `labels`.
 *
 * Invariants: 1. every line ends as one thing: lines = blank_lines + malformed + sent, when the whole file was read; 2. the
 * transactions of one customer arrive in the order of the file: a run is sent when the one before is acknowledged; 3. a
 * label is sent when its transaction is acknowledged; 4. a run whose acknowledgement was lost is sent again, whole: a slot
 * knows a repeated transaction by its id, and a label again is the same label.
 */
import { isWeirError } from '../../kernel/index.js'
import type { Append, AppendRecord } from '../../log/index.js'
import {
  encodeLabelJson,
  encodeTransactionJson,
  knownLabel,
  type Label,
  type Transaction,
} from '../../schemas/avro/index.js'
import { labelAvro, registerSchema, transactionAvro } from '../../schemas/registry/index.js'
import {
  InputFile,
  type InputJob,
  interrupted,
  type LineCounts,
  Pace,
  type PaceIo,
  withoutLabel,
} from '../client/index.js'
import type { KafkaClient } from './open.js'
import { partitionOf } from './partitions.js'

export interface KafkaProduceJob extends InputJob {
  /** Transactions a second, at most; undefined: as fast as Kafka takes them. */
  readonly perSecond: number | undefined
}

export interface KafkaProduceIo extends PaceIo {
  /** A line for people. */
  readonly report: (line: string) => void
  readonly progress: (doneBytes: number, totalBytes: number, records: number) => void
}

interface Counts extends LineCounts {
  /** Acknowledged by Kafka. */
  sent: number
  labels: number
}

export type KafkaProduceSummary = Readonly<Counts>

/** Of the log's own bound of attempts each: a leader's failover takes longer than one. */
const sendsMax = 4
const runRecordsMax = 500
/** With a rate, a record waits no longer than this for the others of its run. */
const runsPerSecond = 20

/**
 * @returns what was done, and what stopped it before the end of the file; undefined when nothing did
 * @throws WeirError INPUT_UNREADABLE, INVALID_CURRENCY, UNKNOWN_TOPIC, SCHEMA_CONFLICT, … before anything is sent
 */
export async function produceToKafka(
  job: KafkaProduceJob,
  client: KafkaClient,
  io: KafkaProduceIo,
): Promise<{ readonly summary: KafkaProduceSummary; readonly stopped: unknown }> {
  const counts: Counts = { lines: 0, blank_lines: 0, malformed: 0, sent: 0, labels: 0 }
  const file = await InputFile.open(job)
  try {
    const sender = await RunSender.open(client, counts)
    const runMax =
      job.perSecond === undefined ? runRecordsMax : Math.min(runRecordsMax, Math.ceil(job.perSecond / runsPerSecond))
    const pace = new Pace(job.perSecond, io)
    try {
      for await (const run of file.runs(counts, io.report)) {
        for (const { record } of run) {
          await pace.next()
          sender.add(withoutLabel(record), knownLabel(record))
          if (sender.waiting >= runMax) await sender.send()
        }
        io.signal.throwIfAborted()
        io.progress(file.bytesRead, file.bytesTotal, counts.lines)
      }
      await sender.send()
      return { summary: counts, stopped: undefined }
    } catch (error) {
      return { summary: counts, stopped: io.signal.aborted ? interrupted(counts) : error }
    }
  } finally {
    await file.close()
  }
}

class RunSender {
  readonly #client: KafkaClient
  readonly #counts: Counts
  readonly #partitions: ReadonlyMap<string, number>
  readonly #encode: Encoders
  readonly #transactions = new Run('transactions')
  readonly #labels = new Run('labels')

  private constructor(client: KafkaClient, counts: Counts, partitions: ReadonlyMap<string, number>, encode: Encoders) {
    this.#client = client
    this.#counts = counts
    this.#partitions = partitions
    this.#encode = encode
  }

  static async open(client: KafkaClient, counts: Counts): Promise<RunSender> {
    const partitions = new Map<string, number>()
    for (const topic of ['transactions', 'labels']) partitions.set(topic, await client.log.partitionCount(topic))
    return new RunSender(client, counts, partitions, await encodersOf(client))
  }

  /** Transactions that wait to be sent. */
  get waiting(): number {
    return this.#transactions.count
  }

  add(transaction: Transaction, label: Label | null): void {
    const key = Buffer.from(transaction.customer_id)
    this.#add(this.#transactions, { key, value: this.#encode.transaction(transaction) }, key)
    if (label !== null) this.#add(this.#labels, { key, value: this.#encode.label(label) }, key)
  }

  /** Resolves when everything that waits is acknowledged. @throws WeirError */
  async send(): Promise<void> {
    await this.#append(this.#transactions)
    this.#counts.sent += this.#transactions.clear()
    await this.#append(this.#labels)
    this.#counts.labels += this.#labels.clear()
  }

  #add(run: Run, record: AppendRecord, key: Uint8Array): void {
    run.add(partitionOf(key, this.#partitions.get(run.topic)!), record)
  }

  async #append(run: Run): Promise<void> {
    if (run.count === 0) return
    for (let sends = 1; ; sends++) {
      try {
        await this.#client.log.append(run.appends())
        return
      } catch (error) {
        const mayPass = isWeirError(error, 'COMMIT_INDEFINITE') || isWeirError(error, 'KAFKA_UNAVAILABLE')
        if (!mayPass || sends === sendsMax) throw error
      }
    }
  }
}

/** Records of one topic, by partition. */
class Run {
  readonly topic: string
  readonly #records = new Map<number, AppendRecord[]>()
  count = 0

  constructor(topic: string) {
    this.topic = topic
  }

  add(partition: number, record: AppendRecord): void {
    const records = this.#records.get(partition)
    if (records === undefined) this.#records.set(partition, [record])
    else records.push(record)
    this.count++
  }

  appends(): Append[] {
    return [...this.#records].map(([partition, records]) => ({ topic: this.topic, partition, records }))
  }

  /** @returns how many there were */
  clear(): number {
    const { count } = this
    this.#records.clear()
    this.count = 0
    return count
  }
}

interface Encoders {
  readonly transaction: (transaction: Transaction) => Buffer
  readonly label: (label: Label) => Buffer
}

async function encodersOf({ registry, prefix }: KafkaClient): Promise<Encoders> {
  if (registry === undefined) return { transaction: encodeTransactionJson, label: encodeLabelJson }
  return {
    transaction: transactionAvro(await registerSchema(registry, `${prefix}transactions`, 'transaction')),
    label: labelAvro(await registerSchema(registry, `${prefix}labels`, 'label')),
  }
}

/**
 * The log as one slot may use it: a committer, which fences whoever was before, only with permission (I4).
 * It also remembers the slot's reader, whose positions and marks say how far behind the slot is.
 */
import { WeirError } from '../../kernel/index.js'
import type { Log, LogCommitter, LogRange, LogReader, Position, TopicPartition } from '../../log/index.js'
import type { KafkaLog, KafkaReader, PartitionState } from '../../log/kafka/index.js'

export interface SlotLogOptions {
  /** Resolves once this process may own the slot; false: it may not any more. */
  readonly permission: () => Promise<boolean>
  readonly journalTopic: string
  /** Wraps the reader of the inputs, so that their schemas are known when records are decoded. */
  readonly withSchemas: (reader: LogReader) => LogReader
}

export class SlotLog implements Log {
  readonly totalOrder = false
  readonly #log: KafkaLog
  readonly #options: SlotLogOptions
  #reader: KafkaReader | undefined

  constructor(log: KafkaLog, options: SlotLogOptions) {
    this.#log = log
    this.#options = options
  }

  /** Of the input partitions, while the slot runs. */
  inputs(): readonly PartitionState[] {
    return this.#reader?.state() ?? []
  }

  createTopic(topic: string, partitions: number): Promise<void> {
    return this.#log.createTopic(topic, partitions)
  }

  partitionCount(topic: string): Promise<number> {
    return this.#log.partitionCount(topic)
  }

  recordBytesMax(topic: string): Promise<number> {
    return this.#log.recordBytesMax(topic)
  }

  range(at: TopicPartition): Promise<LogRange> {
    return this.#log.range(at)
  }

  async reader(from: readonly Position[]): Promise<LogReader> {
    const reader = await this.#log.reader(from)
    if (from.some(({ topic }) => topic === this.#options.journalTopic)) return reader
    this.#reader = reader
    return this.#options.withSchemas(reader)
  }

  async committer(id: string): Promise<LogCommitter> {
    if (await this.#options.permission()) return await this.#log.committer(id)
    throw new WeirError('SLOT_FENCED', `the group has given ${id} to another worker`)
  }

  close(): Promise<void> {
    this.#reader = undefined
    return this.#log.close()
  }
}

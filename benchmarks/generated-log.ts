/**
 * A log whose one input is made as it is read, so that a benchmark needs no file and measures no disk but the state's own.
 * Outputs are dropped; of the journal the newest records are kept, which is all that a slot reads.
 *
 * Invariant: record i is a pure function of i.
 */
import {
  type Append,
  type Log,
  type LogCommitter,
  type LogRange,
  type LogReader,
  type Offset,
  offset,
  type PollLimits,
  type Position,
  type RecordBatch,
  type TopicPartition,
} from '../log/index.js'

export interface GeneratedLogOptions {
  readonly topic: string
  readonly journal: string
  readonly records: number
  /** Every record has as many bytes. */
  readonly recordBytes: number
  readonly write: (index: number, into: Buffer, at: number) => void
}

const journalRecordsKept = 16

export class GeneratedLog implements Log {
  readonly totalOrder = true
  readonly options: GeneratedLogOptions
  /** The newest records, and how many there were before them. */
  readonly #journal: Buffer[] = []
  #trimmed = 0

  constructor(options: GeneratedLogOptions) {
    this.options = options
  }

  async createTopic(): Promise<void> {}

  async partitionCount(): Promise<number> {
    return 1
  }

  async range({ topic }: TopicPartition): Promise<LogRange> {
    if (topic !== this.options.journal) return { earliest: offset(0), latest: offset(this.options.records) }
    return { earliest: offset(this.#trimmed), latest: offset(this.#trimmed + this.#journal.length) }
  }

  async reader(from: readonly Position[]): Promise<LogReader> {
    const { topic, offset: at } = from[0]!
    return topic === this.options.journal
      ? new JournalReader(topic, Number(at), index => this.#journal[index - this.#trimmed])
      : new GeneratingReader(this.options, Number(at))
  }

  async committer(id: string): Promise<LogCommitter> {
    return { id, commit: async appends => appends.map(append => this.#append(append)), close: async () => {} }
  }

  async close(): Promise<void> {}

  #append({ topic, records }: Append): Offset | undefined {
    if (topic !== this.options.journal || !Array.isArray(records)) return undefined
    const first = this.#trimmed + this.#journal.length
    for (const { value } of records) this.#journal.push(Buffer.from(value ?? ''))
    for (; this.#journal.length > journalRecordsKept; this.#trimmed++) this.#journal.shift()
    return offset(first)
  }
}

/** Columns of equal records side by side, without keys. */
function columns(count: number, recordBytes: number) {
  return {
    offsetDelta: Int32Array.from({ length: count }, (_, i) => i),
    keyStart: new Int32Array(count).fill(-1),
    keyEnd: new Int32Array(count).fill(-1),
    valueStart: Int32Array.from({ length: count }, (_, i) => i * recordBytes),
    valueEnd: Int32Array.from({ length: count }, (_, i) => (i + 1) * recordBytes),
  }
}

class GeneratingReader implements LogReader {
  readonly #options: GeneratedLogOptions
  #at: number
  #columns = columns(0, 0)
  #bytes = Buffer.alloc(0)

  constructor(options: GeneratedLogOptions, at: number) {
    this.#options = options
    this.#at = at
  }

  get finished(): boolean {
    return this.#at === this.#options.records
  }

  positions(): readonly Position[] {
    return [{ topic: this.#options.topic, partition: 0, offset: offset(this.#at) }]
  }

  seek(position: Position): void {
    this.#at = Number(position.offset)
  }

  async poll({ recordsMax, bytesMax }: PollLimits): Promise<readonly RecordBatch[]> {
    const { topic, records, recordBytes, write } = this.#options
    const count = Math.min(recordsMax, Math.floor(bytesMax / recordBytes), records - this.#at)
    if (count === 0) return []
    if (this.#columns.offsetDelta.length < count) {
      this.#columns = columns(count, recordBytes)
      this.#bytes = Buffer.alloc(count * recordBytes)
    }
    for (let i = 0; i < count; i++) write(this.#at + i, this.#bytes, i * recordBytes)
    const baseOffset = offset(this.#at)
    this.#at += count
    return [
      { topic, partition: 0, count, baseOffset, bytes: this.#bytes, nextOffset: offset(this.#at), ...this.#columns },
    ]
  }

  async close(): Promise<void> {}
}

class JournalReader implements LogReader {
  readonly finished = false
  readonly #topic: string
  #at: number
  readonly #recordAt: (index: number) => Buffer | undefined

  constructor(topic: string, at: number, recordAt: (index: number) => Buffer | undefined) {
    this.#topic = topic
    this.#at = at
    this.#recordAt = recordAt
  }

  positions(): readonly Position[] {
    return [{ topic: this.#topic, partition: 0, offset: offset(this.#at) }]
  }

  seek(position: Position): void {
    this.#at = Number(position.offset)
  }

  async poll(): Promise<readonly RecordBatch[]> {
    const bytes = this.#recordAt(this.#at)
    if (bytes === undefined) return []
    const baseOffset = offset(this.#at++)
    return [
      {
        topic: this.#topic,
        partition: 0,
        count: 1,
        baseOffset,
        bytes,
        nextOffset: offset(this.#at),
        ...columns(1, bytes.length),
      },
    ]
  }

  async close(): Promise<void> {}
}

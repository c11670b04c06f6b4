/**
 * The log port: what the engine asks of a partitioned, append-only log with multi-partition transactions.
 * Apache Kafka, the embedded log and files stand behind it; all run the conformance suite in log/conformance/.
 *
 * Guarantees that every implementation keeps:
 * 1. A record is returned by `poll` if and only if the transaction that wrote it is committed (read_committed).
 * 2. Offsets of one partition increase strictly; gaps are allowed (markers, aborted records).
 * 3. A reader's position moves only by `poll` and `seek`. A position outside the log is an error, never a jump.
 * 4. `committer(id)` fences every older committer of that id before it resolves (I4).
 * 5. After a commit that failed, the committer is dead (I5): every later call fails.
 */
import type { DurationMs } from '../kernel/index.js'

declare const offsetBrand: unique symbol
/** Position of a record in a partition. */
export type Offset = bigint & { readonly [offsetBrand]: true }
export const offset = (n: bigint | number): Offset => BigInt(n) as Offset

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Position extends TopicPartition {
  /** The next record to read. */
  readonly offset: Offset
}

export interface Header {
  readonly name: string
  readonly value: Uint8Array
}

/**
 * A run of records of one partition: columns over one buffer, so that reading a record allocates nothing.
 * Record i: its key is bytes[keyStart[i], keyEnd[i]), its value bytes[valueStart[i], valueEnd[i]); a start of -1 is null.
 * The columns may be longer than `count`; bytes are valid until the reader's next poll, unless copied.
 */
export interface RecordBatch extends TopicPartition {
  readonly count: number
  readonly baseOffset: Offset
  /** offset of record i = baseOffset + offsetDelta[i] */
  readonly offsetDelta: Int32Array
  readonly bytes: Buffer
  readonly keyStart: Int32Array
  readonly keyEnd: Int32Array
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  /** When the log took the record, ms since the epoch; absent where the log has no clock (files). */
  readonly timestampMs?: Float64Array
  /** Absent where the log knows that none of the records has headers. */
  headersOf?(index: number): readonly Header[]
  /** Why the log does not hand out what the records hold: keys and values are null, which says nothing of them. */
  readonly unread?: string
  /** Position after this batch, past gaps that are known. */
  readonly nextOffset: Offset
}

export interface PollLimits {
  readonly recordsMax: number
  readonly bytesMax: number
  /** How long to wait for a first record; 0 returns at once. */
  readonly waitMsMax: DurationMs
}

export interface LogReader {
  /**
   * The next records in the order in which they must be processed: partitions of a topic by number, each in offset
   * order; a log with a total order returns as many batches as that order needs. [] when nothing arrived in time.
   * @throws WeirError OFFSET_OUT_OF_RANGE
   */
  poll(limits: PollLimits): Promise<readonly RecordBatch[]>
  seek(position: Position): void
  /** The next offset to read of every partition of this reader. */
  positions(): readonly Position[]
  /** True once a bounded log (a file) is read to its end; always false for logs that can grow. */
  readonly finished: boolean
  close(): Promise<void>
}

/** Records for one partition. `values` of null are kept null. */
export interface Append extends TopicPartition {
  readonly records: readonly AppendRecord[] | EncodedRecords
}

export interface AppendRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: readonly Header[]
}

const headerOverheadMax = 10

/** Bytes of a record's key, value and headers, at most: a header's name has up to three bytes for each UTF-16 unit. */
export function recordBytes({ key, value, headers = [] }: AppendRecord): number {
  let size = (key?.length ?? 0) + (value?.length ?? 0)
  for (const { name, value } of headers) size += 3 * name.length + value.length + headerOverheadMax
  return size
}

/**
 * Records encoded back to back, for the hot path: value i is bytes[valueStart[i], valueEnd[i]), followed by one byte
 * 0x0A that belongs to no record (a file appends the whole run as lines in one write; other logs skip it).
 */
export interface EncodedRecords {
  readonly kind: 'encoded'
  readonly count: number
  readonly bytes: Buffer
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  /** Keys, in the same order. */
  readonly keys: readonly string[]
}

export interface LogCommitter {
  readonly id: string
  /**
   * Appends everything atomically and resolves once readers can see it and it survives a crash of this process.
   * @returns the offset of the first record of each append; undefined where it cannot be read back (output files)
   * @throws WeirError SLOT_FENCED when a newer owner exists; COMMIT_INDEFINITE when the outcome is unknown
   */
  commit(appends: readonly Append[]): Promise<readonly (Offset | undefined)[]>
  close(): Promise<void>
}

/** Appends outside of transactions: the edge, `weir produce`. Not fenced by any committer. */
export interface LogProducer {
  /**
   * Resolves once readers can see the records; see `sync` for durability.
   * @returns the offset of the first record of each append
   * @throws WeirError UNKNOWN_TOPIC, QUEUE_FULL; COMMIT_INDEFINITE when the outcome is unknown
   */
  append(appends: readonly Append[]): Promise<readonly Offset[]>
  /** Resolves once everything whose append has resolved survives a power cut; calls made meanwhile share one sync. */
  sync(): Promise<void>
}

/** Removes what is no longer needed from the head of a partition. */
export interface LogTrimmer {
  /**
   * The records below `before` are gone when it resolves: a reader there fails with OFFSET_OUT_OF_RANGE.
   * @throws WeirError OFFSET_OUT_OF_RANGE for a position past the end; one below the earliest offset changes nothing
   */
  trim(before: Position): Promise<void>
}

export interface LogRange {
  readonly earliest: Offset
  /** Offset after the last readable record. */
  readonly latest: Offset
}

export interface Log {
  /** The order across partitions is part of the log: a single run of `poll` order, which the slot keeps (I3). */
  readonly totalOrder: boolean
  createTopic(topic: string, partitions: number): Promise<void>
  /** @throws WeirError UNKNOWN_TOPIC */
  partitionCount(topic: string): Promise<number>
  /** The most that key, value and headers of a record of the topic may take (`recordBytes`); absent: no such bound. */
  recordBytesMax?(topic: string): Promise<number>
  range(at: TopicPartition): Promise<LogRange>
  reader(from: readonly Position[]): Promise<LogReader>
  committer(id: string): Promise<LogCommitter>
  close(): Promise<void>
}

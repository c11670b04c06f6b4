/**
 * From the log to rows: poll, decode, order.
 *
 * Invariants: the in-epoch order is a pure function of the ranges read (I3): sources by rank, partitions by number, each
 * in offset order; a log with a total order is taken in that order. A record that does not decode becomes a dead letter
 * before anything is mutated (I7). Rows never refer to the reader's buffer.
 */
import { crc32, type DurationMs, days, type EventTimeMs, messageOf } from '../../kernel/index.js'
import type { Log, LogReader, Offset, Position, RecordBatch, TopicPartition } from '../../log/index.js'
import type { Row, SourcePosition } from '../../operators/index.js'
import { RecordError } from '../../schemas/avro/index.js'
import type { HopNode, Plan, SourceNode } from '../../topology/index.js'
import { clockKey } from './clocks.js'
import { readHop } from './hops.js'
import type { InputRange } from './journal.js'
import { letterWithoutBytes } from './originals.js'
import { pollExpected } from './poll.js'
import { replyToOf } from './reply-to.js'
import { positionKey } from './rows.js'

/** A record that cannot be processed, with everything a dead-letter topic or file says about it. */
export interface DeadLetter {
  readonly source: SourcePosition
  readonly code: string
  readonly message: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Key and value lie at `source`, and have yet to be looked up (originals.ts). */
  readonly elsewhere?: true
  /** The record is not null: key and value could not be had, or are too long for where dead letters go. */
  readonly leftOut?: true
}

/** What one epoch reads. */
export interface EpochInput {
  /** Rows of each source of the plan, in the plan's order of sources, each in the epoch's order. */
  readonly rows: readonly Row[][]
  readonly ranges: readonly InputRange[]
  readonly deadLetters: readonly DeadLetter[]
  /** Without what came from other slots. */
  readonly records: number
  readonly hopRecords: number
  readonly blanks: number
  /** By clock key: greatest event time less the source's outOfOrderness. */
  readonly watermarks: ReadonlyMap<string, number>
  /** Greatest log timestamp of the epoch, ms; NaN where the log has no clock. */
  readonly loggedAtMs: number
  /** By `positionKey`: where the producer of a record waits for an answer (reply-to.ts). */
  readonly replyTo: ReadonlyMap<string, string>
}

export interface IntakeLimits {
  readonly recordsMax: number
  readonly bytesMax: number
  readonly waitMsMax: DurationMs
}

/** A record may be dated this far ahead of the time at which the log took it. */
const aheadOfLogMax: DurationMs = days(1)

/** Positions (topic/partition/offset) to leave out, after an operator threw on them. */
export type Exclusions = ReadonlyMap<string, { readonly code: string; readonly message: string }>

/** Reads as much as is there, up to the limits. @returns undefined when nothing arrived in time */
export async function readEpoch(
  plan: Plan,
  reader: LogReader,
  totalOrder: boolean,
  limits: IntakeLimits,
): Promise<EpochInput | undefined> {
  const batches = await reader.poll(limits)
  if (batches.length === 0) return undefined
  const builder = new EpochBuilder(plan, emptyExclusions)
  const ordered = totalOrder ? batches : [...batches].sort(inRankOrder(plan))
  for (const batch of ordered) builder.add(batch, batch.count, batch.nextOffset)
  return builder.build()
}

const emptyExclusions: Exclusions = new Map()

/** Of an epoch that reads nothing: a heartbeat. */
export const emptyInput = (plan: Plan): EpochInput => new EpochBuilder(plan, emptyExclusions).build()

/**
 * Reads exactly these ranges again: replay of a journaled epoch, or the second run of one that failed.
 */
export async function rereadEpoch(
  plan: Plan,
  readers: RangeReaders,
  ranges: readonly InputRange[],
  exclusions: Exclusions,
): Promise<EpochInput> {
  const builder = new EpochBuilder(plan, exclusions)
  for (const range of ranges) {
    const to = BigInt(range.to) as Offset
    let at = BigInt(range.from) as Offset
    const reader = await readers.at({ topic: range.topic, partition: range.partition, offset: at })
    while (at < to) {
      const recordsMax = Number(to - at < 4_096n ? to - at : 4_096n)
      const batches = await pollExpected(reader, { recordsMax, bytesMax: 16 << 20 })
      for (const batch of batches) {
        builder.add(batch, countBefore(batch, to), batch.nextOffset < to ? batch.nextOffset : to)
        if (batch.nextOffset > to) reader.seek({ ...range, offset: to })
      }
      // Not by the batches alone: what is left of the range may be a gap.
      at = reader.positions()[0]!.offset
      if (batches.length === 0 && reader.finished) break
    }
  }
  return builder.build()
}

/**
 * Readers of one partition each: ranges come partition by partition, and a reader of them all would hand out the others'
 * records first, which would have to be put back, and fetched again, for every epoch.
 */
export class RangeReaders {
  readonly #log: Log
  readonly #readers = new Map<string, LogReader>()

  constructor(log: Log) {
    this.#log = log
  }

  /** A reader of this partition alone, which stands at this position. */
  async at(position: Position): Promise<LogReader> {
    const key = clockKey(position)
    let reader = this.#readers.get(key)
    if (reader === undefined) {
      reader = await this.#log.reader([position])
      this.#readers.set(key, reader)
    } else if (reader.positions()[0]!.offset !== position.offset) reader.seek(position)
    return reader
  }

  async close(): Promise<void> {
    const readers = [...this.#readers.values()]
    this.#readers.clear()
    await Promise.all(readers.map(reader => reader.close()))
  }
}

function countBefore(batch: RecordBatch, to: Offset): number {
  let count = batch.count
  while (count > 0 && batch.baseOffset + BigInt(batch.offsetDelta[count - 1]!) >= to) count--
  return count
}

function inRankOrder(plan: Plan): (a: RecordBatch, b: RecordBatch) => number {
  const rank = (batch: RecordBatch): number => plan.sources.findIndex(source => source.topic === batch.topic)
  return (a, b) => rank(a) - rank(b) || a.partition - b.partition || Number(a.baseOffset - b.baseOffset)
}

class RangeInProgress {
  readonly topic: string
  readonly partition: number
  readonly from: Offset
  to: Offset
  /** Of the values so far. */
  crc32 = 0
  #lengths = Buffer.allocUnsafe(4_096)
  #lengthBytes = 0

  constructor(at: TopicPartition, from: Offset) {
    this.topic = at.topic
    this.partition = at.partition
    this.from = from
    this.to = from
  }

  addLength(length: number): void {
    if (this.#lengthBytes === this.#lengths.length)
      this.#lengths = Buffer.concat([this.#lengths], this.#lengthBytes * 2)
    this.#lengths.writeInt32LE(length, this.#lengthBytes)
    this.#lengthBytes += 4
  }

  finish(): InputRange {
    return {
      topic: this.topic,
      partition: this.partition,
      from: String(this.from),
      to: String(this.to),
      crc32: crc32(this.#lengths.subarray(0, this.#lengthBytes), this.crc32),
    }
  }
}

class EpochBuilder {
  readonly #plan: Plan
  readonly #exclusions: Exclusions
  readonly #rows: Row[][]
  readonly #ranges = new Map<string, RangeInProgress>()
  readonly #deadLetters: DeadLetter[] = []
  readonly #watermarks = new Map<string, number>()
  readonly #replyTo = new Map<string, string>()
  #records = 0
  #hopRecords = 0
  #blanks = 0
  #ordinal = 0
  #loggedAtMs = Number.NaN

  constructor(plan: Plan, exclusions: Exclusions) {
    this.#plan = plan
    this.#exclusions = exclusions
    this.#rows = plan.sources.map(() => [])
  }

  /** Takes the first `count` records of a batch; the range then reaches to `nextOffset`. */
  add(batch: RecordBatch, count: number, nextOffset: Offset): void {
    const sourceIndex = this.#plan.sources.findIndex(source => source.topic === batch.topic)
    const source = this.#plan.sources[sourceIndex]!
    const rows = this.#rows[sourceIndex]!
    const range = this.#rangeOf(batch)
    const first = Number(batch.baseOffset)
    const { bytes, offsetDelta, valueStart, valueEnd, timestampMs } = batch
    let greatest = Number.NEGATIVE_INFINITY
    let latest = Number.NaN
    let crc = range.crc32
    for (let i = 0; i < count; i++) {
      const start = valueStart[i]!
      const end = valueEnd[i]!
      range.addLength(start < 0 ? -1 : end - start)
      if (start >= 0) crc = crc32(bytes.subarray(start, end), crc)
      const at = first + offsetDelta[i]!
      if (batch.headersOf !== undefined) this.#noteReplyTo(batch, i, at)
      const loggedAtMs = timestampMs === undefined ? Number.NaN : timestampMs[i]!
      if (!(loggedAtMs <= latest)) latest = loggedAtMs
      const row =
        source.hop === undefined
          ? this.#row(batch, i, source, at, loggedAtMs)
          : this.#hopRow(batch, i, source.hop, { topic: batch.topic, partition: batch.partition, offset: at })
      if (row === undefined) continue
      rows.push(row)
      if (source.hop === undefined && row.at > greatest) greatest = row.at
    }
    if (source.hop === undefined) this.#records += count
    else this.#hopRecords += count
    range.crc32 = crc
    range.to = nextOffset
    if (!(latest <= this.#loggedAtMs)) this.#loggedAtMs = Number.isNaN(latest) ? this.#loggedAtMs : latest
    if (greatest > Number.NEGATIVE_INFINITY) this.#noteWatermark(clockKey(batch), greatest - source.outOfOrderness)
  }

  #noteWatermark(key: string, watermark: number): void {
    this.#watermarks.set(key, Math.max(this.#watermarks.get(key) ?? Number.NEGATIVE_INFINITY, watermark))
  }

  build(): EpochInput {
    return {
      rows: this.#rows,
      ranges: [...this.#ranges.values()].map(range => range.finish()),
      deadLetters: this.#deadLetters,
      records: this.#records,
      hopRecords: this.#hopRecords,
      blanks: this.#blanks,
      watermarks: this.#watermarks,
      loggedAtMs: this.#loggedAtMs,
      replyTo: this.#replyTo,
    }
  }

  #noteReplyTo(batch: RecordBatch, i: number, at: number): void {
    const replyTo = replyToOf(batch, i)
    if (replyTo !== undefined) this.#replyTo.set(positionKey(batch.topic, batch.partition, at), replyTo)
  }

  #rangeOf(batch: RecordBatch): RangeInProgress {
    const key = clockKey(batch)
    let range = this.#ranges.get(key)
    if (range === undefined) {
      range = new RangeInProgress(batch, batch.baseOffset)
      this.#ranges.set(key, range)
    }
    return range
  }

  #row(batch: RecordBatch, i: number, source: SourceNode, at: number, loggedAtMs: number): Row | undefined {
    const position: SourcePosition = { topic: batch.topic, partition: batch.partition, offset: at }
    const start = batch.valueStart[i]!
    if (batch.unread !== undefined) {
      const message = `nothing is known of the record: ${batch.unread}`
      this.#deadLetters.push({
        source: position,
        code: 'RECORD_TOO_LARGE',
        message,
        key: null,
        value: null,
        leftOut: true,
      })
      return undefined
    }
    if (start < 0) {
      this.#bury(batch, i, position, 'MALFORMED_RECORD', 'a null value')
      return undefined
    }
    let value: unknown
    let eventTime: EventTimeMs
    try {
      value = source.format.decode(batch.bytes, start, batch.valueEnd[i]!)
      if (value === null) {
        this.#blanks++
        return undefined
      }
      if (value instanceof RecordError) {
        this.#bury(batch, i, position, value.code, value.message)
        return undefined
      }
      eventTime = source.eventTime(value)
    } catch (error) {
      // Both may be a user's functions. Nothing is mutated yet, and a replay buries the record alike.
      this.#bury(batch, i, position, 'OPERATOR_EXCEPTION', `source '${source.name}' threw: ${messageOf(error)}`)
      return undefined
    }
    if (!Number.isSafeInteger(eventTime)) {
      this.#bury(batch, i, position, 'INVALID_EVENT_TIME', `${String(eventTime)} is not a whole number of ms`)
      return undefined
    }
    if (eventTime > loggedAtMs + aheadOfLogMax) {
      this.#bury(batch, i, position, 'INVALID_EVENT_TIME', 'more than one day ahead of the log')
      return undefined
    }
    if (this.#exclusions.size > 0) {
      const excluded = this.#exclusions.get(positionKey(batch.topic, batch.partition, at))
      if (excluded !== undefined) {
        this.#bury(batch, i, position, excluded.code, excluded.message)
        return undefined
      }
    }
    return {
      value,
      at: eventTime,
      key: '',
      ordinal: this.#ordinal++,
      flags: 0,
      features: this.#plan.noFeatures,
      score: Number.NaN,
      source: position,
      loggedAtMs,
      hop: null,
    }
  }

  /** What another slot has checked already. A numbered one that is excluded leaves a skip: its number is waited for. */
  #hopRow(batch: RecordBatch, i: number, hop: HopNode, read: SourcePosition): Row | undefined {
    const { bytes, valueStart, valueEnd, topic, partition } = batch
    const { header, row } = readHop(bytes, valueStart[i]!, valueEnd[i]!, hop, read, this.#plan.noFeatures.length)
    this.#noteWatermark(clockKey({ topic, partition, upstream: header.upstream }), header.watermark)
    row.ordinal = this.#ordinal++
    const excluded = this.#exclusions.get(positionKey(topic, partition, read.offset))
    if (excluded === undefined) return row
    this.#deadLetters.push(letterWithoutBytes({ source: row.source, ...excluded }))
    const tag = row.hop!
    if (tag.sequence < 0 || tag.part === 'more') return undefined
    row.hop = { ...tag, part: 'skip' }
    row.value = undefined
    return row
  }

  #bury(batch: RecordBatch, i: number, source: SourcePosition, code: string, message: string): void {
    const copy = (start: number, end: number): Buffer | null =>
      start < 0 ? null : Buffer.from(batch.bytes.subarray(start, end))
    this.#deadLetters.push({
      source,
      code,
      message,
      key: copy(batch.keyStart[i]!, batch.keyEnd[i]!),
      value: copy(batch.valueStart[i]!, batch.valueEnd[i]!),
    })
  }
}

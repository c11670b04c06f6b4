/**
 * Entries to record batches. A large entry is handed out as views of itself; runs of small ones (an edge appends a
 * record at a time) are copied together, so that a poll never yields a batch a record.
 */
import type { Header, Offset, RecordBatch, TopicPartition } from '../port.js'
import { offset } from '../port.js'
import type { Entry } from './entry.js'

/** Records [from, to) of an entry. */
export interface Segment {
  readonly entry: Entry
  readonly from: number
  readonly to: number
}

/** Entries with fewer records than this are copied together. */
const mergedRecordsMax = 64

/** 0, 1, 2, …: the offset deltas of every batch without gaps. Grows by doubling, shared by all. */
let consecutive = Int32Array.from({ length: 4096 }, (_, i) => i)

function consecutiveDeltas(count: number): Int32Array {
  if (consecutive.length < count) {
    let length = consecutive.length
    while (length < count) length *= 2
    consecutive = Int32Array.from({ length }, (_, i) => i)
  }
  return consecutive
}

/** Appends the batches of `segments`, which are in offset order, to `into`. */
export function pushBatches(at: TopicPartition, segments: readonly Segment[], into: RecordBatch[]): void {
  for (let i = 0; i < segments.length; ) {
    let end = i + 1
    if (isSmall(segments[i]!)) while (end < segments.length && isSmall(segments[end]!)) end++
    into.push(end === i + 1 ? viewOf(at, segments[i]!) : merge(at, segments.slice(i, end)))
    i = end
  }
}

const isSmall = (segment: Segment): boolean => segment.entry.count < mergedRecordsMax

/** The position after a segment: past the gap after its entry when it reaches the entry's end. */
export function nextOf({ entry, to }: Segment): number {
  return to === entry.count ? entry.next : entry.base + to
}

function viewOf(at: TopicPartition, segment: Segment): RecordBatch {
  const { entry, from, to } = segment
  const { columns, count } = entry
  return {
    topic: at.topic,
    partition: at.partition,
    count: to - from,
    baseOffset: offset(entry.base + from),
    offsetDelta: consecutiveDeltas(to - from),
    bytes: entry.bytes,
    keyStart: columns.subarray(from, to),
    keyEnd: columns.subarray(count + from, count + to),
    valueStart: columns.subarray(2 * count + from, 2 * count + to),
    valueEnd: columns.subarray(3 * count + from, 3 * count + to),
    timestampMs: new Float64Array(to - from).fill(entry.timestampMs),
    headersOf: (index: number) => entry.headersOf(from + index),
    nextOffset: offset(nextOf(segment)),
  }
}

class MergedBatch implements RecordBatch {
  readonly topic: string
  readonly partition: number
  readonly count: number
  readonly baseOffset: Offset
  readonly offsetDelta: Int32Array
  readonly bytes: Buffer
  readonly keyStart: Int32Array
  readonly keyEnd: Int32Array
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  readonly timestampMs: Float64Array
  readonly nextOffset: Offset
  readonly #segments: readonly Segment[]

  constructor(at: TopicPartition, segments: readonly Segment[]) {
    const first = segments[0]!
    const base = first.entry.base + first.from
    let count = 0
    let byteCount = 0
    for (const { entry, from, to } of segments) {
      count += to - from
      byteCount += entry.bytes.length
    }
    this.topic = at.topic
    this.partition = at.partition
    this.count = count
    this.baseOffset = offset(base)
    this.nextOffset = offset(nextOf(segments[segments.length - 1]!))
    this.bytes = Buffer.allocUnsafe(byteCount)
    this.offsetDelta = new Int32Array(count)
    this.keyStart = new Int32Array(count)
    this.keyEnd = new Int32Array(count)
    this.valueStart = new Int32Array(count)
    this.valueEnd = new Int32Array(count)
    this.timestampMs = new Float64Array(count)
    this.#segments = segments
    let bytesAt = 0
    let record = 0
    for (const segment of segments) {
      this.#copy(segment, record, bytesAt, base)
      record += segment.to - segment.from
      bytesAt += segment.entry.bytes.length
    }
  }

  #copy({ entry, from, to }: Segment, firstRecord: number, shift: number, base: number): void {
    const { columns, count } = entry
    entry.bytes.copy(this.bytes, shift)
    for (let i = from, at = firstRecord; i < to; i++, at++) {
      this.offsetDelta[at] = entry.base + i - base
      this.keyStart[at] = moved(columns[i]!, shift)
      this.keyEnd[at] = moved(columns[count + i]!, shift)
      this.valueStart[at] = moved(columns[2 * count + i]!, shift)
      this.valueEnd[at] = moved(columns[3 * count + i]!, shift)
      this.timestampMs[at] = entry.timestampMs
    }
  }

  headersOf(index: number): readonly Header[] {
    let left = index
    for (const { entry, from, to } of this.#segments) {
      if (left < to - from) return entry.headersOf(from + left)
      left -= to - from
    }
    return []
  }
}

const moved = (position: number, shift: number): number => (position < 0 ? -1 : position + shift)

const merge = (at: TopicPartition, segments: readonly Segment[]): RecordBatch => new MergedBatch(at, segments)

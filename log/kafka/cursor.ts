/** A reader's place in one partition: what was fetched and not yet delivered, and how it becomes batches. */
import type { Header, Position, RecordBatch } from '../port.js'
import { offset } from '../port.js'
import { headersAt, type Run } from './records/decode.js'

export interface Cursor {
  /** As the engine names it, and as Kafka does, with the prefix. */
  readonly topic: string
  readonly name: string
  readonly partition: number
  /** Next to deliver. */
  position: number
  /** Next to fetch: `position` once everything fetched is delivered, gaps aside. */
  fetchNext: number
  leaderEpoch: number
  /** Leader epoch of the last record fetched, -1 when unknown. */
  lastEpoch: number
  runs: Run[]
  /** Records of the first run that are delivered. */
  taken: number
  bufferedBytes: number
  highWatermark: number
  stable: number
  logStart: number
  failure: Error | undefined
  /** In a row without an answer. */
  attempts: number
  recovering: boolean
  /** What the poll under way takes. */
  segments: Segment[]
}

/** Records [from, to) of a run. */
interface Segment {
  readonly run: Run
  readonly from: number
  readonly to: number
}

export interface TakeLimits {
  records: number
  bytes: number
  delivered: boolean
}

export const keyOf = (name: string, partition: number): string => `${name}/${partition}`

export const cursorOf = (from: Position, prefix: string): Cursor => ({
  topic: from.topic,
  name: prefix + from.topic,
  partition: from.partition,
  position: Number(from.offset),
  fetchNext: Number(from.offset),
  leaderEpoch: -1,
  lastEpoch: -1,
  runs: [],
  taken: 0,
  bufferedBytes: 0,
  highWatermark: 0,
  stable: 0,
  logStart: 0,
  failure: undefined,
  attempts: 0,
  recovering: false,
  segments: [],
})

/** Moves records from what is held into the cursor's segments while the limits allow, and the position past them. */
export function take(cursor: Cursor, left: TakeLimits): void {
  let done = 0
  for (const run of cursor.runs) {
    const from = cursor.taken
    const to = fitting(run, from, left)
    if (to > from) {
      cursor.segments.push({ run, from, to })
      cursor.position = nextOf(run, to)
    }
    cursor.taken = to
    if (to < run.count) break
    done++
    cursor.taken = 0
  }
  if (done > 0) cursor.runs.splice(0, done)
  // What was fetched behind the last record is a gap: markers, records of aborted transactions.
  if (cursor.runs.length === 0) {
    cursor.position = cursor.fetchNext
    cursor.bufferedBytes = 0
  }
}

/** The end of the records from `from` that fit what is left, which it uses up. A record larger than all of it goes alone. */
function fitting(run: Run, from: number, left: TakeLimits): number {
  const { keyStart, keyEnd, valueStart, valueEnd } = run
  const end = Math.min(run.count, from + left.records)
  let to = from
  while (to < end) {
    const bytes = keyEnd[to]! - keyStart[to]! + valueEnd[to]! - valueStart[to]!
    if (bytes > left.bytes) {
      if (left.delivered || to > from) break
      left.delivered = true
      left.records = 0
      return to + 1
    }
    left.bytes -= bytes
    to++
  }
  left.records -= to - from
  if (to > from) left.delivered = true
  if (to < end) left.records = 0
  return to
}

/** The position after the first `to` records of a run, past the gap that follows them. */
const nextOf = (run: Run, to: number): number => (to === run.count ? run.next : run.baseOffset + run.offsetDelta[to]!)

/** Turns the cursor's segments, which it empties, into batches. */
export function pushBatches(cursor: Cursor, into: RecordBatch[]): void {
  const { segments, topic, partition } = cursor
  for (const [i, { run, from, to }] of segments.entries()) {
    const whole = from === 0 && run.offsetDelta[0] === 0
    const first = run.offsetDelta[from]!
    const last = i === segments.length - 1
    into.push({
      topic,
      partition,
      count: to - from,
      baseOffset: offset(run.baseOffset + first),
      offsetDelta: whole ? run.offsetDelta : run.offsetDelta.subarray(from, to).map(delta => delta - first),
      bytes: run.bytes,
      keyStart: run.keyStart.subarray(from, to),
      keyEnd: run.keyEnd.subarray(from, to),
      valueStart: run.valueStart.subarray(from, to),
      valueEnd: run.valueEnd.subarray(from, to),
      timestampMs: run.timestampMs.subarray(from, to),
      ...(run.hasHeaders && {
        headersOf: (index: number): readonly Header[] => headersAt(run.bytes, run.headersStart[from + index]!),
      }),
      ...(run.unread !== undefined && { unread: run.unread }),
      nextOffset: offset(last ? cursor.position : nextOf(run, to)),
    })
  }
  cursor.segments = []
}

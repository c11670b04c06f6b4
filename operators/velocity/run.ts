/**
 * A run: events of one entity in (time, arrival) order, held in the very bytes in which they are stored, so that saving
 * is a copy and an event costs 5 to 8 bytes (a labelled one 12 to 14). The head of a reservoir and its sealed leaves are runs.
 *
 *   event    := varint(delta * 2 + s), or with labels varint(delta * 16 + labels * 2 + s)
 *               zigzag varint for each value
 *               with labels: 8 bytes of identity, then each label, ascending by available_at
 *   delta    := time - previous time in seconds (s = 1) or ms (s = 0); 0 for the first, whose time is `first`
 *   label    := varint(zigzag((available_at - time) / unit) * 8 + u * 2 + fraud), unit of u: 0 ms, 1 s, 2 days
 *
 * Invariants: 1. times never fall along a run; 2. no two labels of an event have the same available_at;
 * 3. bytes at and before an offset change only by the calls that say so, so a cursor is an offset and a time.
 */
import { assert, type ByteReader, type ByteWriter } from '../../kernel/index.js'
import { position, readVarint, skipVarint, unzigzag, writeVarint, zigzag } from '../varint.js'
import { addValue, type ReservoirShape } from './shape.js'

export const labelsPerEventMax = 7
const eventBytesMax = 10 + 8
const unitMs = [1, 1_000, 86_400_000] as const

/** Where a scan stopped: after `count` events, the last of which ends at `offset` and has `time`; `next`: of the following. */
export const scanned = { offset: 0, time: 0, next: Number.POSITIVE_INFINITY, count: 0 }

export interface EventLabel {
  readonly availableAt: number
  readonly fraud: boolean
}

let scratch = new Uint8Array(256)

export class Run {
  bytes: Uint8Array
  length = 0
  count = 0
  /** Time of the first event and of the last. */
  first = 0
  last = 0
  readonly #shape: ReservoirShape
  readonly #factor: number
  /** Offset of the last event while it is known: labels mostly follow their transaction. -1 otherwise. */
  #tail = -1

  constructor(shape: ReservoirShape, capacity = 64) {
    this.#shape = shape
    this.#factor = shape.labelled ? 16 : 2
    this.bytes = new Uint8Array(capacity)
  }

  /** Adds an event that is not before the last one. */
  append(time: number, values: Float64Array, idHigh: number, idLow: number): void {
    if (this.count === 0) this.first = time
    const delta = this.count === 0 ? 0 : time - this.last
    this.#tail = this.length
    this.#reserve(eventBytesMax + 8 * this.#shape.values)
    this.length = this.#encode(this.bytes, this.length, delta, values, idHigh, idLow)
    this.last = time
    this.count++
  }

  /** Adds an event after those of its time. Offsets past it move. */
  insert(time: number, values: Float64Array, idHigh: number, idLow: number): void {
    if (this.count === 0 || time >= this.last) {
      this.append(time, values, idHigh, idLow)
      return
    }
    const size = 2 * (eventBytesMax + 8 * this.#shape.values)
    if (scratch.length < size) scratch = new Uint8Array(size)
    let at = 0
    let before = this.first
    let following = this.first
    if (time >= this.first) {
      this.scan(0, this.first, time, Number.NEGATIVE_INFINITY, none, -1)
      at = scanned.offset
      before = scanned.time
      following = scanned.next
    } else {
      before = time
      this.first = time
    }
    const packed = readVarint(this.bytes, at)
    const removed = position.at - at
    const labels = this.#factor === 16 ? (packed & 15) >> 1 : 0
    let end = this.#encode(scratch, 0, time - before, values, idHigh, idLow)
    end = writeVarint(scratch, end, this.#pack(following - time, labels))
    this.#splice(at, removed, end)
    this.count++
  }

  /**
   * Adds the events from `offset` on with time <= limit to an aggregate, fraud as of time `asOf`.
   * @param time of the event before `offset`; at offset 0 it is not read
   * @param intoAt negative: only move
   */
  scan(offset: number, time: number, limit: number, asOf: number, into: Float64Array, intoAt: number): void {
    const bytes = this.bytes
    const length = this.length
    const values = this.#shape.values
    const labelled = this.#factor === 16
    let at = offset
    let now = offset === 0 ? this.first : time
    let count = 0
    let fraud = 0
    let next = Number.POSITIVE_INFINITY
    while (at < length) {
      const packed = readVarint(bytes, at)
      let labels = 0
      let delta: number
      if (labelled) {
        const low = packed & 15
        labels = low >> 1
        delta = (packed - low) / 16
      } else {
        delta = (packed - (packed & 1)) / 2
      }
      if ((packed & 1) === 1) delta *= 1_000
      if (now + delta > limit) {
        next = now + delta
        break
      }
      now += delta
      at = position.at
      if (intoAt >= 0) {
        for (let v = 0; v < values; v++) {
          const raw = readVarint(bytes, at)
          at = position.at
          addValue(into, intoAt + 2 + 2 * v, unzigzag(raw))
        }
      } else {
        for (let v = 0; v < values; v++) at = skipVarint(bytes, at)
      }
      if (labelled) {
        at += 8
        let state = 0
        for (; labels > 0; labels--) {
          const label = readVarint(bytes, at)
          at = position.at
          if (now + labelOffset(label) <= asOf) state = label & 1
        }
        fraud += state
      }
      count++
    }
    if (intoAt >= 0) {
      into[intoAt]! += count
      into[intoAt + 1]! += fraud
    }
    scanned.offset = at
    scanned.time = now
    scanned.next = next
    scanned.count = count
  }

  /** Where the first to arrive of the events with this time and identity starts; -1: there is none. */
  find(time: number, idHigh: number, idLow: number): number {
    if (this.count === 0 || time < this.first || time > this.last) return -1
    if (this.#tail >= 0 && time === this.last) {
      const end = skipVarint(this.bytes, this.#tail)
      if (this.#identityAt(this.#afterValues(end), idHigh, idLow) && this.#isAlone()) return this.#tail
    }
    let at = 0
    let now = this.first
    while (at < this.length) {
      const start = at
      const packed = readVarint(this.bytes, at)
      const delta = (packed - (packed & 15)) / 16
      now += (packed & 1) === 1 ? delta * 1_000 : delta
      if (now > time) return -1
      at = this.#afterValues(position.at)
      if (now === time && this.#identityAt(at, idHigh, idLow)) return start
      at += 8
      for (let labels = (packed & 15) >> 1; labels > 0; labels--) at = skipVarint(this.bytes, at)
    }
    return -1
  }

  /** The labels of the event of `time` that starts at `offset`, ascending by available_at. */
  labelsAt(offset: number, time: number): readonly EventLabel[] {
    const count = (this.bytes[offset]! & 15) >> 1
    if (count === 0) return noLabels
    const labels: EventLabel[] = []
    let at = this.#afterValues(skipVarint(this.bytes, offset)) + 8
    for (let i = 0; i < count; i++) {
      const label = readVarint(this.bytes, at)
      at = position.at
      labels.push({ availableAt: time + labelOffset(label), fraud: (label & 1) === 1 })
    }
    return labels
  }

  /** Replaces the labels of the event of `time` that starts at `offset`. Offsets past it move. */
  setLabels(offset: number, time: number, labels: readonly EventLabel[]): void {
    assert(labels.length <= labelsPerEventMax, 'labels of an event within bounds')
    const old = (this.bytes[offset]! & 15) >> 1
    this.bytes[offset] = (this.bytes[offset]! & 0xf1) | (labels.length << 1)
    const at = this.#afterValues(skipVarint(this.bytes, offset)) + 8
    let end = at
    for (let i = 0; i < old; i++) end = skipVarint(this.bytes, end)
    let written = 0
    for (const label of labels) written = writeVarint(scratch, written, packLabel(label, time))
    const tail = this.#tail
    this.#splice(at, end - at, written)
    this.#tail = tail > offset ? tail + written - (end - at) : tail
  }

  /** The first `count` events as a run of their own; they leave this one. Every offset is void. */
  cut(count: number): Run {
    assert(count > 0 && count < this.count, 'a cut leaves both sides some events')
    let at = 0
    let last = this.first
    for (let i = 0; i < count; i++) {
      const packed = readVarint(this.bytes, at)
      const low = packed & (this.#factor - 1)
      const delta = (packed - low) / this.#factor
      last += (packed & 1) === 1 ? delta * 1_000 : delta
      at = this.#afterValues(position.at)
      if (this.#factor === 16) {
        at += 8
        for (let labels = low >> 1; labels > 0; labels--) at = skipVarint(this.bytes, at)
      }
    }
    const left = new Run(this.#shape, at)
    left.bytes.set(this.bytes.subarray(0, at))
    left.length = at
    left.count = count
    left.first = this.first
    left.last = last
    const packed = readVarint(this.bytes, at)
    const low = packed & (this.#factor - 1)
    const delta = (packed - low) / this.#factor
    this.first = last + ((packed & 1) === 1 ? delta * 1_000 : delta)
    const end = writeVarint(scratch, 0, this.#pack(0, this.#factor === 16 ? low >> 1 : 0))
    this.#splice(0, position.at, end)
    this.count -= count
    return left
  }

  /** How many events at the front have time <= limit. */
  countThrough(limit: number): number {
    if (this.count === 0 || this.first > limit) return 0
    this.scan(0, this.first, limit, Number.NEGATIVE_INFINITY, none, -1)
    return scanned.count
  }

  /** The greatest available_at at which a label changes an event's state; -Infinity where none does. */
  lastTransition(): number {
    let greatest = Number.NEGATIVE_INFINITY
    if (this.#factor !== 16) return greatest
    let at = 0
    let now = this.first
    while (at < this.length) {
      const packed = readVarint(this.bytes, at)
      const delta = (packed - (packed & 15)) / 16
      now += (packed & 1) === 1 ? delta * 1_000 : delta
      at = this.#afterValues(position.at) + 8
      let state = 0
      for (let labels = (packed & 15) >> 1; labels > 0; labels--) {
        const label = readVarint(this.bytes, at)
        at = position.at
        if ((label & 1) !== state) greatest = Math.max(greatest, now + labelOffset(label))
        state = label & 1
      }
    }
    return greatest
  }

  save(into: ByteWriter): void {
    into.varint(this.count)
    if (this.count === 0) return
    into.zigzag(this.first)
    into.varint(this.last - this.first)
    into.varint(this.length)
    into.bytes(this.bytes.subarray(0, this.length))
  }

  static load(shape: ReservoirShape, from: ByteReader): Run {
    const count = from.varint()
    if (count === 0) return new Run(shape)
    const first = from.zigzag()
    const last = first + from.varint()
    const length = from.varint()
    const run = new Run(shape, length + 32)
    run.bytes.set(from.bytes(length))
    run.length = length
    run.count = count
    run.first = first
    run.last = last
    return run
  }

  #encode(into: Uint8Array, from: number, delta: number, values: Float64Array, idHigh: number, idLow: number): number {
    let at = writeVarint(into, from, this.#pack(delta, 0))
    for (let v = 0; v < this.#shape.values; v++) at = writeVarint(into, at, zigzag(values[v]!))
    if (this.#factor !== 16) return at
    for (let shift = 0; shift < 32; shift += 8) into[at++] = idLow >>> shift
    for (let shift = 0; shift < 32; shift += 8) into[at++] = idHigh >>> shift
    return at
  }

  #pack(delta: number, labels: number): number {
    const whole = delta % 1_000 === 0
    return (whole ? delta / 1_000 : delta) * this.#factor + 2 * labels + (whole ? 1 : 0)
  }

  #afterValues(from: number): number {
    let at = from
    for (let v = 0; v < this.#shape.values; v++) at = skipVarint(this.bytes, at)
    return at
  }

  #identityAt(at: number, idHigh: number, idLow: number): boolean {
    return int32At(this.bytes, at) === idLow && int32At(this.bytes, at + 4) === idHigh
  }

  /** True when the last event is the only one of its time (its delta is not 0), so that none arrived before it. */
  #isAlone(): boolean {
    return this.count === 1 || readVarint(this.bytes, this.#tail) >= 16
  }

  #reserve(extra: number): void {
    if (this.length + extra <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(this.length + extra, 2 * this.bytes.length))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }

  /** Replaces `removed` bytes at `at` by the first `added` bytes of scratch. */
  #splice(at: number, removed: number, added: number): void {
    if (added > removed) this.#reserve(added - removed)
    if (at + removed < this.length) this.bytes.copyWithin(at + added, at + removed, this.length)
    for (let i = 0; i < added; i++) this.bytes[at + i] = scratch[i]!
    this.length += added - removed
    this.#tail = -1
  }
}

const none = new Float64Array(0)
const noLabels: readonly EventLabel[] = []

function labelOffset(packed: number): number {
  return unzigzag((packed - (packed & 7)) / 8) * unitMs[((packed & 7) >> 1) as 0 | 1 | 2]
}

function packLabel(label: EventLabel, time: number): number {
  const offset = label.availableAt - time
  const unit = offset % unitMs[2] === 0 ? 2 : offset % unitMs[1] === 0 ? 1 : 0
  return zigzag(offset / unitMs[unit]) * 8 + unit * 2 + (label.fraud ? 1 : 0)
}

function int32At(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/**
 * A bucket of remembered ids, in the order of their arrival, held in the bytes in which it is stored; the ids' hashes
 * lie beside them, so that a look-up compares 32-bit numbers and decodes an entry only when one matches.
 *
 *   entry := varint(delta * 2 + s)            clock behind the entry before, in seconds (s = 1) or ms (s = 0)
 *            varint(n * 4 + kind), id bytes   kind 0: n bytes of Latin-1; 1: n itself in decimal digits; 2: n UTF-16 units
 *            8 bytes of fingerprint, varint(partition), varint(offset)
 *
 * Invariants: 1. clocks never fall along a bucket, so what has expired is a prefix; 2. the clock of the first entry is
 * `firstClock`, whatever its delta says; 3. ids are exact: no two strings have the same form.
 */
import type { ByteReader, ByteWriter } from '../../kernel/index.js'
import { position, readVarint, skipVarint, writeVarint } from '../varint.js'

export interface RememberedId {
  readonly id: string
  readonly hash: number
  readonly fingerprintHigh: number
  readonly fingerprintLow: number
  /** The key's greatest event time when it arrived, itself included. */
  readonly clock: number
  /** Place of the first record with this id in its log. */
  readonly partition: number
  readonly offset: number
}

const fixedEntryBytes = 10 + 10 + 8 + 10 + 10
const decimalDigitsMax = 15

export class Bucket {
  firstClock = 0
  #lastClock = 0
  /** An array: a typed one of so few numbers is two objects more. */
  #hashes: number[] = []
  #bytes = new Uint8Array(128)
  #length = 0

  get count(): number {
    return this.#hashes.length
  }

  get bytesInMemory(): number {
    return 160 + 8 * this.#hashes.length + this.#bytes.length
  }

  /** An entry with this id whose clock is not before `oldest`. */
  find(id: string, hash: number, oldest: number): RememberedId | undefined {
    const hashes = this.#hashes
    const count = this.count
    for (let i = 0; i < count; i++) {
      if (hashes[i] !== hash) continue
      const entry = this.#entryAt(i)
      if (entry.id === id && entry.clock >= oldest) return entry
    }
    return undefined
  }

  append(
    id: string,
    hash: number,
    fingerprintHigh: number,
    fingerprintLow: number,
    clock: number,
    partition: number,
    offset: number,
  ): void {
    const needed = this.#length + fixedEntryBytes + 2 * id.length
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    if (this.count === 0) this.firstClock = clock
    const delta = this.count === 0 ? 0 : clock - this.#lastClock
    this.#lastClock = clock
    this.#hashes.push(hash | 0)
    const bytes = this.#bytes
    let at = writeVarint(bytes, this.#length, delta % 1_000 === 0 ? (delta / 1_000) * 2 + 1 : delta * 2)
    at = writeId(bytes, at, id)
    at = writeInt32(bytes, at, fingerprintLow)
    at = writeInt32(bytes, at, fingerprintHigh)
    at = writeVarint(bytes, at, partition)
    this.#length = writeVarint(bytes, at, offset)
  }

  /** Drops the entries with a clock before `oldest`. @returns how many */
  prune(oldest: number): number {
    let at = 0
    let gone = 0
    let clock = this.firstClock
    while (gone < this.count && clock < oldest) {
      at = endOfEntry(this.#bytes, skipVarint(this.#bytes, at))
      gone++
      if (gone < this.count) clock += deltaOf(readVarint(this.#bytes, at))
    }
    if (gone === 0) return 0
    this.#bytes.copyWithin(0, at, this.#length)
    this.#hashes.splice(0, gone)
    this.#length -= at
    this.firstClock = clock
    return gone
  }

  /** How many entries have a clock that is not before `oldest`, and the clock of the first of them. */
  since(oldest: number): { readonly count: number; readonly first: number } {
    let at = 0
    let clock = this.firstClock
    for (let i = 0; i < this.count; i++) {
      const delta = deltaOf(readVarint(this.#bytes, at))
      if (i > 0) clock += delta
      if (clock >= oldest) return { count: this.count - i, first: clock }
      at = endOfEntry(this.#bytes, position.at)
    }
    return { count: 0, first: Number.POSITIVE_INFINITY }
  }

  entries(): RememberedId[] {
    const entries: RememberedId[] = []
    let at = 0
    let clock = this.firstClock
    for (let i = 0; i < this.count; i++) {
      const delta = deltaOf(readVarint(this.#bytes, at))
      if (i > 0) clock += delta
      entries.push(readEntry(this.#bytes, position.at, this.#hashes[i]!, clock))
      at = position.at
    }
    return entries
  }

  save(into: ByteWriter): void {
    into.varint(this.count)
    if (this.count === 0) return
    into.zigzag(this.firstClock)
    into.varint(this.#lastClock - this.firstClock)
    into.varint(this.#length)
    into.bytes(this.#bytes.subarray(0, this.#length))
    for (const hash of this.#hashes) into.u32(hash)
  }

  static load(from: ByteReader): Bucket {
    const bucket = new Bucket()
    const count = from.varint()
    if (count === 0) return bucket
    bucket.firstClock = from.zigzag()
    bucket.#lastClock = bucket.firstClock + from.varint()
    bucket.#length = from.varint()
    bucket.#bytes = new Uint8Array(bucket.#length + 64)
    bucket.#bytes.set(from.bytes(bucket.#length))
    for (let i = 0; i < count; i++) bucket.#hashes.push(from.u32() | 0)
    return bucket
  }

  #entryAt(index: number): RememberedId {
    let at = 0
    let clock = this.firstClock
    for (let i = 0; ; i++) {
      const delta = deltaOf(readVarint(this.#bytes, at))
      if (i > 0) clock += delta
      if (i === index) return readEntry(this.#bytes, position.at, this.#hashes[i]!, clock)
      at = endOfEntry(this.#bytes, position.at)
    }
  }
}

function deltaOf(packed: number): number {
  return (packed & 1) === 1 ? ((packed - 1) / 2) * 1_000 : packed / 2
}

/** @param from just after the entry's delta */
function endOfEntry(bytes: Uint8Array, from: number): number {
  const head = readVarint(bytes, from)
  return skipVarint(bytes, skipVarint(bytes, position.at + idBytes(head) + 8))
}

function idBytes(head: number): number {
  const kind = head & 3
  return kind === 1 ? 0 : ((head - kind) / 4) * (kind === 2 ? 2 : 1)
}

/** Leaves `position.at` at its end. */
function readEntry(bytes: Uint8Array, from: number, hash: number, clock: number): RememberedId {
  const head = readVarint(bytes, from)
  const id = readId(bytes, position.at, head)
  let at = position.at + idBytes(head)
  const fingerprintLow = readInt32(bytes, at)
  const fingerprintHigh = readInt32(bytes, at + 4)
  at += 8
  const partition = readVarint(bytes, at)
  const offset = readVarint(bytes, position.at)
  return { id, hash, fingerprintHigh, fingerprintLow, clock, partition, offset }
}

function writeId(bytes: Uint8Array, from: number, id: string): number {
  const number = decimalOf(id)
  if (number >= 0) return writeVarint(bytes, from, number * 4 + 1)
  const start = writeVarint(bytes, from, id.length * 4)
  let at = start
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    if (unit > 255) return writeWideId(bytes, from, id)
    bytes[at++] = unit
  }
  return at
}

function writeWideId(bytes: Uint8Array, from: number, id: string): number {
  let at = writeVarint(bytes, from, id.length * 4 + 2)
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    bytes[at++] = unit & 255
    bytes[at++] = unit >>> 8
  }
  return at
}

function readId(bytes: Uint8Array, at: number, head: number): string {
  const kind = head & 3
  const n = (head - kind) / 4
  if (kind === 1) return String(n)
  let id = ''
  for (let i = 0; i < n; i++) {
    id += String.fromCharCode(kind === 2 ? bytes[at + 2 * i]! | (bytes[at + 2 * i + 1]! << 8) : bytes[at + i]!)
  }
  return id
}

/** The number whose shortest decimal form is this id, or -1. */
function decimalOf(id: string): number {
  const length = id.length
  if (length === 0 || length > decimalDigitsMax || (length > 1 && id.charCodeAt(0) === 48)) return -1
  let number = 0
  for (let i = 0; i < length; i++) {
    const digit = id.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    number = number * 10 + digit
  }
  return number
}

function writeInt32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
  return at + 4
}

function readInt32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

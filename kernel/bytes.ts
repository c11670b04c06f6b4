/**
 * Binary encoding of state and journal: little-endian fixed widths, LEB128 varints, zig-zag for signed numbers.
 *
 * Invariants: 1. integers are exact up to 2^53 - 1 (asserted on write, refused on read); 2. a reader never reads past its end
 * (it throws RangeError: the caller turns that into a corruption error).
 */
import { assert } from './assert.js'

/** Appends to one growing buffer; `take()` copies the bytes out and starts again. */
export class ByteWriter {
  #buffer: Buffer
  #length = 0

  constructor(initialBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  get length(): number {
    return this.#length
  }

  reset(): void {
    this.#length = 0
  }

  /** Ensures room for `extra` more bytes and returns the buffer to write into. */
  reserve(extra: number): Buffer {
    const needed = this.#length + extra
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, this.#length)
      this.#buffer = grown
    }
    return this.#buffer
  }

  u8(value: number): void {
    this.reserve(1)[this.#length++] = value
  }

  u16be(value: number): void {
    this.reserve(2).writeUInt16BE(value, this.#length)
    this.#length += 2
  }

  u32(value: number): void {
    this.reserve(4).writeUInt32LE(value >>> 0, this.#length)
    this.#length += 4
  }

  f64(value: number): void {
    this.reserve(8).writeDoubleLE(value, this.#length)
    this.#length += 8
  }

  /** A whole number from 0 to 2^53 - 1. */
  varint(value: number): void {
    assert(value >= 0 && Number.isSafeInteger(value), `varint of ${value}`)
    const buffer = this.reserve(8)
    let rest = value
    let at = this.#length
    while (rest >= 128) {
      buffer[at++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    buffer[at++] = rest
    this.#length = at
  }

  /** A whole number from -(2^52) to 2^52 - 1. */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value)
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length).set(value, this.#length)
    this.#length += value.length
  }

  /** Length-prefixed bytes. */
  blob(value: Uint8Array): void {
    this.varint(value.length)
    this.bytes(value)
  }

  /** Length-prefixed UTF-8. */
  string(value: string): void {
    const byteLength = Buffer.byteLength(value)
    this.varint(byteLength)
    this.utf8(value, byteLength)
  }

  /** Without its length. @param byteLength of `value` as UTF-8 */
  utf8(value: string, byteLength: number): void {
    this.reserve(byteLength).write(value, this.#length, 'utf8')
    this.#length += byteLength
  }

  /** A view of what has been written; valid until the next write. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** A copy of what has been written; the writer is empty afterwards. */
  take(): Buffer {
    const copy = Buffer.from(this.view())
    this.#length = 0
    return copy
  }
}

/** Reads what ByteWriter wrote. */
export class ByteReader {
  readonly #buffer: Buffer
  #at: number
  readonly #end: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#at = start
    this.#end = end
  }

  get position(): number {
    return this.#at
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  #advance(count: number): number {
    const at = this.#at
    if (count < 0 || at + count > this.#end) throw new RangeError(`read of ${count} bytes past the end`)
    this.#at = at + count
    return at
  }

  u8(): number {
    return this.#buffer[this.#advance(1)]!
  }

  u16be(): number {
    return this.#buffer.readUInt16BE(this.#advance(2))
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#advance(4))
  }

  f64(): number {
    return this.#buffer.readDoubleLE(this.#advance(8))
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte < 128) break
      scale *= 128
      if (scale > Number.MAX_SAFE_INTEGER) throw new RangeError('varint too long')
    }
    if (value > Number.MAX_SAFE_INTEGER) throw new RangeError('varint beyond 2^53 - 1')
    return value
  }

  zigzag(): number {
    const value = this.varint()
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2
  }

  /** A view, not a copy. */
  bytes(count: number): Buffer {
    const at = this.#advance(count)
    return this.#buffer.subarray(at, at + count)
  }

  blob(): Buffer {
    return this.bytes(this.varint())
  }

  string(): string {
    return this.utf8(this.varint())
  }

  utf8(count: number): string {
    const at = this.#advance(count)
    return this.#buffer.toString('utf8', at, at + count)
  }
}

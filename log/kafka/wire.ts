/** Kafka's primitive types, big-endian, in the compact ("flexible") encoding. Int64 fields are numbers: all stay below 2^53. */
import { assert } from '../../kernel/index.js'

const growthBytes = 512
/** Larger blobs are sent from where they lie. */
const copiedBytesMax = 1_024

export class WireWriter {
  readonly #chunks: Buffer[] = []
  #bytes = Buffer.allocUnsafe(growthBytes)
  #start = 0
  #end = 0

  int8(value: number): this {
    this.#reserve(1)
    this.#end = this.#bytes.writeInt8(value, this.#end)
    return this
  }

  bool(value: boolean): this {
    return this.int8(value ? 1 : 0)
  }

  int16(value: number): this {
    this.#reserve(2)
    this.#end = this.#bytes.writeInt16BE(value, this.#end)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#end = this.#bytes.writeInt32BE(value, this.#end)
    return this
  }

  int64(value: number): this {
    assert(Number.isSafeInteger(value), 'an int64 below 2^53')
    this.#reserve(8)
    this.#end = this.#bytes.writeInt32BE(Math.floor(value / 0x1_0000_0000), this.#end)
    this.#end = this.#bytes.writeUInt32BE(value >>> 0, this.#end)
    return this
  }

  uvarint(value: number): this {
    this.#reserve(5)
    let rest = value
    while (rest >= 128) {
      this.#bytes[this.#end++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.#bytes[this.#end++] = rest
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.uvarint(0)
    const length = Buffer.byteLength(value)
    this.uvarint(length + 1)
    this.#reserve(length)
    this.#end += this.#bytes.write(value, this.#end)
    return this
  }

  /** The bytes must stay as they are until the request is answered. */
  blob(bytes: Buffer): this {
    this.uvarint(bytes.length + 1)
    if (bytes.length <= copiedBytesMax) {
      this.#reserve(bytes.length)
      this.#end += bytes.copy(this.#bytes, this.#end)
    } else {
      this.#flush()
      this.#chunks.push(bytes)
    }
    return this
  }

  array<T>(items: readonly T[] | null, write: (item: T) => void): this {
    if (items === null) return this.uvarint(0)
    this.uvarint(items.length + 1)
    for (const item of items) write(item)
    return this
  }

  /** No tagged fields. */
  tags(): this {
    return this.uvarint(0)
  }

  chunks(): readonly Buffer[] {
    this.#flush()
    return this.#chunks
  }

  #flush(): void {
    if (this.#end > this.#start) this.#chunks.push(this.#bytes.subarray(this.#start, this.#end))
    this.#start = this.#end
  }

  #reserve(extra: number): void {
    if (this.#end + extra <= this.#bytes.length) return
    this.#flush()
    this.#bytes = Buffer.allocUnsafe(Math.max(growthBytes, extra))
    this.#start = 0
    this.#end = 0
  }
}

/** Throws a RangeError where the bytes end too early. */
export class WireReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  int8(): number {
    return this.#bytes.readInt8(this.#skip(1))
  }

  bool(): boolean {
    return this.int8() !== 0
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#skip(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#skip(4))
  }

  int64(): number {
    return int64At(this.#bytes, this.#skip(8))
  }

  uvarint(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#skip(1))
      value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
    }
  }

  nullableString(): string | null {
    const bytes = this.blob()
    return bytes === null ? null : bytes.toString()
  }

  string(): string {
    return this.nullableString() ?? ''
  }

  /** A view of the response. */
  blob(): Buffer | null {
    const length = this.uvarint() - 1
    if (length < 0) return null
    const start = this.#skip(length)
    return this.#bytes.subarray(start, start + length)
  }

  array<T>(read: () => T): T[] {
    const items: T[] = []
    for (let left = this.uvarint() - 1; left > 0; left--) items.push(read())
    return items
  }

  /** Hands each tagged field to `known`; what it leaves unread is skipped. */
  tags(known?: (tag: number, field: WireReader) => void): void {
    for (let left = this.uvarint(); left > 0; left--) {
      const tag = this.uvarint()
      const length = this.uvarint()
      const start = this.#skip(length)
      known?.(tag, new WireReader(this.#bytes.subarray(start, start + length)))
    }
  }

  #skip(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw new RangeError('the response ends too early')
    this.#at = start + length
    return start
  }
}

/** @throws RangeError past 2^53, where a number is no longer exact */
export function int64At(bytes: Buffer, at: number): number {
  const value = bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
  if (!Number.isSafeInteger(value)) throw new RangeError(`int64 out of range: ${bytes.toString('hex', at, at + 8)}`)
  return value
}

/** What a decompressor writes: a buffer that grows up to a bound. */
import { TooLong } from './too-long.js'

export class Output {
  readonly #codec: string
  readonly #bytesMax: number
  #bytes: Buffer
  #end = 0

  constructor(codec: string, expected: number, bytesMax: number) {
    this.#codec = codec
    this.#bytesMax = bytesMax
    this.#bytes = Buffer.allocUnsafe(Math.min(Math.max(expected, 1_024), bytesMax))
  }

  get length(): number {
    return this.#end
  }

  append(from: Buffer, start: number, length: number): void {
    this.#reserve(length)
    from.copy(this.#bytes, this.#end, start, start + length)
    this.#end += length
  }

  fill(byte: number, length: number): void {
    this.#reserve(length)
    this.#bytes.fill(byte, this.#end, this.#end + length)
    this.#end += length
  }

  /** Appends `length` bytes that begin `distance` before the end; they may reach into what they write. */
  repeat(distance: number, length: number): void {
    if (distance === 0 || distance > this.#end) throw new RangeError(`${this.#codec}: a copy is out of range`)
    this.#reserve(length)
    const bytes = this.#bytes
    const end = this.#end
    if (distance >= length && length > 16) bytes.copyWithin(end, end - distance, end - distance + length)
    else for (let i = end; i < end + length; i++) bytes[i] = bytes[i - distance]!
    this.#end += length
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#end)
  }

  #reserve(extra: number): void {
    const needed = this.#end + extra
    if (needed <= this.#bytes.length) return
    if (needed > this.#bytesMax) throw new TooLong(`${this.#codec}: more than ${this.#bytesMax} bytes`)
    const grown = Buffer.allocUnsafe(Math.min(this.#bytesMax, Math.max(needed, 2 * this.#bytes.length)))
    this.#bytes.copy(grown, 0, 0, this.#end)
    this.#bytes = grown
  }
}

/**
 * Reads Avro's binary encoding in place.
 *
 * Invariant: no read goes beyond `end`, whatever the bytes say. One that would sets `broken`, and from then on the values
 * that reads give mean nothing.
 */
import { isUtf8 } from 'node:buffer'
import { IdCache } from '../avro/id-cache.js'

/** A varint is at most ten bytes long. */
const varintBytesMax = 10
/** Ids and codes are this short; longer texts hardly come twice. */
const cachedCharactersMax = 64

export class Cursor {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  end = 0
  broken = false
  /** A text was not UTF-8. */
  badText = false
  /** How deep the records lie in each other where the cursor stands. */
  depth = 0
  readonly #texts = new IdCache()

  reset(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.at = start
    this.end = end
    this.broken = false
    this.badText = false
    this.depth = 0
  }

  skip(count: number): void {
    if (count < 0 || count > this.end - this.at) this.broken = true
    else this.at += count
  }

  /** Steps over a zero that stands here, and says whether one did: most maps are empty. */
  isAtZero(): boolean {
    if (this.at >= this.end || this.bytes[this.at] !== 0) return false
    this.at++
    return true
  }

  skipLong(): void {
    const stop = Math.min(this.end, this.at + varintBytesMax)
    while (this.at < stop) if (this.bytes[this.at++]! < 0x80) return
    this.broken = true
  }

  /** An int or long; exact within 2^53, beyond it of the right sign and size. */
  long(): number {
    const { bytes } = this
    const stop = Math.min(this.end, this.at + varintBytesMax)
    let negative = false
    let value = 0
    // The lowest bit is the sign: half of what the bits say, so that the greatest whole numbers stay exact.
    let scale = 0.5
    while (this.at < stop) {
      const byte = bytes[this.at++]!
      if (scale === 0.5) {
        negative = (byte & 1) === 1
        value = (byte & 0x7e) * scale
      } else value += (byte & 0x7f) * scale
      if (byte < 0x80) return negative ? -value - 1 : value
      scale *= 128
    }
    this.broken = true
    return 0
  }

  text(): string {
    const length = this.long()
    const from = this.at
    this.skip(length)
    if (this.broken) return ''
    const { bytes } = this
    const to = this.at
    let hash = 0
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!
      if (byte >= 0x80) return this.#utf8(from, to)
      hash = (Math.imul(hash, 31) + byte) | 0
    }
    return length <= cachedCharactersMax ? this.#texts.get(bytes, from, to, hash) : bytes.toString('latin1', from, to)
  }

  #utf8(from: number, to: number): string {
    if (!isUtf8(this.bytes.subarray(from, to))) this.badText = true
    return this.bytes.toString('utf8', from, to)
  }
}

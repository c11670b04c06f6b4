/**
 * Writes Avro's binary encoding into one growing buffer.
 *
 * Invariants: 1. nothing is written past what `reserve` promised: the writers below do not check again; 2. doubles are finite
 * (asserted), as in JSON.
 */
import { assert } from '../../kernel/index.js'
import { GrowingBytes } from './growing-bytes.js'

/** The most bytes of a text: three for a UTF-16 code unit, and its length. */
export const textBytesMax = (text: string): number => text.length * 3 + longBytesMax
/** The most bytes of an int, a long, a double, or a union's branch. */
export const longBytesMax = 10

export class AvroWriter extends GrowingBytes {
  boolean(value: boolean): void {
    this.byte(value ? 1 : 0)
  }

  /** The branch of `["null", …]`: what follows is there when it is true. */
  present(value: boolean): void {
    this.byte(value ? 2 : 0)
  }

  /** @param value a whole number within 2^53, a negative one within 2^52 */
  long(value: number): void {
    let rest = value < 0 ? -2 * value - 1 : 2 * value
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.bytes[this.length++] = rest
  }

  double(value: number): void {
    assert(Number.isFinite(value), `${value} has no place in a decision`)
    // Like JSON, which has no negative zero.
    this.length = this.bytes.writeDoubleLE(value + 0, this.length)
  }

  text(text: string): void {
    const { length } = text
    const { bytes } = this
    const start = this.length
    this.long(length)
    let at = this.length
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i)
      if (unit > 0x7f) {
        this.length = start
        this.long(Buffer.byteLength(text))
        this.length += bytes.write(text, this.length, 'utf8')
        return
      }
      bytes[at++] = unit
    }
    this.length = at
  }
}

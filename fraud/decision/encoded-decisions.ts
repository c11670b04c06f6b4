/**
 * Where decisions lie that were encoded back to back into one buffer: what a log appends (EncodedRecords), whatever the
 * encoding. After each value stands the one byte 0x0A that EncodedRecords asks for. At most `decisionsMax` decisions (I6).
 */
import { assert } from '../../kernel/index.js'
import type { EncodedRecords } from '../../log/index.js'
import type { GrowingBytes } from './growing-bytes.js'

const newline = 0x0a
export const decisionsMaxDefault = 16_384

export class EncodedDecisions {
  readonly valueStart: Int32Array
  readonly #valueEnd: Int32Array
  readonly #keys: string[] = []
  readonly #decisionsMax: number
  readonly #writer: GrowingBytes
  count = 0

  constructor(writer: GrowingBytes, decisionsMax: number) {
    this.#writer = writer
    this.#decisionsMax = decisionsMax
    this.valueStart = new Int32Array(decisionsMax)
    this.#valueEnd = new Int32Array(decisionsMax)
  }

  reset(): void {
    this.count = 0
    this.#keys.length = 0
    this.#writer.length = 0
  }

  /** There is room for one more. @returns its index */
  next(): number {
    const index = this.count
    assert(index < this.#decisionsMax, `more than ${this.#decisionsMax} decisions in an encoder`)
    return index
  }

  /** The value that `next` made room for ends here; one that was begun and never ended leaves the encoder to be reset. */
  end(key: string): void {
    this.#valueEnd[this.count] = this.#writer.length
    this.#writer.byte(newline)
    this.#keys.push(key)
    this.count++
  }

  /** What has been appended since the last reset; valid until the next one. */
  encoded(): EncodedRecords {
    return {
      kind: 'encoded',
      count: this.count,
      bytes: this.#writer.bytes.subarray(0, this.#writer.length),
      valueStart: this.valueStart,
      valueEnd: this.#valueEnd,
      keys: this.#keys,
    }
  }
}

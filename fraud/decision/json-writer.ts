/**
 * Writes JSON into one growing buffer, byte for byte what JSON.stringify would give.
 *
 * Invariants:
 * 1. Nothing is written past what `reserve` promised: the writers below do not check again.
 * 2. Numbers are finite (asserted): JSON has no others.
 *
 * Measured on one core (Node 20.20): a constant fragment 13 ns (TypedArray.set), a short ASCII text 1.4 ns a character
 * (a loop; a native write costs 43 ns before its first byte), a double of 17 digits 140 ns, one of two decimals 15 ns.
 */
import { assert, type EventTimeMs, eventTime, formatEventTime } from '../../kernel/index.js'
import { GrowingBytes } from './growing-bytes.js'

const dayMs = 86_400_000
const quote = 0x22
const backslash = 0x5c
const dot = 0x2e
const minus = 0x2d
const digit0 = 0x30

/** The most bytes of a text's JSON: each UTF-16 code unit can become \uXXXX, and there are two quotes. */
export const textBytesMax = (text: string): number => text.length * 6 + 2
/** The most bytes of a number's JSON. */
export const numberBytes = 25

/** A piece of JSON that never changes, as bytes. */
export const fragment = (json: string): Uint8Array => new TextEncoder().encode(json)

export class JsonWriter extends GrowingBytes {
  #day = Number.NaN
  #lastLong = Number.NaN
  #lastLongText = ''
  /** `"YYYY-MM-DDT` of #day. */
  #dayText: Uint8Array = fragment('')

  text(text: string): void {
    const { bytes } = this
    const start = this.length
    let at = start
    bytes[at++] = quote
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit < 0x20 || unit > 0x7e || unit === quote || unit === backslash) {
        this.length = start + bytes.write(JSON.stringify(text), start, 'utf8')
        return
      }
      bytes[at++] = unit
    }
    bytes[at++] = quote
    this.length = at
  }

  number(value: number): void {
    assert(Number.isFinite(value), `${value} has no JSON`)
    if (value < 0) {
      this.byte(minus)
      this.#magnitude(-value)
    } else {
      this.#magnitude(value)
    }
  }

  /**
   * Up to two decimals go digit by digit: hundredths / 100 === value proves that the decimal, of at most 15 digits,
   * reads back as the value, and no two decimals of so few digits read back as the same double; so it is the shortest.
   */
  #magnitude(value: number): void {
    if (value < 1e6) {
      const hundredths = Math.round(value * 100)
      if (hundredths / 100 === value) {
        const whole = Math.floor(hundredths / 100)
        this.#whole(whole)
        const rest = hundredths - whole * 100
        if (rest === 0) return
        const last = rest % 10
        this.byte(dot)
        this.byte(digit0 + (rest - last) / 10)
        if (last !== 0) this.byte(digit0 + last)
        return
      }
    } else if (value < 2 ** 31 && value === (value | 0)) {
      this.#whole(value)
      return
    }
    // A decision holds its score up to three times: the text of the last long number is kept.
    if (value !== this.#lastLong) {
      this.#lastLong = value
      this.#lastLongText = String(value)
    }
    const text = this.#lastLongText
    for (let i = 0; i < text.length; i++) this.bytes[this.length + i] = text.charCodeAt(i)
    this.length += text.length
  }

  /** @param value a whole number, 0 to 2^31 - 1 */
  #whole(value: number): void {
    let digits = 1
    for (let limit = 10; limit <= value; limit *= 10) digits++
    let rest = value | 0
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const next = (rest / 10) | 0
      this.bytes[at] = digit0 + rest - next * 10
      rest = next
    }
    this.length += digits
  }

  /** `"YYYY-MM-DDThh:mm:ss.sssZ"`; the date is made once for each run of times of one day. */
  time(at: EventTimeMs): void {
    const day = Math.floor(at / dayMs)
    if (day !== this.#day) {
      const text = formatEventTime(eventTime(day * dayMs))
      this.#dayText = fragment(`"${text.slice(0, text.indexOf('T') + 1)}`)
      this.#day = day
    }
    this.raw(this.#dayText)
    const ms = at - day * dayMs
    const second = (ms / 1000) | 0
    const minute = (second / 60) | 0
    const hour = (minute / 60) | 0
    const { bytes, length } = this
    twoDigits(bytes, length, hour)
    bytes[length + 2] = 0x3a
    twoDigits(bytes, length + 3, minute - hour * 60)
    bytes[length + 5] = 0x3a
    twoDigits(bytes, length + 6, second - minute * 60)
    bytes[length + 8] = dot
    const millisecond = ms - second * 1000
    const hundreds = (millisecond / 100) | 0
    bytes[length + 9] = digit0 + hundreds
    twoDigits(bytes, length + 10, millisecond - hundreds * 100)
    bytes[length + 12] = 0x5a
    bytes[length + 13] = quote
    this.length = length + 14
  }
}

function twoDigits(bytes: Buffer, at: number, value: number): void {
  const tens = (value / 10) | 0
  bytes[at] = digit0 + tens
  bytes[at + 1] = digit0 + value - tens * 10
}

/**
 * Parsers of single values, over bytes. All are exact, allocate nothing, and answer a negative number for what they refuse.
 * The byte range lies within `bytes`; callers pass UTF-8 or ASCII.
 */

const ZERO = 48
const DOT = 46
const DASH = 45
const PLUS = 43
const COLON = 58

/** Amounts go from 0 to this many minor units. */
export const amountMinorMax = 1_000_000_000_000_000
/** Event times of files are before the year 2100. */
export const eventTimeMsMax = 4_102_444_800_000 - 1

export const notANumber = -1
export const tooManyDecimals = -2
export const outOfRange = -3

/**
 * A plain decimal as minor units: digits, and after a dot at least one and at most `decimals` more. No sign, no exponent.
 * Integer arithmetic only: the text never becomes a floating-point fraction.
 * @returns 0..10^15, or notANumber, tooManyDecimals, outOfRange
 */
export function parseAmount(bytes: Uint8Array, from: number, to: number, decimals: number): number {
  let value = 0
  let at = from
  for (; at < to; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
    if (value > amountMinorMax) return restIsDecimal(bytes, at + 1, to) ? outOfRange : notANumber
  }
  if (at === from) return notANumber
  let left = decimals
  if (at < to) {
    if (bytes[at] !== DOT || at + 1 === to) return notANumber
    for (at++; at < to; at++) {
      const digit = bytes[at]! - ZERO
      if (digit < 0 || digit > 9) return notANumber
      if (left > 0) value = value * 10 + digit
      left--
    }
    if (left < 0) return tooManyDecimals
  }
  for (; left > 0; left--) value *= 10
  return value > amountMinorMax ? outOfRange : value
}

function restIsDecimal(bytes: Uint8Array, from: number, to: number): boolean {
  let dots = 0
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    if (byte === DOT) dots++
    else if (byte < ZERO || byte > ZERO + 9) return false
  }
  return dots <= 1
}

/** A non-negative whole number of plain digits up to `max` (at most 2^53 - 1), or notANumber, outOfRange. */
export function parseWhole(bytes: Uint8Array, from: number, to: number, max: number): number {
  if (from === to) return notANumber
  let value = 0
  let over = false
  for (let at = from; at < to; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) return notANumber
    if (!over) value = value * 10 + digit
    if (value > max) over = true
  }
  return over ? outOfRange : value
}

/** Two digits as a number; -1 when they are not digits. */
function pair(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - ZERO
  const ones = bytes[at + 1]! - ZERO
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function dayMs(year: number, month: number, day: number): number {
  if (year < 1970 || year > 2099 || month < 1 || month > 12 || day < 1) return -1
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  if (day > monthDays[month - 1]! + (month === 2 && leap ? 1 : 0)) return -1
  return Date.UTC(year, month - 1, day)
}

const T = 84
const SPACE = 32
const Z = 90

/** Parses times; keeps the last day it met, because the next record is nearly always of the same. */
export class TimeParser {
  #day = -1
  #dayMs = -1

  /** `YYYY-MM-DD` as ms since the epoch; -1 unless it is a real date of 1970..2099. At least 10 bytes must be there. */
  #date(bytes: Uint8Array, at: number): number {
    const century = pair(bytes, at)
    const year = pair(bytes, at + 2)
    const month = pair(bytes, at + 5)
    const day = pair(bytes, at + 8)
    if (bytes[at + 4] !== DASH || bytes[at + 7] !== DASH || (century | year | month | day) < 0) return -1
    const key = ((century * 100 + year) * 100 + month) * 100 + day
    if (key !== this.#day) {
      this.#dayMs = dayMs(century * 100 + year, month, day)
      this.#day = key
    }
    return this.#dayMs
  }

  /** `YYYY-MM-DDxhh:mm:ss` where the separator is not looked at; 19 bytes must be there. */
  #dateTime(bytes: Uint8Array, at: number): number {
    const ms = this.#date(bytes, at)
    const hour = pair(bytes, at + 11)
    const minute = pair(bytes, at + 14)
    const second = pair(bytes, at + 17)
    if (bytes[at + 13] !== COLON || bytes[at + 16] !== COLON || (hour | minute | second) < 0 || ms < 0) return -1
    if (hour > 23 || minute > 59 || second > 59) return -1
    return ms + ((hour * 60 + minute) * 60 + second) * 1000
  }

  /** `YYYY-MM-DD[T ]hh:mm:ss[Z]` in UTC as ms since the epoch; -1 when it is anything else. */
  handbook(bytes: Uint8Array, from: number, to: number): number {
    const length = to - from
    if (length !== 19 && (length !== 20 || bytes[from + 19] !== Z)) return -1
    const separator = bytes[from + 10]
    if (separator !== T && separator !== SPACE) return -1
    return this.#dateTime(bytes, from)
  }

  /**
   * ISO 8601 with a zone: `YYYY-MM-DDThh:mm:ss[.fraction](Z|+hh:mm|+hhmm|+hh)`, the fraction 1 to 9 digits, cut to ms.
   * @returns ms since the epoch, 1970 to 2099; -1 when it is anything else
   */
  iso(bytes: Uint8Array, from: number, to: number): number {
    if (to - from < 20 || bytes[from + 10] !== T) return -1
    let ms = this.#dateTime(bytes, from)
    if (ms < 0) return -1
    let at = from + 19
    if (bytes[at] === DOT) {
      const first = ++at
      let scale = 100
      for (; at < to; at++) {
        const digit = bytes[at]! - ZERO
        if (digit < 0 || digit > 9) break
        ms += digit * scale
        scale = scale >= 10 ? scale / 10 : 0
      }
      if (at === first || at - first > 9) return -1
    }
    const zone = bytes[at++]
    if (zone === Z) return at === to ? ms : -1
    if (zone !== PLUS && zone !== DASH) return -1
    const rest = to - at
    const hour = rest >= 2 ? pair(bytes, at) : -1
    let minute = 0
    if (rest === 5 && bytes[at + 2] === COLON) minute = pair(bytes, at + 3)
    else if (rest === 4) minute = pair(bytes, at + 2)
    else if (rest !== 2) return -1
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return -1
    const shift = (hour * 60 + minute) * 60_000
    ms = zone === PLUS ? ms - shift : ms + shift
    return ms < 0 || ms > eventTimeMsMax ? -1 : ms
  }
}

/** Identifiers are 1 to 64 characters (code points). */
export const idCharactersMax = 64

/** What is wrong with an identifier, as the end of a sentence that begins with its name; undefined when nothing is. */
export function idProblem(id: string): string | undefined {
  let characters = 0
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)) return 'holds a control character'
    // the second half of a pair belongs to the character that its first half began
    if (unit < 0xdc00 || unit > 0xdfff) characters++
    if (characters > idCharactersMax) return `is longer than ${idCharactersMax} characters`
  }
  return characters === 0 ? 'is empty' : undefined
}

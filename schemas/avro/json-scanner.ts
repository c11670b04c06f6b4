/**
 * A strict scanner of JSON (RFC 8259) over bytes, which keeps what JSON.parse throws away: the text of numbers beyond
 * 2^53 and of `1.0`, and names that stand twice. It builds nothing; callers take the spans that they want.
 *
 * Invariants: 1. never reads at or past `end`; 2. nesting is bounded by `jsonDepthMax`; 3. every method that scans takes
 * the place where its value begins and returns the place after it, or -1 when the bytes are not JSON.
 */

/** How deep objects and arrays may lie in each other. */
export const jsonDepthMax = 32

const QUOTE = 34
const BACKSLASH = 92
const MINUS = 45
const ZERO = 48

export class JsonScanner {
  #bytes: Buffer = Buffer.alloc(0)
  #end = 0
  /** The string scanned last has no escape and is ASCII: its bytes are its characters. */
  plain = true
  /** Bytes of 0x80 and above were met; whether they are UTF-8 is not checked here. */
  nonAscii = false

  reset(bytes: Buffer, end: number): void {
    this.#bytes = bytes
    this.#end = end
    this.nonAscii = false
  }

  byte(at: number): number {
    return at < this.#end ? this.#bytes[at]! : -1
  }

  space(from: number): number {
    let at = from
    for (; at < this.#end; at++) {
      const byte = this.#bytes[at]
      if (byte !== 32 && byte !== 9 && byte !== 10 && byte !== 13) break
    }
    return at
  }

  /** @param from at the opening quote */
  string(from: number): number {
    const bytes = this.#bytes
    const end = this.#end
    this.plain = true
    for (let at = from + 1; at < end; at++) {
      const byte = bytes[at]!
      if (byte === QUOTE) return at + 1
      if (byte < 32) return -1
      if (byte === BACKSLASH) {
        this.plain = false
        at++
        const escaped = this.byte(at)
        if (escaped === 117) {
          for (let i = 1; i <= 4; i++) if (!isHex(this.byte(at + i))) return -1
          at += 4
        } else if (!isEscape(escaped)) return -1
      } else if (byte >= 128) {
        this.plain = false
        this.nonAscii = true
      }
    }
    return -1
  }

  number(from: number): number {
    let at = from
    if (this.byte(at) === MINUS) at++
    const whole = this.#digits(at)
    if (whole === at || (this.byte(at) === ZERO && whole > at + 1)) return -1
    at = whole
    if (this.byte(at) === 46) {
      const fraction = this.#digits(at + 1)
      if (fraction === at + 1) return -1
      at = fraction
    }
    if ((this.byte(at) | 32) === 101) {
      at++
      if (this.byte(at) === 43 || this.byte(at) === MINUS) at++
      const exponent = this.#digits(at)
      if (exponent === at) return -1
      at = exponent
    }
    return at
  }

  /** Any value. */
  value(from: number, depth = 0): number {
    switch (this.byte(from)) {
      case QUOTE:
        return this.string(from)
      case 123:
        return this.#members(from, depth, true)
      case 91:
        return this.#members(from, depth, false)
      case 116:
        return this.#literal(from, 'true')
      case 102:
        return this.#literal(from, 'false')
      case 110:
        return this.#literal(from, 'null')
      default:
        return this.number(from)
    }
  }

  /** An object or an array; duplicate names inside are not looked for. */
  #members(from: number, depth: number, named: boolean): number {
    if (depth >= jsonDepthMax) return -1
    const close = named ? 125 : 93
    let at = this.space(from + 1)
    if (this.byte(at) === close) return at + 1
    for (;;) {
      if (named) {
        if (this.byte(at) !== QUOTE) return -1
        at = this.string(at)
        if (at < 0) return -1
        at = this.space(at)
        if (this.byte(at) !== 58) return -1
        at = this.space(at + 1)
      }
      at = this.value(at, depth + 1)
      if (at < 0) return -1
      at = this.space(at)
      if (this.byte(at) === close) return at + 1
      if (this.byte(at) !== 44) return -1
      at = this.space(at + 1)
    }
  }

  #digits(from: number): number {
    let at = from
    for (; at < this.#end; at++) {
      const digit = this.#bytes[at]! - ZERO
      if (digit < 0 || digit > 9) break
    }
    return at
  }

  #literal(from: number, word: string): number {
    for (let i = 0; i < word.length; i++) if (this.byte(from + i) !== word.charCodeAt(i)) return -1
    return from + word.length
  }
}

function isHex(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || ((byte | 32) >= 97 && (byte | 32) <= 102)
}

function isEscape(byte: number): boolean {
  // " \ / b f n r t
  return (
    byte === QUOTE ||
    byte === BACKSLASH ||
    byte === 47 ||
    byte === 98 ||
    byte === 102 ||
    byte === 110 ||
    byte === 114 ||
    byte === 116
  )
}

/** A copy of the string between two quotes, `from` and `to` without them. */
export function jsonString(bytes: Buffer, from: number, to: number, plain: boolean): string {
  if (plain) return bytes.toString('latin1', from, to)
  const text = bytes.toString('utf8', from, to)
  return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text
}

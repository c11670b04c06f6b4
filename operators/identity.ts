/**
 * 64-bit identities of strings without allocation: two 32-bit lanes of MurmurHash3's mixing over UTF-16 code units.
 *
 * Invariant: part of stored state (reservoir identities, dedupe buckets and fingerprints): changing a bit of the result
 * means a new version of those formats.
 */
const LANE_A1 = 0xcc9e2d51
const LANE_A2 = 0x1b873593
const LANE_B1 = 0x239b961b
const LANE_B2 = 0xab0e9789

export class Hash64 {
  /** Both lanes as signed 32-bit integers; read them after the last `add`. */
  low = 0
  high = 0

  reset(): this {
    this.low = 0x2f0b4c47
    this.high = 0x5bd1e995
    return this
  }

  /** Adds one part; its length is mixed in, so that ('ab', 'c') differs from ('a', 'bc'). */
  add(part: string): this {
    let a = this.low
    let b = this.high
    const length = part.length
    for (let i = 0; i < length; i += 2) {
      const k = i + 1 < length ? part.charCodeAt(i) | (part.charCodeAt(i + 1) << 16) : part.charCodeAt(i)
      const ka = Math.imul(k, LANE_A1)
      a ^= Math.imul((ka << 15) | (ka >>> 17), LANE_A2)
      a = (Math.imul((a << 13) | (a >>> 19), 5) + 0xe6546b64) | 0
      const kb = Math.imul(k, LANE_B1)
      b ^= Math.imul((kb << 16) | (kb >>> 16), LANE_B2)
      b = (Math.imul((b << 17) | (b >>> 15), 5) + 0x0bcaa747) | 0
    }
    this.low = finish(a ^ length)
    this.high = finish(b ^ Math.imul(length, LANE_A1) ^ this.low)
    return this
  }

  /** Adds a whole number of at most 2^53 by its two halves. */
  addInteger(value: number): this {
    const upper = Math.floor(value / 4294967296)
    this.low = finish(this.low ^ Math.imul(value | 0, LANE_A1))
    this.low = finish(this.low ^ Math.imul(upper | 0, LANE_A2))
    this.high = finish(this.high ^ Math.imul(value | 0, LANE_B1))
    this.high = finish(this.high ^ Math.imul(upper | 0, LANE_B2) ^ this.low)
    return this
  }
}

/** MurmurHash3's finaliser: every bit of the input reaches every bit of the result. */
function finish(value: number): number {
  let h = value
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  h ^= h >>> 16
  return h | 0
}

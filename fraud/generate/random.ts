/**
 * The simulator's randomness: xoshiro128** (Blackman and Vigna, 2018; public domain), seeded through a 32-bit mixer.
 *
 * Invariants:
 * 1. The same key gives the same numbers on every platform: only 32-bit integer arithmetic and exactly rounded + - * /.
 *    Math.log, sin, cos and exp may differ in the last bit between engines and CPUs, so Box-Muller is out.
 * 2. A stream is named by (seed, purpose, a, b), never by how much was drawn before: one customer's day does not
 *    depend on another's, so any day can be made without the days before it.
 */

/** What a stream is for; part of its name, so that no two uses share numbers. */
export const Purpose = {
  customer: 1,
  terminal: 2,
  customerDay: 3,
  compromisedTerminals: 4,
  compromisedCards: 5,
} as const
export type Purpose = (typeof Purpose)[keyof typeof Purpose]

const twoTo32 = 4_294_967_296
/** Irwin-Hall: twelve uniforms have variance 1, so the sum needs no scaling but the halves' width. */
const halvesMean = 12 * 32_767.5

export class Random {
  #a = 0
  #b = 0
  #c = 0
  #d = 1

  /** Rewinds to the start of the named stream. `seed` is an integer from 0 to 2^53 - 1; `a` and `b` are 32-bit. */
  restart(seed: number, purpose: Purpose, a: number, b: number): void {
    let h = mix(0x9e3779b9, seed | 0)
    h = mix(h, Math.floor(seed / twoTo32))
    h = mix(h, purpose)
    h = mix(h, a)
    h = mix(h, b)
    this.#a = mix(h, 1)
    this.#b = mix(h, 2)
    this.#c = mix(h, 3)
    // The all-zero state is the one that xoshiro cannot leave.
    this.#d = mix(h, 4) | 1
  }

  /** An integer from 0 to 2^32 - 1. */
  uint32(): number {
    const x = Math.imul(this.#b, 5)
    const result = Math.imul((x << 7) | (x >>> 25), 9)
    const t = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= t
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result >>> 0
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  unit(): number {
    return this.uint32() / twoTo32
  }

  /** An integer from 0 to `n` - 1, n at most 2^32; the bias is below n / 2^32. */
  below(n: number): number {
    return Math.floor((this.uint32() / twoTo32) * n)
  }

  /**
   * About normal with mean 0 and deviation 1: twelve 16-bit uniforms added as integers (Irwin-Hall), so exact everywhere.
   * Bounded by ±6; the tails are thinner than a Gaussian's beyond about 3, which no scenario rests on.
   */
  normal(): number {
    let sum = 0
    for (let i = 0; i < 6; i++) {
      const word = this.uint32()
      sum += (word & 0xffff) + (word >>> 16)
    }
    return (sum - halvesMean) / 65_536
  }

  /** Poisson by Knuth's product of uniforms, cut at `max`. @param expNegativeMean from `expNegative(mean)` */
  poisson(expNegativeMean: number, max: number): number {
    let product = this.unit()
    let n = 0
    while (product > expNegativeMean && n < max) {
      product *= this.unit()
      n++
    }
    return n
  }
}

/** e^-x for x in [0, 16], by the series of e^x: exactly rounded steps only, so the same bits everywhere (Math.exp is not). */
export function expNegative(x: number): number {
  let term = 1
  let sum = 1
  for (let k = 1; k <= 80; k++) {
    term = (term * x) / k
    sum += term
  }
  return 1 / sum
}

/** MurmurHash3's finaliser over a running key. */
function mix(h: number, word: number): number {
  let x = Math.imul(h ^ Math.imul(word | 0, 0xcc9e2d51), 0x1b873593) + 0x9e3779b9
  x ^= x >>> 16
  x = Math.imul(x, 0x85ebca6b)
  x ^= x >>> 13
  x = Math.imul(x, 0xc2b2ae35)
  return x ^ (x >>> 16)
}

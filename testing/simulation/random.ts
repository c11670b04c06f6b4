/**
 * A seed decides everything: one generator per concern, so that a change of one does not shift the draws of the others.
 * xorshift128 seeded by murmur2; no seed has a short period.
 */
import { murmur2 } from '../../kernel/index.js'

export class Random {
  readonly #seed: string
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: string) {
    this.#seed = seed
    const word = (salt: string): number => murmur2(Buffer.from(`${salt}:${seed}`)) | 1
    this.#a = word('a')
    this.#b = word('b')
    this.#c = word('c')
    this.#d = word('d')
    for (let i = 0; i < 8; i++) this.next()
  }

  /** An independent generator for one concern of the same seed. */
  fork(concern: string): Random {
    return new Random(`${this.#seed}/${concern}`)
  }

  /** 0 to 2^32 - 1 */
  next(): number {
    const t = this.#d
    const s = this.#a
    this.#d = this.#c
    this.#c = this.#b
    this.#b = s
    let x = t ^ (t << 11)
    x ^= x >>> 8
    this.#a = x ^ s ^ (s >>> 19)
    return this.#a >>> 0
  }

  /** 0 to n - 1 */
  below(n: number): number {
    return Math.floor((this.next() / 2 ** 32) * n)
  }

  /** min to max, both included */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1)
  }

  chance(probability: number): boolean {
    return this.next() / 2 ** 32 < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}

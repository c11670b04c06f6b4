/**
 * Gives one string for equal bytes as long as nothing pushes it out: customers and terminals come again and again, and a
 * string that exists costs neither a call into the runtime nor a new hash downstream.
 * Measured on the 60-day Handbook file: 0.27 us a line with it, 0.31 to 0.40 without.
 *
 * Invariant: direct-mapped with `entriesMax` places; a collision replaces.
 */
const entriesMax = 16_384

export class IdCache {
  readonly #strings = new Array<string>(entriesMax).fill('')

  /** @param hash of the bytes; equal bytes must come with equal hashes. The bytes must be ASCII. */
  get(bytes: Buffer, from: number, to: number, hash: number): string {
    const place = (hash ^ (hash >>> 14)) & (entriesMax - 1)
    const held = this.#strings[place]!
    const length = to - from
    if (held.length === length) {
      let i = 0
      while (i < length && held.charCodeAt(i) === bytes[from + i]) i++
      if (i === length) return held
    }
    const fresh = bytes.toString('latin1', from, to)
    this.#strings[place] = fresh
    return fresh
  }
}

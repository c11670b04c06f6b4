/**
 * The order and the identity of keys. A key is its UTF-8 bytes: that is what the partitioner hashes, what the backend
 * sorts by and what iteration shows (I3), so strings compare here as their bytes would.
 */

/** Order of two well-formed strings by their UTF-8 bytes, without encoding them. */
export function compareUtf8(a: string, b: string): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return x >= 0xd800 && y >= 0xd800 ? aboveSurrogates(x) - aboveSurrogates(y) : x - y
  }
  return a.length - b.length
}

/** UTF-16 puts code points from U+10000 (surrogates) below U+E000 to U+FFFF; UTF-8 puts them above. */
function aboveSurrogates(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

const anySurrogate = /[\ud800-\udfff]/

/** The string that its own UTF-8 bytes decode to: a lone surrogate becomes U+FFFD, as in every encoder on the way here. */
export function wellFormed(text: string): string {
  return anySurrogate.test(text) ? Buffer.from(text, 'utf8').toString('utf8') : text
}

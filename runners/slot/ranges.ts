/** Arithmetic on the input ranges of an epoch. */
import type { InputRange, PartitionOffset } from './journal.js'

/** The first half of every range, rounded up; of single records one less; undefined for a single record. */
function halved(ranges: readonly InputRange[]): readonly InputRange[] | undefined {
  const lengthOf = (range: InputRange): bigint => BigInt(range.to) - BigInt(range.from)
  if (ranges.every(range => lengthOf(range) < 2n)) return ranges.length > 1 ? ranges.slice(0, -1) : undefined
  return ranges.map(range => ({ ...range, to: String(BigInt(range.from) + (lengthOf(range) + 1n) / 2n) }))
}

export function lies(at: PartitionOffset, ranges: readonly InputRange[]): boolean {
  const offset = BigInt(at.offset)
  return ranges.some(
    ({ topic, partition, from, to }) =>
      topic === at.topic && partition === at.partition && BigInt(from) <= offset && offset < BigInt(to),
  )
}

/** The ranges, halved until at most `most` of the excluded records lie in them; undefined when they cannot be halved so far. */
export function shortened(
  ranges: readonly InputRange[],
  excluded: readonly PartitionOffset[],
  most: number,
): readonly InputRange[] | undefined {
  let shorter: readonly InputRange[] | undefined = ranges
  while (shorter !== undefined) {
    const within = shorter
    if (excluded.filter(at => lies(at, within)).length <= most) return within
    shorter = halved(within)
  }
  return undefined
}

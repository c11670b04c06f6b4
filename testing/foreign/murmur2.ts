/** murmur2 as Kafka's Java client has it, from its description and not from Weir: what the tests hold placements against. */

const multiplier = 0x5bd1e995n
const mask = 0xffffffffn

/** Partition of a key in a topic of so many partitions. */
export function murmur2Partition(key: string, partitions: number): number {
  const bytes = [...Buffer.from(key, 'utf8')].map(BigInt)
  let hash = (0x9747b28cn ^ BigInt(bytes.length)) & mask
  let i = 0
  for (; i + 4 <= bytes.length; i += 4) {
    let word = bytes[i]! | (bytes[i + 1]! << 8n) | (bytes[i + 2]! << 16n) | (bytes[i + 3]! << 24n)
    word = (word * multiplier) & mask
    word ^= word >> 24n
    hash = ((hash * multiplier) & mask) ^ ((word * multiplier) & mask)
  }
  if (i < bytes.length) {
    for (let rest = bytes.length - 1; rest >= i; rest--) hash ^= bytes[rest]! << BigInt(8 * (rest - i))
    hash = (hash * multiplier) & mask
  }
  hash ^= hash >> 13n
  hash = (hash * multiplier) & mask
  hash ^= hash >> 15n
  return Number(hash & 0x7fffffffn) % partitions
}

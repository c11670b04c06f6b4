/**
 * Hashes, each for one purpose: murmur2 places keys as Kafka's Java client does, CRC-32 finds torn and changed bytes,
 * SHA-256 chains the journal and names artefacts and decisions.
 */
import { createHash } from 'node:crypto'
import { crc32 as zlibCrc32 } from 'node:zlib'

const M = 0x5bd1e995
const R = 24

/** Kafka's murmur2 (org.apache.kafka.common.utils.Utils.murmur2) as a signed 32-bit integer. */
export function murmur2(data: Uint8Array): number {
  const length = data.length
  let h = 0x9747b28c ^ length
  const words = length >> 2
  for (let i = 0; i < words; i++) {
    const at = i << 2
    let k = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    k = Math.imul(k, M)
    k ^= k >>> R
    k = Math.imul(k, M)
    h = Math.imul(h, M) ^ k
  }
  const tail = length & ~3
  const left = length & 3
  if (left === 3) h ^= data[tail + 2]! << 16
  if (left >= 2) h ^= data[tail + 1]! << 8
  if (left >= 1) {
    h ^= data[tail]!
    h = Math.imul(h, M)
  }
  h ^= h >>> 13
  h = Math.imul(h, M)
  h ^= h >>> 15
  return h | 0
}

/** The hash that Kafka's default partitioner takes modulo the partition count: murmur2 with the sign bit cleared. */
export function positiveMurmur2(data: Uint8Array): number {
  return murmur2(data) & 0x7fffffff
}

/** CRC-32 (zlib's polynomial) of `data`, continuing from `seed`. */
export function crc32(data: Uint8Array, seed = 0): number {
  return zlibCrc32(data, seed)
}

/** SHA-256 as 64 lower-case hexadecimal digits. */
export function sha256Hex(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex')
}

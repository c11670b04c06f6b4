/**
 * A fixed piece of work, timed in the same run as what is measured: machines and their neighbours differ, the ratio to this
 * loop travels. It mixes what the engine does: integer hashing, a Map of strings, writes into a Buffer.
 */
import { murmur2 } from '../kernel/index.js'

const rounds = 400_000

/** Microseconds a round; a round hashes 16 bytes, counts in a map of 1,000 keys, writes a double. */
export function calibrate(): number {
  const bytes = Buffer.alloc(16)
  const into = Buffer.alloc(8 * 1_024)
  const counts = new Map<string, number>()
  const keys = Array.from({ length: 1_000 }, (_, i) => `key-${i}`)
  const start = performance.now()
  let hash = 0
  for (let i = 0; i < rounds; i++) {
    bytes.writeInt32LE(hash, (i & 3) * 4)
    hash = murmur2(bytes)
    const key = keys[(hash & 0x7fffffff) % 1_000]!
    counts.set(key, (counts.get(key) ?? 0) + 1)
    into.writeDoubleLE(hash, (i & 1_023) * 8)
  }
  return ((performance.now() - start) * 1_000) / rounds
}

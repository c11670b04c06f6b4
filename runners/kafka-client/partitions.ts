/** All partitions of a topic, from an end of it. */
import { positiveMurmur2 } from '../../kernel/index.js'
import type { Log, Position } from '../../log/index.js'

/** @throws WeirError UNKNOWN_TOPIC */
export async function positionsAt(log: Log, topic: string, end: 'earliest' | 'latest'): Promise<readonly Position[]> {
  const count = await log.partitionCount(topic)
  return Promise.all(
    Array.from({ length: count }, async (_, partition) => {
      const range = await log.range({ topic, partition })
      return { topic, partition, offset: range[end] }
    }),
  )
}

/** Where Kafka's own clients put a key. */
export const partitionOf = (key: Uint8Array, partitions: number): number => positiveMurmur2(key) % partitions

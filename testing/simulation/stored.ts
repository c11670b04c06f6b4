/** What lies in the log, record by record. */
import { millis } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { type MemoryDisk, MemoryLog } from '../../log/memory/index.js'

export interface Stored {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** @param from it has not been trimmed */
export async function readPartition(disk: MemoryDisk, topic: string, partition: number, from = 0): Promise<Stored[]> {
  const log = new MemoryLog(disk)
  const reader = await log.reader([{ topic, partition, offset: offset(from) }])
  const stored: Stored[] = []
  for (;;) {
    const batches = await reader.poll({ recordsMax: 4_096, bytesMax: 1 << 24, waitMsMax: millis(0) })
    if (batches.length === 0) break
    for (const {
      count,
      baseOffset,
      offsetDelta,
      bytes,
      keyStart,
      keyEnd,
      valueStart,
      valueEnd,
      timestampMs,
    } of batches) {
      const copy = (from: number, to: number): Buffer | null =>
        from < 0 ? null : Buffer.from(bytes.subarray(from, to))
      for (let i = 0; i < count; i++) {
        stored.push({
          offset: Number(baseOffset) + offsetDelta[i]!,
          timestampMs: timestampMs![i]!,
          key: copy(keyStart[i]!, keyEnd[i]!),
          value: copy(valueStart[i]!, valueEnd[i]!),
        })
      }
    }
  }
  await log.close()
  return stored
}

export async function readTopic(disk: MemoryDisk, topic: string): Promise<Stored[][]> {
  const partitions = disk.topics.partitions(topic).length
  return Promise.all(Array.from({ length: partitions }, (_, partition) => readPartition(disk, topic, partition)))
}

/**
 * What the log says after a run, read back record by record: inputs, outputs, and the journal, whose chain is verified
 * here by code of its own. Every input record lies in exactly one journaled range.
 */
import { createHash } from 'node:crypto'
import { crc32, millis } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { type MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { type EpochRecord, type GenesisRecord, journalTopicOf, ownedPartitions } from '../../runners/slot/index.js'
import { Difference } from './difference.js'
import { app } from './topology.js'
import type { World } from './world.js'

export interface Stored {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** Input records of an epoch, in its order. */
export interface EpochSlice {
  readonly record: EpochRecord
  readonly inputs: readonly {
    readonly topic: string
    readonly partition: number
    readonly records: readonly Stored[]
  }[]
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

/** @throws Difference when the chain is broken, or when a record lies in no range or in two */
export async function readHistory({ disk, plan }: World, slot = 0): Promise<readonly EpochSlice[]> {
  const epochs = chained(await readPartition(disk, journalTopicOf(app), slot))
  const inputs = new Map<string, { readonly records: readonly Stored[]; next: number }>()
  for (const { topic, partition } of ownedPartitions(plan, slot, of => disk.topics.partitions(of).length)) {
    inputs.set(`${topic}/${partition}`, { records: await readPartition(disk, topic, partition), next: 0 })
  }
  const rankOf = (at: At): number => plan.sources.findIndex(source => source.topic === at.topic)
  const inEpochOrder = (a: At, b: At): number => rankOf(a) - rankOf(b) || a.partition - b.partition
  const slices = epochs.map(record => ({
    record,
    inputs: [...record.inputs].sort(inEpochOrder).map(range => {
      const of = inputs.get(`${range.topic}/${range.partition}`)
      if (of === undefined) throw new Difference(`epoch ${record.epoch} reads ${range.topic}/${range.partition}`)
      const records: Stored[] = []
      for (let at = of.records[of.next]; at !== undefined && at.offset < Number(range.to); at = of.records[of.next]) {
        if (at.offset < Number(range.from))
          throw new Difference(`no epoch has ${range.topic}/${range.partition}/${at.offset}`)
        records.push(at)
        of.next++
      }
      if (checksum(records) !== range.crc32) throw new Difference(`epoch ${record.epoch}: CRC of ${range.topic}`)
      return { topic: range.topic, partition: range.partition, records }
    }),
  }))
  for (const [name, { records, next }] of inputs) {
    if (next < records.length) throw new Difference(`no epoch has ${name}/${records[next]!.offset}`)
  }
  return slices
}

/** Where the journal has moved the clock of expiry, ms; -Infinity while it has not. */
export async function expiryClockOf(disk: MemoryDisk, slot: number): Promise<number> {
  const epochs = chained(await readPartition(disk, journalTopicOf(app), slot))
  return Math.max(Number.NEGATIVE_INFINITY, ...epochs.map(epoch => epoch.expiry_ms ?? Number.NEGATIVE_INFINITY))
}

/** Whether a state that reflects the record at this offset of the journal can be gone on from: nothing it needs is trimmed. */
export async function isReachable(disk: MemoryDisk, slot: number, journalOffset: number): Promise<boolean> {
  const journal = { topic: journalTopicOf(app), partition: slot }
  if (disk.topics.range(journal).earliest > BigInt(journalOffset)) return false
  const [stored] = await readPartition(disk, journal.topic, slot, journalOffset)
  if (stored?.offset !== journalOffset) return false
  const record = JSON.parse(stored.value!.toString('utf8')) as GenesisRecord | EpochRecord
  const positions = record.kind === 'genesis' ? record.start : record.positions
  return positions.every(at => disk.topics.range(at).earliest <= BigInt(at.offset))
}

type At = { readonly topic: string; readonly partition: number }
/** Over the values back to back, then over their lengths (runners/slot/FORMAT.md). */
function checksum(records: readonly Stored[]): number {
  const lengths = Buffer.alloc(4 * records.length)
  records.forEach(({ value }, i) => {
    lengths.writeInt32LE(value === null ? -1 : value.length, 4 * i)
  })
  return crc32(Buffer.concat([...records.map(({ value }) => value ?? Buffer.alloc(0)), lengths]))
}

function chained(records: readonly Stored[]): EpochRecord[] {
  const epochs: EpochRecord[] = []
  let previous = ''
  records.forEach(({ value }, i) => {
    const record = JSON.parse(value!.toString('utf8')) as GenesisRecord | EpochRecord
    if ((record.kind === 'genesis') !== (i === 0)) throw new Difference(`journal record ${i} is ${record.kind}`)
    if (record.kind === 'epoch') {
      if (record.epoch !== i || record.previous !== previous) throw new Difference(`the journal's chain at ${i}`)
      if (record.generation < (epochs[epochs.length - 1]?.generation ?? 1)) throw new Difference(`generation at ${i}`)
      epochs.push(record)
    }
    previous = createHash('sha256').update(value!).digest('hex')
  })
  return epochs
}

/** Records as the tests of the Kafka log write and compare them. */
import { millis } from '../../kernel/index.js'
import { type Append, type Log, type LogReader, offset, type RecordBatch } from '../port.js'

/** One append of records without keys. */
export const append = (topic: string, partition: number, ...values: readonly string[]): Append => ({
  topic,
  partition,
  records: values.map(value => ({ key: null, value: Buffer.from(value) })),
})

export function* valuesOf(batches: readonly RecordBatch[]): Generator<string> {
  for (const { bytes, count, valueStart, valueEnd } of batches) {
    for (let i = 0; i < count; i++) yield bytes.toString('utf8', valueStart[i], valueEnd[i])
  }
}

export const limits = { recordsMax: 1_000, bytesMax: 1 << 20, waitMsMax: millis(250) }

/** Polls until the reader stands at `ends`, or has given up. */
export async function readTo(reader: LogReader, ends: ReadonlyMap<number, bigint>): Promise<string[]> {
  const values: string[] = []
  while (reader.positions().some(({ partition, offset: at }) => at < ends.get(partition)!)) {
    values.push(...valuesOf(await reader.poll(limits)))
  }
  return values
}

/** What is readable in the topic, or in one of its partitions. */
export async function valuesIn(log: Log, topic: string, only?: number): Promise<string[]> {
  const count = await log.partitionCount(topic)
  const partitions = only === undefined ? Array.from({ length: count }, (_, i) => i) : [only]
  const ranges = await Promise.all(partitions.map(partition => log.range({ topic, partition })))
  const reader = await log.reader(
    partitions.map((partition, i) => ({ topic, partition, offset: offset(ranges[i]!.earliest) })),
  )
  const values = await readTo(reader, new Map(partitions.map((partition, i) => [partition, ranges[i]!.latest])))
  await reader.close()
  return values
}

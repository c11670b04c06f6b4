/**
 * `npm run bench:kafka-log -- --brokers HOST:PORT`: the slot's data path against a running Kafka, without the engine.
 *
 *   --runs N        transactions for each size (default 400)
 *   --records N     records for the reader (default 600,000)
 *   --value N       bytes of a value (default 400)
 *
 * Transactions write their records to one partition and one record to another, as an epoch does with its journal.
 */
import { parseArgs } from 'node:util'
import { millis } from '../kernel/index.js'
import { type EncodedRecords, offset } from '../log/index.js'
import { KafkaLog } from '../log/kafka/index.js'

const { values } = parseArgs({
  options: {
    brokers: { type: 'string', default: '127.0.0.1:9092' },
    runs: { type: 'string', default: '400' },
    records: { type: 'string', default: '600000' },
    value: { type: 'string', default: '400' },
  },
})
const brokers = values.brokers.split(',')
const prefix = `bench-${process.pid}-${Date.now()}.`
const valueBytes = Number(values.value)

function records(count: number): EncodedRecords {
  const stride = valueBytes + 1
  const starts = Int32Array.from({ length: count }, (_, i) => i * stride)
  return {
    kind: 'encoded',
    count,
    bytes: Buffer.alloc(count * stride, 'x'),
    valueStart: starts,
    valueEnd: starts.map(start => start + valueBytes),
    keys: Array.from({ length: count }, (_, i) => `customer-${i}`),
  }
}

function percentile(sorted: readonly number[], share: number): string {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(2)
}

/** Microseconds of processor time since `before`, divided. */
function cpuUs(before: NodeJS.CpuUsage, by: number): string {
  const { user, system } = process.cpuUsage(before)
  return ((user + system) / by).toFixed(2)
}

async function transactions(how: 'auto' | 'v1', runs: number): Promise<void> {
  const log = await KafkaLog.open({ brokers, prefix: `${prefix}${how}.`, transactions: how })
  await log.createTopic('data', 1)
  await log.createTopic('journal', 1)
  const journal = { topic: 'journal', partition: 0, records: records(1) }
  for (const size of [1, 100, 1_000, 4_000]) {
    const committer = await log.committer('slot')
    const appends = [{ topic: 'data', partition: 0, records: records(size) }, journal]
    for (let i = 0; i < 50; i++) await committer.commit(appends)
    const times: number[] = []
    const before = process.cpuUsage()
    for (let i = 0; i < runs; i++) {
      const start = performance.now()
      await committer.commit(appends)
      times.push(performance.now() - start)
    }
    const cpu = cpuUs(before, runs)
    times.sort((a, b) => a - b)
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)]
    console.log(`transactions ${how}, ${size} records: p50 ${p50} ms, p99 ${p99} ms, cpu ${cpu} us each`)
    await committer.close()
  }
  await log.close()
}

async function reading(count: number): Promise<void> {
  const log = await KafkaLog.open({ brokers, prefix })
  await log.createTopic('read', 1)
  const batch = records(2_000)
  for (let written = 0; written < count; written += batch.count) {
    await log.append([{ topic: 'read', partition: 0, records: batch }])
  }
  for (let round = 0; round < 3; round++) {
    const reader = await log.reader([{ topic: 'read', partition: 0, offset: offset(0) }])
    const before = process.cpuUsage()
    const start = performance.now()
    let read = 0
    while (read < count) {
      const batches = await reader.poll({ recordsMax: 4_096, bytesMax: 8 << 20, waitMsMax: millis(1_000) })
      for (const { count: some } of batches) read += some
    }
    const us = ((performance.now() - start) * 1_000) / read
    console.log(
      `reading: ${us.toFixed(2)} us a record, cpu ${cpuUs(before, read)} us, ${(1 / us).toFixed(2)} million/s`,
    )
    await reader.close()
  }
  await log.close()
}

for (const how of ['auto', 'v1'] as const) await transactions(how, Number(values.runs))
await reading(Number(values.records))

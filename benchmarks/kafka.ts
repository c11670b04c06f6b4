/**
 * `npm run bench:kafka`: the fraud job on a real Kafka, from the producer's send to the arrival of the decision at a
 * read_committed reader.
 *
 *   npm run bench:kafka -- --seconds 15 --rates 2000,5000 --brokers 1 --partitions 4
 *
 * Open loop: records are due at even distances whatever became of those before, and a latency runs from that moment.
 * Broker, worker and this client share the machine; every block has its calibration loop beside it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { millis, positiveMurmur2 } from '../kernel/index.js'
import { type AppendRecord, offset } from '../log/index.js'
import { KafkaLog } from '../log/kafka/index.js'
import { topicSpecs } from '../runners/topics/index.js'
import { startKafka } from '../testing/services/index.js'
import { freePort, startWorker } from '../testing/weir-process/index.js'
import { calibrate } from './calibration.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string', default: '2000,5000' },
    brokers: { type: 'string', default: '1' },
    partitions: { type: 'string', default: '4' },
  },
})
const seconds = Number(values.seconds)
const partitions = Number(values.partitions)
const rates = values.rates.split(',').map(Number)

const sentAt = new Map<number, number>()
let latencies: number[] = []
let sent = 0

async function sendAt(log: KafkaLog, rate: number, forSeconds: number): Promise<void> {
  const startedAt = performance.now()
  const total = rate * forSeconds
  const sending = new Set<Promise<unknown>>()
  for (let done = 0; done < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) * rate) / 1_000))
    const byPartition = new Map<number, AppendRecord[]>()
    for (; done < due; done++) {
      const number = sent++
      const key = Buffer.from(`c-${(number * 7_919) % 5_000}`)
      const partition = positiveMurmur2(key) % partitions
      const value = JSON.stringify({
        transaction_id: `k-${number}`,
        event_time: Date.now(),
        customer_id: key.toString(),
        terminal_id: `t-${(number * 104_729) % 1_000}`,
        amount_minor: 100 + (number % 9_000),
        currency: 'EUR',
      })
      sentAt.set(number, startedAt + (done * 1_000) / rate)
      const records = byPartition.get(partition) ?? []
      records.push({ key, value: Buffer.from(value) })
      byPartition.set(partition, records)
    }
    for (const [partition, records] of byPartition) {
      const append = log.append([{ topic: 'transactions', partition, records }]).finally(() => sending.delete(append))
      sending.add(append)
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  await Promise.all(sending)
}

async function readDecisions(log: KafkaLog, signal: AbortSignal): Promise<void> {
  const from = Array.from({ length: partitions }, (_, partition) => ({
    topic: 'decisions',
    partition,
    offset: offset(0),
  }))
  const reader = await log.reader(from)
  while (!signal.aborted) {
    const batches = await reader.poll({ recordsMax: 10_000, bytesMax: 16 << 20, waitMsMax: millis(100) })
    const nowMs = performance.now()
    for (const { bytes, valueStart, valueEnd, count } of batches) {
      for (let i = 0; i < count; i++) {
        const text = bytes.toString('latin1', valueStart[i], Math.min(valueEnd[i]!, valueStart[i]! + 200))
        const number = Number(/"transaction_id":"k-(\d+)"/.exec(text)?.[1])
        const at = sentAt.get(number)
        if (at === undefined) throw new Error(`a decision for k-${number}, which nobody sent or which came twice`)
        sentAt.delete(number)
        latencies.push(nowMs - at)
      }
    }
  }
  await reader.close()
}

function quantile(q: number): string {
  latencies.sort((a, b) => a - b)
  return (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? Number.NaN).toFixed(1)
}

async function whenAllDecided(): Promise<void> {
  const until = performance.now() + 30_000
  while (sentAt.size > 0 && performance.now() < until) await new Promise(resolve => setTimeout(resolve, 10))
}

const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-kafka-'))
const kafka = await startKafka({ brokers: values.brokers === '3' ? 3 : 1 })
const log = await KafkaLog.open({ brokers: kafka.brokers })
const stop = new AbortController()
try {
  for (const { name, partitions: count, config } of topicSpecs({ app: 'fraud', partitions, slots: 1 })) {
    await log.createTopic(name, count, { config })
  }
  const worker = await startWorker(kafka.brokers, dataDir, await freePort())
  try {
    const reading = readDecisions(log, stop.signal)
    await sendAt(log, 1_000, 3)
    await whenAllDecided()
    for (const rate of rates) {
      latencies = []
      await sendAt(log, rate, seconds)
      await whenAllDecided()
      const missing = sentAt.size > 0 ? `  ${sentAt.size} without a decision` : ''
      process.stdout.write(
        `${String(rate).padStart(6)}/s  p50 ${quantile(0.5)}  p99 ${quantile(0.99)}  p99.9 ${quantile(0.999)}  max ${quantile(1)} ms${missing}  calibration ${calibrate().toFixed(3)} us\n`,
      )
    }
    stop.abort()
    await reading
  } finally {
    await worker.stop()
  }
} finally {
  await log.close()
  await kafka.stop()
  rmSync(dataDir, { recursive: true, force: true })
}

/**
 * `npm run bench:kafka`: the fraud job on a real Kafka, from the producer's send to the arrival of the decision at a
 * read_committed reader.
 *
 *   npm run bench:kafka -- --seconds 15 --rates 2000,5000 --brokers 1 --partitions 4 --linger 5 --takeovers 3
 *
 * A takeover: the worker that runs the slot is killed with -9 under 500 a second, while another one waits in the group.
 *
 * Open loop: records are due at even distances whatever became of those before, and a latency runs from that moment. The
 * producer sends every `--linger` ms, 5 as in Kafka's own clients since 4.0: a broker on the same two cores feels each request.
 * Broker, worker and this client share the machine; every block has its calibration loop beside it. The broker runs with the
 * heap and the collector that Kafka's own start script gives it, and is warm when the measuring begins.
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
import { freePort, startWorker, type WeirProcess } from '../testing/weir-process/index.js'
import { calibrate } from './calibration.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string', default: '2000,5000' },
    brokers: { type: 'string', default: '1' },
    partitions: { type: 'string', default: '4' },
    takeovers: { type: 'string', default: '0' },
    linger: { type: 'string', default: '5' },
  },
})
const seconds = Number(values.seconds)
const partitions = Number(values.partitions)
const lingerMs = Number(values.linger)
const rates = values.rates.split(',').map(Number)

const sentAt = new Map<number, number>()
let latencies: number[] = []
let lastDecisionAt = 0
let sent = 0

async function sendAt(log: KafkaLog, rate: number, forSeconds: number): Promise<void> {
  const startedAt = performance.now()
  const total = rate * forSeconds
  const sending = new Set<Promise<unknown>>()
  for (let done = 0; done < total; ) {
    const due = Math.min(total, 1 + Math.floor(((performance.now() - startedAt) * rate) / 1_000))
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
    await new Promise(resolve => setTimeout(resolve, lingerMs))
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
    if (batches.length > 0) lastDecisionAt = nowMs
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

interface Timed {
  readonly msg: string
  readonly time: string
}

/** Milliseconds from `at` until the worker logged a line that begins so; NaN when it did not. */
function loggedAfter(worker: WeirProcess, begins: string, at: number): string {
  const lines = worker
    .stderr()
    .split('\n')
    .filter(line => line.startsWith('{'))
  const found = lines.map(line => JSON.parse(line) as Timed).filter(({ msg }) => msg.startsWith(begins))
  const times = found.map(({ time }) => Date.parse(time) - at).filter(ms => ms >= 0)
  return (times[0] ?? Number.NaN).toFixed(0)
}

/** Kills whoever runs the slot; the other one takes over. @returns the two, the new owner first */
async function takeover(log: KafkaLog, owner: WeirProcess, other: WeirProcess): Promise<WeirProcess[]> {
  const sending = sendAt(log, 500, 25)
  await new Promise(resolve => setTimeout(resolve, 3_000))
  const before = performance.now()
  const beforeMs = Date.now()
  await owner.kill()
  // What the dead owner committed last arrives within a moment of its death.
  await new Promise(resolve => setTimeout(resolve, 500))
  const last = lastDecisionAt
  while (lastDecisionAt === last && performance.now() - before < 60_000)
    await new Promise(resolve => setTimeout(resolve, 5))
  const gap = lastDecisionAt - before
  await sending
  await whenAllDecided()
  process.stdout.write(
    `takeover: first decision ${gap.toFixed(0)} ms after kill -9: the group gave the slot away after ${loggedAfter(other, 'the group has', beforeMs)}, the log was fenced and read from ${loggedAfter(other, 'the slot goes', beforeMs)} on\n`,
  )
  const dir = mkdtempSync(join(tmpdir(), 'weir-bench-kafka-'))
  const again = await startWorker(kafka.brokers, dir, await freePort())
  return [other, again]
}

const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-kafka-'))
const kafka = await startKafka({ brokers: values.brokers === '3' ? 3 : 1, forMeasuring: true })
const log = await KafkaLog.open({ brokers: kafka.brokers })
const stop = new AbortController()
try {
  for (const { name, partitions: count, config } of topicSpecs({ app: 'fraud', partitions, slots: 1 })) {
    await log.createTopic(name, count, { config })
  }
  let workers = [await startWorker(kafka.brokers, dataDir, await freePort())]
  try {
    const reading = readDecisions(log, stop.signal)
    // Until the compilers of both, broker and worker, are done: a broker of a company has run for weeks.
    await sendAt(log, 3_000, 40)
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
    if (Number(values.takeovers) > 0) {
      workers.push(await startWorker(kafka.brokers, mkdtempSync(join(tmpdir(), 'weir-bench-kafka-')), await freePort()))
    }
    for (let i = 0; i < Number(values.takeovers); i++) workers = await takeover(log, workers[0]!, workers[1]!)
    stop.abort()
    await reading
  } finally {
    await Promise.all(workers.map(worker => worker.stop()))
  }
} finally {
  await log.close()
  await kafka.stop()
  rmSync(dataDir, { recursive: true, force: true })
}

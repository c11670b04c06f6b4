/**
 * `npm run bench:http`: decisions over HTTP at fixed rates, and what happens past capacity.
 *
 *   npm run bench:http -- --seconds 15 --rates 200,1000,3000
 *   npm run bench:http -- --kafka --rates 500      weir edge and weir worker over a broker of its own
 *   npm run bench:http -- --pin                    (Linux) Weir on core 1, the client on core 0: for what happens past capacity
 *
 * Open loop: requests are due at even distances, whatever became of those before, and a latency runs from that moment to the
 * answer (no coordinated omission). Capacity is found by autocannon; at a fixed rate it sends a second's requests in one
 * burst, which is another question. Client and server share the machine; every block has its calibration loop beside it.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { KafkaLog } from '../log/kafka/index.js'
import { topicSpecs } from '../runners/topics/index.js'
import { startKafka } from '../testing/services/index.js'
import { freePort, startEdge, startWeir, startWorker, type WeirProcess } from '../testing/weir-process/index.js'
import { calibrate } from './calibration.js'
import { type Block, openLoop } from './load.js'

interface CannonRequest {
  body: string
}

interface CannonOptions {
  readonly url: string
  readonly connections: number
  readonly duration: number
  readonly requests: readonly {
    readonly method: 'POST'
    readonly headers: Readonly<Record<string, string>>
    readonly setupRequest: (request: CannonRequest) => CannonRequest
  }[]
}

const autocannon = createRequire(import.meta.url)('autocannon') as (
  options: CannonOptions,
) => Promise<{ readonly duration: number; readonly '2xx': number }>

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string' },
    kafka: { type: 'boolean', default: false },
    pin: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
let sent = 0

function transaction(): string {
  const number = sent++
  return JSON.stringify({
    transaction_id: `b-${number}`,
    event_time: Date.now(),
    customer_id: `c-${(number * 7_919) % 5_000}`,
    terminal_id: `t-${(number * 104_729) % 1_000}`,
    amount_minor: 100 + (number % 9_000),
    currency: 'EUR',
  })
}

const pace = (url: string, rate: number): Promise<Block> =>
  openLoop({ url: `${url}/v1/decisions`, rate, seconds, body: transaction })

/** Decisions a second when every connection sends its next request as soon as it has its answer. */
async function capacity(url: string): Promise<number> {
  const setupRequest = (made: CannonRequest): CannonRequest => {
    made.body = transaction()
    return made
  }
  const requests = [{ method: 'POST' as const, headers: { 'content-type': 'application/json' }, setupRequest }]
  const result = await autocannon({ url: `${url}/v1/decisions`, connections: 128, duration: seconds, requests })
  return result['2xx'] / result.duration
}

function quantile(numbers: readonly number[], q: number): string {
  if (numbers.length === 0) return '–'
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!.toFixed(1)
}

function report(name: string, block: Block, calibrationUs: number): void {
  const { decided, refused, other, unsent, perSecond } = block
  const latencies = `p50 ${quantile(decided, 0.5)}  p99 ${quantile(decided, 0.99)}  p99.9 ${quantile(decided, 0.999)} ms`
  const rest = `${refused.length} refused (p99 ${quantile(refused, 0.99)} ms), ${other} other, ${unsent} unsent`
  process.stdout.write(
    `${name.padEnd(26)}${perSecond.toFixed(0).padStart(6)} decided/s  ${latencies}  ${rest}  calibration ${calibrationUs.toFixed(3)} us\n`,
  )
}

async function atRates(url: string, rates: string): Promise<void> {
  // Until the compiler is done with both sides.
  await pace(url, 1_000)
  for (const rate of rates.split(',').map(Number)) report(`at ${rate} a second`, await pace(url, rate), calibrate())
}

async function embedded(dataDir: string): Promise<void> {
  const weir = await startWeir(dataDir, await freePort())
  try {
    if (values.pin) {
      execFileSync('taskset', ['-acp', '1', String(weir.pid)])
      execFileSync('taskset', ['-acp', '0', String(process.pid)])
    }
    process.stdout.write(`ready ${weir.readyMs.toFixed(0)} ms after the start of the process\n`)
    await atRates(weir.url, values.rates ?? '200,1000,3000')
    const most = Math.round(await capacity(weir.url))
    process.stdout.write(`capacity ${most} a second\n`)
    report('at 80 % of that', await pace(weir.url, Math.round(most * 0.8)), calibrate())
    report('at three times that', await pace(weir.url, most * 3), calibrate())
  } finally {
    await weir.stop()
  }
}

/** Broker, worker, edge and client share the machine. */
async function overKafka(dataDir: string): Promise<void> {
  const kafka = await startKafka({ forMeasuring: true })
  const started: WeirProcess[] = []
  try {
    const log = await KafkaLog.open({ brokers: kafka.brokers })
    for (const { name, partitions, config } of topicSpecs({ app: 'fraud', partitions: 4, slots: 1 })) {
      await log.createTopic(name, partitions, { config })
    }
    await log.close()
    started.push(await startWorker(kafka.brokers, join(dataDir, 'worker'), await freePort()))
    const edge = await startEdge(kafka.brokers, join(dataDir, 'edge'), await freePort())
    started.push(edge)
    await atRates(edge.url, values.rates ?? '500')
  } finally {
    for (const weir of started.reverse()) await weir.stop()
    await kafka.stop()
  }
}

const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-http-'))
try {
  await (values.kafka ? overKafka(dataDir) : embedded(dataDir))
} finally {
  rmSync(dataDir, { recursive: true, force: true })
}

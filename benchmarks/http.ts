/**
 * `npm run bench:http`: decisions over HTTP at fixed rates, and what happens past capacity.
 *
 *   npm run bench:http -- --seconds 15 --rates 200,1000,3000
 *
 * Latencies are measured in this process, from the moment at which a request is due (corrected for coordinated omission by
 * autocannon) to its answer; client and server share the machine. Every block has its calibration loop beside it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort, startWeir } from '../testing/weir-process/index.js'
import { calibrate } from './calibration.js'

interface Request {
  body: string
}

interface Options {
  readonly url: string
  readonly connections: number
  readonly duration: number
  readonly overallRate?: number
  readonly requests: readonly {
    readonly method: 'POST'
    readonly headers: Readonly<Record<string, string>>
    readonly setupRequest: (request: Request) => Request
  }[]
}

interface Running extends Promise<{ readonly duration: number; readonly errors: number }> {
  on(event: 'response', listener: (client: unknown, status: number, bytes: number, ms: number) => void): void
}

const autocannon = createRequire(import.meta.url)('autocannon') as (options: Options) => Running

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string', default: '200,1000,3000' },
    connections: { type: 'string', default: '64' },
  },
})
const seconds = Number(values.seconds)
let sent = 0

function transaction(request: Request): Request {
  const number = sent++
  request.body = JSON.stringify({
    transaction_id: `b-${number}`,
    event_time: Date.now(),
    customer_id: `c-${(number * 7_919) % 5_000}`,
    terminal_id: `t-${(number * 104_729) % 1_000}`,
    amount_minor: 100 + (number % 9_000),
    currency: 'EUR',
  })
  return request
}

interface Block {
  readonly decided: readonly number[]
  readonly refused: readonly number[]
  readonly other: number
  readonly perSecond: number
}

async function drive(url: string, rate: number | undefined, connections: number): Promise<Block> {
  const decided: number[] = []
  const refused: number[] = []
  let other = 0
  const run = autocannon({
    url: `${url}/v1/decisions`,
    connections,
    duration: seconds,
    ...(rate !== undefined && { overallRate: rate }),
    requests: [{ method: 'POST', headers: { 'content-type': 'application/json' }, setupRequest: transaction }],
  })
  run.on('response', (_client, status, _bytes, ms) => {
    if (status === 200) decided.push(ms)
    else if (status === 429 || status === 503) refused.push(ms)
    else other++
  })
  const { duration, errors } = await run
  return { decided, refused, other: other + errors, perSecond: decided.length / duration }
}

function quantile(numbers: readonly number[], q: number): string {
  if (numbers.length === 0) return '–'
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!.toFixed(1)
}

function report(name: string, block: Block, calibrationUs: number): void {
  const { decided, refused, other, perSecond } = block
  const latencies = `p50 ${quantile(decided, 0.5)}  p99 ${quantile(decided, 0.99)}  p99.9 ${quantile(decided, 0.999)} ms`
  const rest = `${refused.length} refused (p99 ${quantile(refused, 0.99)} ms), ${other} other`
  process.stdout.write(
    `${name.padEnd(26)}${perSecond.toFixed(0).padStart(6)} decided/s  ${latencies}  ${rest}  calibration ${calibrationUs.toFixed(3)} us\n`,
  )
}

const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-http-'))
const weir = await startWeir(dataDir, await freePort())
try {
  process.stdout.write(`ready ${weir.readyMs.toFixed(0)} ms after the start of the process\n`)
  await drive(weir.url, 500, 16)
  for (const rate of values.rates.split(',').map(Number)) {
    report(`at ${rate} a second`, await drive(weir.url, rate, Number(values.connections)), calibrate())
  }
  const full = await drive(weir.url, undefined, 256)
  report('as fast as it goes', full, calibrate())
  report('at 80 % of that', await drive(weir.url, Math.round(full.perSecond * 0.8), 256), calibrate())
  report('at three times that', await drive(weir.url, Math.round(full.perSecond * 3), 3_000), calibrate())
} finally {
  await weir.stop()
  rmSync(dataDir, { recursive: true, force: true })
}

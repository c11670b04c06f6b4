/**
 * `npm run bench:kafka`: the fraud job on a real Kafka, from the producer's send to the arrival of the decision at a
 * read_committed reader.
 *
 *   npm run bench:kafka -- --seconds 15 --rates 2000,5000 --brokers 1 --partitions 4 --linger 5 --takeovers 3
 *   npm run bench:kafka -- --checkpoints 10s --rounds 5 --rates 2000
 *
 * With `--checkpoints` there are two deployments beside each other, one that makes checkpoints as often as that and one that makes
 * none, and blocks of load go to one and the other in turn: what disturbs the machine disturbs both.
 *
 * A takeover: the worker that runs the slot is killed with -9 under 500 a second, while another one waits in the group.
 *
 * Open loop: a latency runs from the moment that a record is due. The producer sends every `--linger` ms, 5 as in Kafka's own
 * clients since 4.0: a broker on the same two cores feels each request. Broker, worker and this client share the machine; every
 * block has its calibration loop beside it. The broker runs with the heap and the collector that Kafka's own start script gives
 * it, and is warm when the measuring begins.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { GuardedFolder, startKafka } from '../testing/services/index.js'
import { freePort, startWorker, type WeirProcess } from '../testing/weir-process/index.js'
import { calibrate } from './calibration.js'
import { logged, quantiles, Side, wait } from './kafka-side.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string', default: '2000,5000' },
    rounds: { type: 'string', default: '1' },
    brokers: { type: 'string', default: '1' },
    partitions: { type: 'string', default: '4' },
    customers: { type: 'string', default: '5000' },
    takeovers: { type: 'string', default: '0' },
    linger: { type: 'string', default: '5' },
    checkpoints: { type: 'string' },
  },
})
const seconds = Number(values.seconds)
const rates = values.rates.split(',').map(Number)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const folder = await GuardedFolder.create('weir-bench-kafka-')
const kafka = await startKafka({ brokers: values.brokers === '3' ? 3 : 1, forMeasuring: true })

interface Measured {
  readonly name: string
  readonly side: Side
  workers: WeirProcess[]
}

let directories = 0

async function worker(side: Side, flags: readonly string[] = []): Promise<WeirProcess> {
  const env = { WEIR_TOPIC_PREFIX: side.prefix }
  return await startWorker(kafka.brokers, join(folder.path, `data-${directories++}`), await freePort(), { env, flags })
}

async function measured(name: string, flags: readonly string[]): Promise<Measured> {
  const side = await Side.open({
    brokers: kafka.brokers,
    prefix: `${name}.`,
    partitions: Number(values.partitions),
    customers: Number(values.customers),
    lingerMs: Number(values.linger),
  })
  return { name, side, workers: [await worker(side, flags)] }
}

async function block({ name, side, workers: [first] }: Measured, rate: number): Promise<void> {
  side.latencies = []
  const sinceMs = Date.now()
  await side.sendAt(rate, seconds)
  await side.whenAllDecided()
  const missing = side.undecided > 0 ? `  ${side.undecided} without a decision` : ''
  const made = logged(first!.stderr(), sinceMs).filter(({ msg }) => msg === 'checkpoint').length
  const beside = values.checkpoints === undefined ? '' : `${name.padEnd(12)}${String(made).padStart(2)} made  `
  say(
    `${beside}${String(rate).padStart(6)}/s  ${quantiles(side.latencies)}${missing}  calibration ${calibrate().toFixed(3)} us`,
  )
}

/** Milliseconds from `at` until the worker logged a line that begins so; NaN when it did not. */
const loggedAfter = (of: WeirProcess, begins: string, at: number): string =>
  ((logged(of.stderr(), at).find(({ msg }) => msg.startsWith(begins))?.atMs ?? Number.NaN) - at).toFixed(0)

/** Kills whoever runs the slot; the other one takes over. */
async function takeover(of: Measured): Promise<void> {
  const { side } = of
  const [owner, other] = of.workers as [WeirProcess, WeirProcess]
  const sending = side.sendAt(500, 25)
  await wait(3_000)
  const before = performance.now()
  const beforeMs = Date.now()
  await owner.kill()
  // What the dead owner committed last arrives within a moment of its death.
  await wait(500)
  const gap = (await side.decisionAfter(side.lastDecisionAt, 60_000)) - before
  await sending
  await side.whenAllDecided()
  say(
    `takeover: first decision ${gap.toFixed(0)} ms after kill -9: the group gave the slot away after ${loggedAfter(other, 'the group has', beforeMs)}, the log was fenced and read from ${loggedAfter(other, 'the slot goes', beforeMs)} on`,
  )
  of.workers = [other, await worker(side)]
}

const all: Measured[] = []
try {
  all.push(await measured('plain', []))
  if (values.checkpoints !== undefined) {
    const store = join(folder.path, 'checkpoints')
    all.push(await measured('checkpoints', ['--checkpoints-store', store, '--checkpoints-every', values.checkpoints]))
  }
  for (const { side } of all) {
    // Until the compilers of both, broker and worker, are done (a broker of a company has run for weeks), and every customer has a state.
    await side.sendAt(3_000, 40)
    await side.whenAllDecided()
  }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const rate of rates) for (const each of all) await block(each, rate)
  }
  const [plain] = all
  if (plain !== undefined && Number(values.takeovers) > 0) {
    plain.workers.push(await worker(plain.side))
    for (let i = 0; i < Number(values.takeovers); i++) await takeover(plain)
  }
} finally {
  await Promise.all(all.flatMap(({ workers }) => workers.map(each => each.stop())))
  for (const { side } of all) await side.close()
  await kafka.stop()
  await folder.close()
}

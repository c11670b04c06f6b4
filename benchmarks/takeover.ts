/**
 * From kill -9 of a slot's owner to the next decision, under load:
 *
 *   npm run bench:takeover -- --standbys 1 --runs 5 --rate 500
 *
 * One broker, two workers. After each kill the worker is started again, and the next run waits until both are ready. With
 * `--signal SIGTERM`, the hand-over of a rolling restart: the longest time without a decision around it.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { millis } from '../kernel/index.js'
import { offset } from '../log/index.js'
import { KafkaLog } from '../log/kafka/index.js'
import { topicSpecs } from '../runners/topics/index.js'
import { Load } from '../testing/chaos/index.js'
import { startKafka } from '../testing/services/index.js'
import { freePort, startWorker, type WeirProcess } from '../testing/weir-process/index.js'

const { values } = parseArgs({
  options: {
    standbys: { type: 'string', default: '1' },
    runs: { type: 'string', default: '5' },
    rate: { type: 'string', default: '500' },
    signal: { type: 'string', default: 'SIGKILL' },
  },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const wait = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const dayMs = 86_400_000

interface Member {
  readonly dataDir: string
  readonly port: number
  process: WeirProcess
}

interface SlotState {
  readonly state: string
  readonly epoch: number
}

const stateOf = async ({ process: { url } }: Member): Promise<{ ready: boolean; slots: readonly SlotState[] }> =>
  (await (await fetch(`${url}/readyz`)).json()) as { ready: boolean; slots: readonly SlotState[] }

/** Lines of a worker's log since then, ms after it. */
function told({ process: worker }: Member, sinceMs: number): readonly string[] {
  return worker
    .stderr()
    .split('\n')
    .flatMap(line => {
      if (!line.startsWith('{')) return []
      const { time, msg, why, silent_ms } = JSON.parse(line) as Record<string, string | number>
      const ms = (typeof time === 'number' ? time : Date.parse(String(time))) - sinceMs
      return ms < 0
        ? []
        : [`${Math.round(ms)} ms ${msg}${why === undefined ? '' : ` (${why}, silent ${silent_ms} ms)`}`]
    })
}

const folder = mkdtempSync(join(tmpdir(), 'weir-takeover-'))
const kafka = await startKafka()
const log = await KafkaLog.open({ brokers: kafka.brokers })
const partitionCount = 4
for (const { name, partitions, config } of topicSpecs({ app: 'fraud', partitions: partitionCount, slots: 1 })) {
  await log.createTopic(name, partitions, { config })
}
const start = (dataDir: string, port: number): Promise<WeirProcess> =>
  startWorker(kafka.brokers, dataDir, port, {
    flags: [
      '--standbys',
      values.standbys,
      '--checkpoints-store',
      join(folder, 'checkpoints'),
      '--checkpoints-every',
      '20s',
    ],
  })
const members: Member[] = []
for (const name of ['a', 'b']) {
  const [dataDir, port] = [join(folder, name), await freePort()]
  members.push({ dataDir, port, process: await start(dataDir, port) })
}
const load = new Load({
  brokers: kafka.brokers,
  perSecond: Number(values.rate),
  customers: 2_000,
  terminals: 400,
  partitions: partitionCount,
  seed: 1,
  startMs: Date.now() - 40 * dayMs,
  eventMsPerSecond: (30 * dayMs) / 1_200,
})

let lastDecisionAtMs = 0
let longestGapMs = 0
let reading = true
const watching = (async () => {
  const ends = await Promise.all([0, 1, 2, 3].map(partition => log.range({ topic: 'decisions', partition })))
  const reader = await log.reader(
    ends.map(({ latest }, partition) => ({ topic: 'decisions', partition, offset: offset(latest) })),
  )
  while (reading) {
    const batches = await reader.poll({ recordsMax: 10_000, bytesMax: 1 << 24, waitMsMax: millis(100) })
    if (batches.length === 0) continue
    const nowMs = Date.now()
    longestGapMs = Math.max(longestGapMs, nowMs - lastDecisionAtMs)
    lastDecisionAtMs = nowMs
  }
  await reader.close()
})()

try {
  await load.start()
  const times: number[] = []
  for (let run = 0; run < Number(values.runs); ) {
    await wait(8_000)
    const states = await Promise.all(members.map(stateOf))
    const owner = members.findIndex((_, i) => states[i]!.slots.some(({ state }) => state === 'running'))
    const follows = states.some(({ slots }) => slots.some(({ state }) => state === 'following'))
    if (owner < 0 || states.some(({ ready }) => !ready) || (values.standbys === '1' && !follows)) continue
    run++
    const [killed, other] = [members[owner]!, members[1 - owner]!]
    const atMs = Date.now()
    longestGapMs = 0
    await (values.signal === 'SIGTERM' ? killed.process.stop() : killed.process.kill())
    // What was committed before it died may be read a little later.
    await wait(30)
    const seen = lastDecisionAtMs
    while (lastDecisionAtMs === seen) await wait(1)
    const firstMs = lastDecisionAtMs - atMs
    await wait(500)
    const tookMs = values.signal === 'SIGTERM' ? longestGapMs : firstMs
    times.push(tookMs)
    say(`run ${run}: ${tookMs} ms; the other worker: ${told(other, atMs).join('; ')}`)
    killed.process = await start(killed.dataDir, killed.port)
  }
  const sorted = times.sort((a, b) => a - b)
  say(
    `${values.signal}, standbys ${values.standbys}, ${values.rate}/s: least ${sorted[0]}, median ${sorted[sorted.length >> 1]}, most ${sorted.at(-1)} ms`,
  )
} finally {
  reading = false
  await load.stop()
  await watching
  await Promise.all(members.map(member => member.process.kill()))
  await log.close()
  await kafka.stop()
  rmSync(folder, { recursive: true, force: true })
}

/**
 * `npm run bench:recovery`: how long a slot takes to its next decision when its worker is killed with -9 under load, by what is
 * left to it, with state of some size on a real Kafka.
 *
 *   npm run bench:recovery -- --customers 250000 --per-customer 2 --rate 500 --rounds 3          # some 100 MB of state
 *   npm run bench:recovery -- --customers 2500000 --per-customer 2 --rate 500 --every 60s        # some 1 GB
 *
 * checkpoint: the data directory is lost, the newest checkpoint is restored, and what came after it is folded again
 * disk:       the data directory is there
 * journal:    the data directory is lost and there are no checkpoints: everything is read again
 *
 * The killed worker's successor is started at once and waits in the group for the dead one's session to end (10 s), as any member
 * would: that part is the group's and the same for all. What comes after it is the recovery.
 */
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { GuardedFolder, startKafka } from '../testing/services/index.js'
import { freePort, startWorker, type WeirProcess } from '../testing/weir-process/index.js'
import { logged, Side, wait } from './kafka-side.js'

const { values } = parseArgs({
  options: {
    customers: { type: 'string', default: '20000' },
    'per-customer': { type: 'string', default: '2' },
    rate: { type: 'string', default: '500' },
    rounds: { type: 'string', default: '1' },
    every: { type: 'string', default: '10s' },
    ways: { type: 'string', default: 'checkpoint,disk,journal' },
    partitions: { type: 'string', default: '4' },
    'memory-budget': { type: 'string', default: '1g' },
  },
})
const rate = Number(values.rate)
const decisionMsMax = 3_600_000
const checkpointMsMax = 600_000
/** Beyond the newest checkpoint, so that there is something to fold again. */
const loadBeforeKillMs = 5_000

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const ways = values.ways.split(',')
for (const way of ways) if (!['checkpoint', 'disk', 'journal'].includes(way)) throw new Error(`no way '${way}'`)

const folder = await GuardedFolder.create('weir-bench-recovery-')
const kafka = await startKafka({ forMeasuring: true })
const dataDir = join(folder.path, 'data')
const checkpoints = join(folder.path, 'checkpoints')
const side = await Side.open({
  brokers: kafka.brokers,
  prefix: '',
  partitions: Number(values.partitions),
  customers: Number(values.customers),
  lingerMs: 5,
})

async function start(makesCheckpoints: boolean): Promise<WeirProcess> {
  // The journal is kept whole: reading everything again is one of the ways.
  const flags = [
    '--checkpoints-store',
    checkpoints,
    '--checkpoints-every',
    values.every,
    '--checkpoints-journal',
    'keep',
  ]
  const all = ['--memory-budget', values['memory-budget'], ...(makesCheckpoints ? flags : [])]
  return await startWorker(kafka.brokers, dataDir, await freePort(), { flags: all })
}

function bytesBelow(path: string): number {
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}

const megabytes = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MB`

async function metric(of: WeirProcess, name: string): Promise<number | undefined> {
  const text = await (await fetch(`${of.url}/metrics`)).text()
  const found = new RegExp(`^${name}\\{slot="0"\\} (\\S+)$`, 'm').exec(text)
  return found?.[1] === undefined ? undefined : Number(found[1])
}

/** Until there is a checkpoint of what is decided now; needs load, for only write-backs begin one. */
async function checkpointed(of: WeirProcess): Promise<void> {
  const epoch = (await metric(of, 'weir_slot_epoch')) ?? 0
  const until = performance.now() + checkpointMsMax
  while (((await metric(of, 'weir_checkpoint_epoch')) ?? 0) < epoch) {
    if (performance.now() > until) throw new Error(`no checkpoint of epoch ${epoch}: ${of.stderr()}`)
    await wait(200)
  }
}

/** Load goes on until `work` is done. */
async function underLoad<T>(work: () => Promise<T>): Promise<T> {
  let done = false
  const loading = (async () => {
    while (!done) await side.sendAt(rate, 1)
  })()
  try {
    return await work()
  } finally {
    done = true
    await loading
  }
}

async function recovery(way: string, owner: WeirProcess): Promise<WeirProcess> {
  return await underLoad(async () => {
    await wait(loadBeforeKillMs)
    const killedMs = Date.now()
    await owner.kill()
    if (way !== 'disk') rmSync(dataDir, { recursive: true })
    // What the dead owner committed last arrives within a moment of its death.
    await wait(500)
    const moment = side.lastDecisionAt
    const startedAt = performance.now() - (Date.now() - killedMs)
    const starting = start(way === 'checkpoint' || way === 'disk')
    const firstMs = (await side.decisionAfter(moment, decisionMsMax)) - startedAt
    const next = await starting
    // What came later than that is another story.
    const lines = logged(next.stderr(), killedMs).filter(({ atMs }) => atMs <= killedMs + firstMs)
    const at = (begins: string): number | undefined => lines.findLast(({ msg }) => msg.startsWith(begins))?.atMs
    const [assigned, fenced, restored, folded] = [
      at('the group has'),
      at('the slot goes'),
      at('state restored'),
      at('state is up to date'),
    ]
    const between = (from: number | undefined, to: number | undefined): string =>
      from === undefined || to === undefined ? '-' : `${Math.max(0, to - from)}`
    say(
      `${way.padEnd(11)} first decision after ${firstMs.toFixed(0).padStart(6)} ms: to the group's answer ${between(killedMs, assigned)}, to the fencing ${between(assigned, fenced)}, restore ${between(fenced, restored)}, fold ${between(restored ?? fenced, folded)}, to the decision ${between(folded ?? restored ?? fenced, killedMs + Math.round(firstMs))}; after the group's answer ${between(assigned, killedMs + Math.round(firstMs))}`,
    )
    return next
  })
}

let worker: WeirProcess | undefined
try {
  worker = await start(true)
  const transactions = Number(values.customers) * Number(values['per-customer'])
  const startedAt = performance.now()
  await side.fill(transactions)
  const took = (performance.now() - startedAt) / 1_000
  if (side.undecided > 0) throw new Error(`${side.undecided} without a decision: ${worker.stderr()}`)
  say(`${transactions} transactions of ${values.customers} customers decided in ${took.toFixed(0)} s`)
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const way of ways) {
      const owner = worker
      await underLoad(() => checkpointed(owner))
      const restore = (await metric(owner, 'weir_checkpoint_restore_bytes')) ?? 0
      say(`state on disk ${megabytes(bytesBelow(join(dataDir, 'slot-0')))}, a restore reads ${megabytes(restore)}`)
      worker = await recovery(way, owner)
      await side.whenAllDecided(120_000)
      if (side.undecided > 0) throw new Error(`${side.undecided} without a decision after '${way}'`)
      if (way !== 'journal') continue
      // It was started without checkpoints.
      await worker.stop()
      worker = await start(true)
    }
  }
} finally {
  await worker?.stop()
  await side.close()
  await kafka.stop()
  await folder.close()
}

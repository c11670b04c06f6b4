/**
 * Three workers on a real Kafka under load, and one fault after the other. At the end everything is read back by Kafka's own
 * console consumer and counted (verify.ts).
 */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { KafkaLog } from '../../log/kafka/index.js'
import { topicSpecs } from '../../runners/topics/index.js'
import { hopTopicsOf } from '../../runners/worker/index.js'
import { seededRandom } from '../random/index.js'
import { GuardedFolder, type KafkaForTests, startKafka } from '../services/index.js'
import { freePort, startWorker, type WeirProcess, weirScript } from '../weir-process/index.js'
import { Load } from './load.js'
import { parseDump, type Verdict, verify } from './verify.js'

export interface ChaosOptions {
  readonly rounds: number
  readonly brokers: 1 | 3
  readonly workers: number
  readonly perSecond: number
  readonly partitions: number
  readonly slots: number
  /** For each slot. */
  readonly standbys: number
  readonly seed: number
  /** Which, in turn; default all. */
  readonly faults?: readonly FaultName[]
  readonly say: (line: string) => void
}

export interface ChaosOutcome {
  readonly verdict: Verdict
  readonly sent: number
  /** Workers that ended by themselves, with what they said. */
  readonly ended: readonly string[]
}

const dayMs = 86_400_000
/** Without any progress. */
const settleMsMax = 120_000
const wait = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

interface Member {
  readonly dataDir: string
  readonly port: number
  process: WeirProcess | undefined
}

/** A run: what faults act upon. */
class Run {
  readonly options: ChaosOptions
  readonly kafka: KafkaForTests
  readonly members: readonly Member[]
  /** Where the members keep their checkpoints. */
  readonly checkpoints: string
  readonly ended: string[] = []
  readonly rescaleDir: string
  slots: number
  readonly #random: () => number

  constructor(options: ChaosOptions, kafka: KafkaForTests, members: readonly Member[], checkpoints: string) {
    this.options = options
    this.kafka = kafka
    this.members = members
    this.checkpoints = checkpoints
    this.rescaleDir = `${checkpoints}-rescale`
    this.slots = options.slots
    this.#random = seededRandom(options.seed)
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  async start(member: Member): Promise<void> {
    // The verifier reads the journal from its beginning.
    const flags = [
      '--checkpoints-store',
      this.checkpoints,
      '--checkpoints-every',
      '5s',
      '--checkpoints-journal',
      'keep',
      '--standbys',
      String(this.options.standbys),
    ]
    member.process = await startWorker(this.kafka.brokers, member.dataDir, member.port, { flags })
  }

  /** Starts again whatever ended by itself, and notes it: nothing here should. */
  async revive(): Promise<void> {
    for (const member of this.members) {
      const code = member.process?.exitCode() ?? null
      if (code === null) continue
      this.ended.push(`exit code ${code}: ${member.process?.stderr().trimEnd().split('\n').at(-1)}`)
      await this.start(member)
    }
  }
}

export type FaultName =
  | 'rescale'
  | 'kill'
  | 'kill the owner'
  | 'lose the disk'
  | 'freeze'
  | 'cut'
  | 'delay'
  | 'lose answers'
  | 'kill a broker'
  | 'stop a broker'

const faults: Readonly<Record<FaultName, (run: Run) => Promise<void>>> = {
  // Another number of slots, under load; now and then the command is killed in the middle, or an owner is frozen meanwhile, and
  // wakes up as a zombie of a plan that is over.
  rescale: async run => {
    const { partitions } = run.options
    const slots = 1 + ((run.slots + run.below(partitions - 1)) % partitions)
    const frozen = run.below(3) === 0 ? await ownerOf(run) : undefined
    frozen?.process?.signal('SIGSTOP')
    if (frozen === undefined && run.below(2) === 0) await rescale(run, slots, 500 + run.below(4_000))
    await rescale(run, slots)
    frozen?.process?.signal('SIGCONT')
    run.slots = slots
  },
  kill: async run => {
    const member = run.pick(run.members)
    await member.process?.kill()
    await wait(run.below(3_000))
    await run.start(member)
  },
  'kill the owner': async run => {
    const owners = await Promise.all(run.members.map(async member => ((await runsSlots(member)) ? [member] : [])))
    for (const member of owners.flat()) {
      await member.process?.kill()
      await wait(run.below(3_000))
      await run.start(member)
    }
  },
  // Whoever takes over has only what is shared: Kafka and the checkpoints.
  'lose the disk': async run => {
    for (const member of run.members) {
      await member.process?.kill()
      rmSync(member.dataDir, { recursive: true, force: true })
    }
    await wait(run.below(3_000))
    await Promise.all(run.members.map(member => run.start(member)))
  },
  // Longer than the session time-out: it wakes up as a zombie, in the middle of whatever it did.
  freeze: async run => {
    const member = (await ownerOf(run)) ?? run.pick(run.members)
    member.process?.signal('SIGSTOP')
    await wait(11_000 + run.below(4_000))
    member.process?.signal('SIGCONT')
  },
  cut: async run => {
    for (let times = 1 + run.below(4); times > 0; times--) {
      for (const proxy of run.kafka.proxies) proxy.cut()
      await wait(run.below(1_500))
    }
  },
  delay: async run => {
    const proxy = run.pick(run.kafka.proxies)
    proxy.set({ kind: 'delay', ms: 100 + run.below(900) })
    await wait(1_000 + run.below(4_000))
    proxy.set({ kind: 'none' })
  },
  // Requests arrive, and their answers never do: what they did is indefinite (I5).
  'lose answers': async run => {
    for (let times = 1 + run.below(3); times > 0; times--) {
      for (const proxy of run.kafka.proxies) proxy.set({ kind: 'hold', direction: 'down' })
      await wait(run.below(50))
      for (const proxy of run.kafka.proxies) {
        proxy.cut()
        proxy.set({ kind: 'none' })
      }
      await wait(run.below(2_000))
    }
  },
  'kill a broker': async run => {
    const broker = run.below(run.kafka.brokers.length)
    await run.kafka.stopBroker(broker, 'SIGKILL')
    await wait(run.below(5_000))
    await run.kafka.startBroker(broker)
  },
  // Leaders and coordinators move away first.
  'stop a broker': async run => {
    const broker = run.below(run.kafka.brokers.length)
    await run.kafka.stopBroker(broker, 'SIGTERM')
    await wait(run.below(3_000))
    await run.kafka.startBroker(broker)
  },
}

async function ownerOf(run: Run): Promise<Member | undefined> {
  const owners = await Promise.all(run.members.map(async member => ((await runsSlots(member)) ? [member] : [])))
  return owners.flat().length > 0 ? run.pick(owners.flat()) : undefined
}

/** `weir rescale`. @param killedAfterMs SIGKILL unless it is done by then */
async function rescale(run: Run, slots: number, killedAfterMs?: number): Promise<void> {
  const flags = ['--slots', String(slots), '--checkpoints-store', run.checkpoints, '--data-dir', run.rescaleDir]
  const brokers = ['--brokers', run.kafka.brokers.join(',')]
  const child = spawn(process.execPath, [...weirScript, 'rescale', '--json', ...flags, ...brokers])
  let told = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      told += text
    })
  }
  const timer = killedAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killedAfterMs)
  const code = await new Promise(resolve => child.once('close', resolve))
  clearTimeout(timer)
  if (killedAfterMs === undefined && code !== 0) throw new Error(`weir rescale ended with ${String(code)}: ${told}`)
  const lines = told.trimEnd().split('\n')
  run.options.say(`  to ${slots} slots${code === 0 ? '' : ', killed'}: ${lines.at(-1)}`)
}

async function runsSlots(member: Member): Promise<boolean> {
  const state = await readiness(member)
  return state?.slots.some(slot => slot.state === 'running') === true
}

interface Readiness {
  readonly slots: readonly {
    readonly slot: number
    readonly state: string
    readonly inputs: readonly { readonly behind: number }[]
  }[]
}

/** undefined while nobody answers. */
async function readiness(member: Member): Promise<Readiness | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${member.port}/readyz`, { signal: AbortSignal.timeout(2_000) })
    return (await response.json()) as Readiness
  } catch {
    // Killed, frozen or not up yet: all of them are what the caller wants to know.
    return undefined
  }
}

export async function runChaos(options: ChaosOptions): Promise<ChaosOutcome> {
  const { say, partitions, slots } = options
  const kept = await GuardedFolder.create('weir-chaos-')
  const folder = kept.path
  const kafka = await startKafka({ brokers: options.brokers, proxied: true })
  const members: readonly Member[] = await Promise.all(
    Array.from({ length: options.workers }, async (_, i) => ({
      dataDir: join(folder, `worker-${i}`),
      port: await freePort(),
      process: undefined,
    })),
  )
  const run = new Run(options, kafka, members, join(folder, 'checkpoints'))
  try {
    const log = await KafkaLog.open({ brokers: kafka.direct })
    for (const spec of topicSpecs({
      app: 'fraud',
      partitions,
      slots,
      hops: hopTopicsOf('fraud', { slots, partitions }),
    })) {
      await log.createTopic(spec.name, spec.partitions, { config: spec.config })
    }
    await log.close()
    await Promise.all(members.map(member => run.start(member)))
    const load = new Load({
      brokers: kafka.direct,
      perSecond: options.perSecond,
      customers: 2_000,
      terminals: 400,
      partitions,
      seed: options.seed,
      // The whole of it lies in the past, and within what the longest windows with their delay cover.
      startMs: Date.now() - 40 * dayMs,
      eventMsPerSecond: (30 * dayMs) / (options.rounds * 12 + 60),
    })
    await load.start()
    const names = options.faults ?? (Object.keys(faults) as FaultName[])
    for (let round = 1; round <= options.rounds; round++) {
      await wait(1_000 + run.below(3_000))
      // Each kind comes in turn, so that a short run meets all of them.
      const name = names[(round - 1 + options.seed) % names.length]!
      say(`round ${round}: ${name}, ${load.sent} sent`)
      await faults[name](run)
      await run.revive()
    }
    await wait(2_000)
    await load.stop()
    say(
      `${load.sent} transactions sent, ${load.errors} sends failed and were sent again; waiting for the last decision`,
    )
    await settled(run)
    // Heartbeats would keep the console consumer waiting for more.
    await Promise.all(members.map(member => member.process?.kill()))
    const { deadLetters, ...dumps } = await dump(kafka, folder)
    const verdict = verify(dumps)
    const found = verdict.transactions + verdict.repeats
    // A dump that ends early, or misses a partition, would have nothing lost in it.
    if (found < load.sent) throw new Error(`${found} of the ${load.sent} transactions that were sent are in the dump`)
    if (deadLetters.length > 0) throw new Error(`${deadLetters.length} dead letters, though all that was sent is valid`)
    return { verdict, sent: load.sent, ended: run.ended }
  } finally {
    await Promise.all(members.map(member => member.process?.kill()))
    await kafka.stop()
    await kept.close()
  }
}

/** Until every slot of the plan, wherever it runs, has nothing left to read. One that nobody runs yet has said nothing. */
async function settled(run: Run): Promise<void> {
  let progressAt = performance.now()
  let left = -1
  for (let quiet = 0; quiet < 5; ) {
    await run.revive()
    const states = await Promise.all(run.members.map(readiness))
    const running = states.flatMap(state => state?.slots ?? []).filter(({ state }) => state === 'running')
    const idle = running.filter(({ inputs }) => inputs.length > 0 && inputs.every(({ behind }) => behind === 0))
    const all = idle.length === running.length && new Set(idle.map(({ slot }) => slot)).size === run.slots
    quiet = all ? quiet + 1 : 0
    const behind = running.flatMap(({ inputs }) => inputs).reduce((sum, input) => sum + input.behind, 0)
    if (behind !== left) [left, progressAt] = [behind, performance.now()]
    if (performance.now() - progressAt > settleMsMax)
      throw new Error(`nothing gets on for ${settleMsMax / 1_000} s: ${JSON.stringify(states)}`)
    await wait(300)
  }
}

async function dump(kafka: KafkaForTests, folder: string) {
  const topic = async (name: string) => {
    const path = join(folder, name)
    const args = [
      ...['--bootstrap-server', kafka.direct[0]!, '--topic', name, '--from-beginning', '--timeout-ms', '10000'],
      ...['--isolation-level', 'read_committed'],
      ...['partition', 'offset', 'key'].flatMap(what => ['--property', `print.${what}=true`]),
    ]
    const { stderr } = await kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', args, '', path)
    const found = parseDump(path)
    const said = Number(/Processed a total of (\d+) messages/.exec(stderr)?.[1])
    if (said !== found.length) throw new Error(`${name}: read ${found.length} of ${said} lines: ${stderr}`)
    return found
  }
  return {
    transactions: await topic('transactions'),
    labels: await topic('labels'),
    decisions: await topic('decisions'),
    journal: await topic('weir.fraud.epochs'),
    deadLetters: await topic('transactions.dead-letter'),
  }
}

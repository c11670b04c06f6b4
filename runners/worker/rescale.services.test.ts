/**
 * `weir rescale` on a real Kafka, with workers and under load: other numbers of slots, another topology, and the way back. What
 * comes of it is held against the oracle, which knows nothing of slots.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { defaultFeatureSet } from '../../fraud/index.js'
import { defined, positiveMurmur2 } from '../../kernel/index.js'
import { Deployment, endOf, readinessOf, settled, until } from '../../testing/deployment/index.js'
import { type Arrival, naiveOracle, type TransactionArrival } from '../../testing/oracle/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import type { LaunchedWeir } from '../../testing/weir-process/index.js'
import { type Ended, errorLine, startWeir, weir } from '../replay/testing/cli.js'

const skip = (await kafkaMissing()) ?? false
const partitions = 4
const customers = 7
const hourMs = 3_600_000
const startMs = Date.now() - 80 * 24 * hourMs
const wait = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

interface Decision {
  readonly transaction_id: string
  readonly customer_id: string
  readonly features: Readonly<Record<string, number>>
}

/** What was sent, in the order in which it was: each customer has a terminal of its own, so that its partition orders both. */
class Traffic {
  readonly arrivals: Arrival[] = []
  readonly #deployment: Deployment
  #sent = 0

  constructor(deployment: Deployment) {
    this.#deployment = deployment
  }

  async send(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const n = this.#sent++
      const customer_id = `c${n % customers}`
      await this.#transaction({
        kind: 'transaction',
        transaction_id: `t${n}`,
        customer_id,
        terminal_id: `of-${customer_id}`,
        event_time: startMs + n * 2 * hourMs,
        amount_minor: 100 + ((n * 37) % 5_000),
        currency: 'EUR',
      })
    }
  }

  /** Once more, byte for byte. */
  async repeat(n: number): Promise<void> {
    const again = this.arrivals.find(arrival => arrival.transaction_id === `t${n}`) as TransactionArrival
    await this.#transaction(again)
  }

  /** Every third of what has been sent was fraud. */
  async labels(): Promise<void> {
    for (const arrival of [...this.arrivals]) {
      if (arrival.kind === 'label' || Number(arrival.transaction_id.slice(1)) % 3 > 0) continue
      const { transaction_id, customer_id, terminal_id, event_time } = arrival
      const same = { transaction_id, customer_id, terminal_id, event_time, available_at: event_time + hourMs }
      this.arrivals.push({ kind: 'label', ...same, fraud: true })
      await this.#append('labels', customer_id, { ...same, label: 'fraud', label_source: 'chargeback' })
    }
  }

  /** A few at a time until it is told to end. */
  load(): { readonly end: () => Promise<void> } {
    let ends = false
    const run = async (): Promise<void> => {
      while (!ends) {
        await this.send(3)
        await this.repeat(this.#sent - 2)
        await wait(200)
      }
    }
    const running = run()
    return {
      end: async () => {
        ends = true
        await running
      },
    }
  }

  /**
   * Each customer's transactions have one decision each, in order, with the features of one that never stopped.
   * @param without features that later decisions do not have
   */
  async verify({ without }: { readonly without?: RegExp } = {}): Promise<void> {
    const outcomes = naiveOracle(this.arrivals)
    const transactions = this.arrivals.filter(arrival => arrival.kind === 'transaction')
    const expected = transactions.flatMap(({ transaction_id, customer_id }, i): Decision[] => {
      const outcome = defined(outcomes[i], 'an outcome for each transaction')
      if (outcome.outcome !== 'decision') return []
      return [{ transaction_id, customer_id, features: Object.fromEntries(outcome.features) }]
    })
    assert.deepEqual(await this.#deployment.read('transactions.dead-letter'), [])
    const records = await this.#deployment.readAtLeast('decisions', expected.length)
    const found = records.map(({ value }) => JSON.parse(String(value)) as Decision)
    for (let n = 0; n < customers; n++) {
      const own = (of: readonly Decision[]) => of.filter(({ customer_id }) => customer_id === `c${n}`)
      const ids = (of: readonly Decision[]) => own(of).map(({ transaction_id }) => transaction_id)
      assert.deepEqual(ids(found), ids(expected))
      for (const [i, { transaction_id, features }] of own(found).entries()) {
        const wanted = Object.entries(own(expected)[i]!.features)
        const computed = wanted.filter(([name]) => name in features || without?.test(name) !== true)
        assert.deepEqual(features, Object.fromEntries(computed), transaction_id)
      }
    }
    assert.equal(found.length, expected.length)
  }

  async #transaction(arrival: TransactionArrival): Promise<void> {
    const { kind, ...transaction } = arrival
    this.arrivals.push(arrival)
    await this.#append('transactions', arrival.customer_id, transaction)
  }

  async #append(topic: string, key: string, value: object): Promise<void> {
    const partition = positiveMurmur2(Buffer.from(key)) % partitions
    await this.#deployment.send(topic, partition, key, JSON.stringify(value))
  }
}

const says = (pattern: RegExp) => (state: { ready: boolean; reasons: readonly string[] }) =>
  !state.ready && state.reasons.some(reason => pattern.test(reason))

describe('weir rescale', { skip }, () => {
  let kafka: KafkaForTests
  const made: Deployment[] = []
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    for (const deployment of made) await deployment.close()
    await kafka.stop()
  })

  async function deploy(
    name: string,
    slots: number,
    env: Readonly<Record<string, string>> = {},
  ): Promise<[Deployment, Traffic]> {
    const deployment = await Deployment.create(
      { brokers: kafka.brokers, name: `rescale-${name}`, env },
      partitions,
      slots,
    )
    made.push(deployment)
    return [deployment, new Traffic(deployment)]
  }

  const envOf = ({ env, folder }: Deployment): Readonly<Record<string, string>> => ({
    ...env,
    WEIR_CHECKPOINTS_STORE: join(folder, 'checkpoints'),
    WEIR_CHECKPOINTS_EVERY: '2s',
  })
  const rescale = (deployment: Deployment, ...args: readonly string[]): Promise<Ended> =>
    weir(['rescale', '--json', '--data-dir', join(deployment.folder, 'rescale'), ...args], { env: envOf(deployment) })
  /** What it answers. */
  const rescaled = async (deployment: Deployment, ...args: readonly string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await rescale(deployment, ...args)
    assert.equal(code, 0, stderr)
    const { paused_ms, ...facts } = JSON.parse(stdout) as Record<string, unknown>
    assert.equal(typeof paused_ms, 'number')
    return facts
  }
  const refused = async (deployment: Deployment, ...args: readonly string[]): Promise<string> => {
    const ended = await rescale(deployment, ...args)
    assert.notEqual(ended.code, 0, ended.stdout)
    return errorLine(ended)
  }
  /** SIGKILL once it has said so on stderr. */
  async function killed(deployment: Deployment, line: RegExp, ...args: readonly string[]): Promise<void> {
    const flags = ['--data-dir', join(deployment.folder, 'rescale'), ...args]
    const { child, ended } = startWeir(['rescale', ...flags], { env: envOf(deployment) })
    let told = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      told += chunk
      if (line.test(told)) child.kill('SIGKILL')
    })
    await ended
    assert.match(told, line)
  }
  const epochs = async (deployment: Deployment): Promise<number> => (await deployment.read('weir.fraud.epochs')).length
  /** As many slots as there are run, on whichever worker, and all are ready. */
  async function allRun(slots: number, ...workers: readonly LaunchedWeir[]): Promise<void> {
    for (;;) {
      const states = await Promise.all(workers.map(worker => until(worker, ({ ready }) => ready)))
      const running = states.flatMap(state => state.slots).filter(({ state }) => state === 'running')
      if (running.length === slots) return
      await wait(100)
    }
  }

  it('goes to two slots and back to one under load, with standbys; stores of before are passed over', async () => {
    const [deployment, traffic] = await deploy('load', 1, { WEIR_STANDBYS: '1' })
    const env = envOf(deployment)
    const old = await deployment.worker(env)
    await traffic.send(160)
    await settled(old)
    await traffic.labels()
    await settled(old)
    // Its store stays, at the end of what it has done.
    assert.equal(await old.stop(), 0, old.stderr())
    const workers = [await deployment.worker(env), await deployment.worker(env)]
    const load = traffic.load()
    await wait(500)
    assert.deepEqual(await rescaled(deployment, '--slots', '2', '--name', 'two'), {
      plan: 2,
      slots: 2,
      savepoint: 'two',
      closed: false,
    })
    await allRun(2, ...workers)
    await wait(500)
    assert.equal((await rescaled(deployment, '--slots', '1')).plan, 3)
    await allRun(1, ...workers)
    await wait(500)
    await load.end()
    await traffic.verify()
    assert.deepEqual(await rescaled(deployment, '--slots', '1'), { plan: 3, slots: 1, savepoint: null, closed: false })
    for (const worker of workers) assert.equal(await worker.stop(), 0, worker.stderr())
    const again = await deployment.launch(env, 'data-0')
    await allRun(1, again)
    await traffic.send(20)
    await traffic.repeat(150)
    await settled(again)
    await traffic.verify()
  })

  it('begins another version from where one was closed', async () => {
    const [deployment, traffic] = await deploy('version', 1)
    const env = envOf(deployment)
    const worker = await deployment.worker(env)
    await traffic.send(120)
    await settled(worker)
    assert.deepEqual(await rescaled(deployment, '--close', '--name', 'n'), {
      plan: 1,
      slots: 1,
      savepoint: 'n',
      closed: true,
    })
    await until(worker, says(/^PLAN_CLOSED: plan 1 is closed into 'n'$/))
    assert.match(worker.stderr(), /PLAN_CLOSED/)
    await traffic.send(3)

    const set = defaultFeatureSet()
    const features = set.features.filter(feature => feature.kind !== 'velocity' || feature.entity === 'customer')
    const path = join(deployment.folder, 'features.json')
    writeFileSync(path, JSON.stringify({ ...set, feature_set_version: 'customers-1', features }))
    const rules = join(deployment.folder, 'rules.json')
    const none = { customers: [], terminals: [] }
    writeFileSync(rules, JSON.stringify({ ruleset_version: 'none-1', lists: { block: none, allow: none }, rules: [] }))
    const next = ['--from', 'n', '--features', path, '--model', 'none', '--rules', rules] as const
    const before = await epochs(deployment)
    const withoutRules = await refused(deployment, ...next.slice(0, -2), '--slots', '1', '--drop', 'terminal')
    assert.match(withoutRules, /^UNKNOWN_FEATURE: the rule set uses terminal_id/)
    const withModel = ['--from', 'n', '--features', path, '--rules', rules, '--slots', '1', '--drop', 'terminal']
    assert.match(await refused(deployment, ...withModel), /^MODEL_CONTRACT: .*terminal_id/)
    for (const slots of ['1', '2']) {
      const line = await refused(deployment, ...next, '--slots', slots)
      assert.match(line, /^STATE_INCOMPATIBLE: .*step 'terminal': the plan has none .*drop terminal/)
    }
    const renamed = await refused(deployment, ...next, '--slots', '1', '--rename', 'terminal=customer')
    assert.match(renamed, /^STATE_INCOMPATIBLE: .*'customer' would have the state of two/)
    assert.equal(await epochs(deployment), before)
    assert.equal(await deployment.log.partitionCount('weir.fraud.epochs'), 1)
    assert.equal(worker.exitCode(), null)

    assert.equal((await rescaled(deployment, ...next, '--slots', '1', '--drop', 'terminal')).plan, 2)
    // It runs the features of before, and says so.
    assert.equal(await endOf(worker), 1)
    assert.match(worker.stderr(), /^FINGERPRINT_MISMATCH: /m)
    const wrong = await deployment.launch({ ...env, WEIR_FEATURES: path, WEIR_MODEL: 'none' })
    assert.equal(await endOf(wrong), 1)
    assert.match(wrong.stderr(), /^UNKNOWN_FEATURE: /m)
    const newer = await deployment.worker({ ...env, WEIR_FEATURES: path, WEIR_MODEL: 'none', WEIR_RULES: rules })
    await traffic.repeat(2)
    await traffic.repeat(119)
    await traffic.send(30)
    await settled(newer)
    await traffic.verify({ without: /^terminal_/ })
    const last = (await deployment.read('decisions')).map(({ value }) => JSON.parse(String(value)) as Decision)
    const t152 = last.find(({ transaction_id }) => transaction_id === 't152')
    assert.deepEqual(
      Object.keys(t152!.features),
      features.map(({ name }) => name),
    )
    assert.equal(await newer.stop(), 0, newer.stderr())
  })

  it('has a way back until a slot is closed; then the same command goes on', async () => {
    const [deployment, traffic] = await deploy('back', 2)
    const worker = await deployment.worker(envOf(deployment))
    await traffic.send(80)
    await settled(worker)
    const before = await epochs(deployment)
    const little = await rescale(deployment, '--slots', '4', '--memory-budget', '600m')
    assert.equal(little.code, 2)
    assert.match(little.stderr, /^USAGE: memory\.budget is 600m; 4 slots need 672m; .*\n$/)
    assert.deepEqual(await rescaled(deployment, '--reopen'), { plan: 1, slots: 2, savepoint: null, closed: false })
    assert.equal(await epochs(deployment), before)
    assert.ok((await readinessOf(worker)).ready)

    // What is under way between slots cannot come to its end.
    const hop = `${deployment.prefix}weir.fraud.terminal.repartition`
    const client = new Kafka({ brokers: [...kafka.direct], logLevel: logLevel.NOTHING })
    const producer = client.producer({
      transactionalId: `${deployment.prefix}foreign`,
      maxInFlightRequests: 1,
      transactionTimeout: 600_000,
    })
    await producer.connect()
    const open = await producer.transaction()
    const messages = Array.from({ length: partitions }, (_, partition) => ({ partition, value: 'never committed' }))
    await open.send({ topic: hop, messages })
    await traffic.send(14)
    await killed(deployment, /^inputs are held/m, '--slots', '1', '--name', 'given-up')
    await until(worker, says(/^slot \d reads no more: its plan is being closed into 'given-up'/))
    await open.abort()
    await producer.disconnect()
    assert.deepEqual(await rescaled(deployment, '--reopen'), {
      plan: 1,
      slots: 2,
      savepoint: 'given-up',
      closed: false,
    })
    await allRun(2, worker)
    await traffic.send(14)
    await settled(worker)
    await traffic.verify()

    await killed(deployment, /^a slot is closed/m, '--close', '--name', 'kept')
    // Nobody can go on with a plan of which a slot is closed: a worker waits, and does not join again and again.
    await until(worker, says(/^PLAN_CLOSED: plan 1 is being closed, [12] of 2 slots are, into 'kept'/))
    const line = await refused(deployment, '--reopen')
    assert.match(
      line,
      /^PLAN_CLOSED: slot \d of plan 1 is closed into 'kept' already: .*; .*give the same weir rescale/,
    )
    assert.deepEqual(await rescaled(deployment, '--close', '--name', 'kept'), {
      plan: 1,
      slots: 2,
      savepoint: 'kept',
      closed: true,
    })
    await traffic.send(7)
    assert.equal((await rescaled(deployment, '--slots', '1')).savepoint, 'kept')
    await allRun(1, worker)
    await traffic.repeat(5)
    await traffic.send(14)
    await settled(worker)
    await traffic.verify()
    assert.equal(await worker.stop(), 0, worker.stderr())
  })
})

/** What a worker says and does while something around it fails: each state in /readyz, and the way out of it. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { eventTime, systemClock } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { HttpSchemaRegistry, registerSchema, transactionAvro } from '../../schemas/registry/index.js'
import { Deployment, endOf, readinessOf, settled, until } from '../../testing/deployment/index.js'
import {
  type FaultProxy,
  type KafkaForTests,
  kafkaMissing,
  type RegistryForTests,
  registryMissing,
  startKafka,
  startProxy,
  startRegistry,
} from '../../testing/services/index.js'
import { freePort, type LaunchedWeir } from '../../testing/weir-process/index.js'

const skip = (await kafkaMissing()) ?? (await registryMissing()) ?? false

const transaction = (id: string, customer = 'c') => ({
  transaction_id: id,
  event_time: Date.now(),
  customer_id: customer,
  terminal_id: 't-1',
  amount_minor: 1_250,
  currency: 'EUR',
})
const json = (id: string): string => JSON.stringify(transaction(id))

/** The last line of stderr: what ended it. */
const lastLine = (worker: LaunchedWeir): string => worker.stderr().trimEnd().split('\n').at(-1) ?? ''

const says = (pattern: RegExp) => (state: { ready: boolean; reasons: readonly string[] }) =>
  !state.ready && state.reasons.some(reason => pattern.test(reason))

describe('the states of a worker', { skip }, () => {
  let kafka: KafkaForTests
  const made: Deployment[] = []
  before(async () => {
    kafka = await startKafka({ proxied: true })
  })
  after(async () => {
    for (const deployment of made) await deployment.close()
    await kafka.stop()
  })
  const deploy = async (name: string, env: Readonly<Record<string, string>> = {}): Promise<Deployment> => {
    const deployment = await Deployment.create({ brokers: kafka.brokers, admin: kafka.direct, name, env })
    made.push(deployment)
    return deployment
  }
  const decided = async (deployment: Deployment): Promise<string[]> =>
    (await deployment.read('decisions')).map(({ value }) => JSON.parse(value!.toString()).transaction_id)

  it('waits for a broker that cannot be reached at the start, and starts when it can', async () => {
    const deployment = await deploy('unreachable')
    const [proxy] = kafka.proxies
    proxy!.set({ kind: 'refuse' })
    proxy!.cut()
    const worker = await deployment.launch()
    await until(worker, says(/^KAFKA_UNAVAILABLE: /))
    assert.equal((await fetch(`${worker.url}/healthz`)).status, 200)
    proxy!.set({ kind: 'none' })
    await until(worker, ({ ready }) => ready)
    assert.equal(await worker.stop(), 0, worker.stderr())
  })

  it('ends when it is told to while it waits', async () => {
    const deployment = await deploy('waiting')
    const worker = await deployment.launch({ WEIR_KAFKA_BROKERS: `127.0.0.1:${await freePort()}` })
    await until(worker, says(/^KAFKA_UNAVAILABLE: /))
    assert.equal(await worker.stop(), 0, worker.stderr())
  })

  it('says that the broker is gone, and goes on by itself when it is back', async () => {
    const deployment = await deploy('gone')
    const worker = await deployment.worker()
    await deployment.send('transactions', 0, 'c', json('before'))
    await settled(worker)
    await kafka.stopBroker(0)
    const { reasons } = await until(worker, ({ ready }) => !ready)
    assert.ok(
      reasons.some(reason => /worker group (does not answer|has not answered)|has not got on for/.test(reason)),
      reasons.join(),
    )
    assert.equal(worker.exitCode(), null)
    await kafka.startBroker(0)
    await until(worker, ({ ready }) => ready)
    await deployment.send('transactions', 1, 'c', json('after'))
    await settled(worker)
    assert.deepEqual(await decided(deployment), ['before', 'after'])
    assert.equal(await worker.stop(), 0, worker.stderr())
  })

  it('ends when it is told to in the middle of a commit that nobody answers, and the next one goes on', async () => {
    const deployment = await deploy('hung')
    const worker = await deployment.worker()
    const proxy = kafka.proxies[0]!
    const ids = Array.from({ length: 40 }, (_, i) => String(i))
    for (const id of ids) {
      // The fetch that waits at the broker is answered, and the commit of what it brings is not.
      if (id === '10') proxy.set({ kind: 'hold', direction: 'up' })
      await deployment.send('transactions', 0, 'c', json(id))
    }
    await until(worker, says(/^slot 0 has not got on for/))
    assert.equal(await worker.stop(), 1, worker.stderr())
    assert.match(worker.stderr(), /does not come to its end/)
    proxy.cut()
    proxy.set({ kind: 'none' })
    const next = await deployment.worker()
    await settled(next)
    assert.deepEqual(await decided(deployment), ids)
    assert.equal(await next.stop(), 0, next.stderr())
  })

  it('decides on a slow broker', async () => {
    const deployment = await deploy('slow')
    const worker = await deployment.worker()
    kafka.proxies[0]!.set({ kind: 'delay', ms: 400 })
    for (const id of ['1', '2', '3']) await deployment.send('transactions', 0, 'c', json(id))
    const decisions = await deployment.readAtLeast('decisions', 3)
    kafka.proxies[0]!.set({ kind: 'none' })
    assert.equal(decisions.length, 3)
    assert.equal(await worker.stop(), 0, worker.stderr())
  })

  it('stops where retention has passed its position, and says what to do', async () => {
    const deployment = await deploy('retention')
    const first = await deployment.worker()
    await deployment.send('transactions', 0, 'c', json('1'))
    await settled(first)
    assert.equal(await first.stop(), 0, first.stderr())
    for (const id of ['2', '3']) await deployment.send('transactions', 0, 'c', json(id))
    await deployment.log.trim({ topic: 'transactions', partition: 0, offset: offset(2) })
    // with its disk, and with another one
    for (const dataDir of ['data-0', 'data-new']) {
      const worker = await deployment.launch({}, dataDir)
      assert.equal(await endOf(worker), 1)
      assert.match(lastLine(worker), /^(OFFSET_OUT_OF_RANGE|HISTORY_TRIMMED): .*transactions\/0.*; .+/)
    }
    assert.deepEqual(await decided(deployment), ['1'])
  })

  it('stops where a topic is missing, also when it is deleted while it runs', async () => {
    const deployment = await deploy('missing')
    const admin = new Kafka({ brokers: [...kafka.direct], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const running = await deployment.worker()
    await admin.deleteTopics({ topics: [`${deployment.prefix}labels`] })
    assert.equal(await endOf(running), 1)
    assert.match(lastLine(running), /^UNKNOWN_TOPIC: .*labels.*; create the topic first/)
    const again = await deployment.launch()
    assert.equal(await endOf(again), 1)
    assert.match(
      lastLine(again),
      /^UNKNOWN_TOPIC: there is no topic .*labels; create the topic first: weir topics create$/,
    )
    await admin.disconnect()
  })

  it('stops where a topic was deleted and made again while it was away', async () => {
    const deployment = await deploy('again')
    const send = async (name: string): Promise<void> => {
      for (let i = 0; i < 5; i++)
        await deployment.send('transactions', 0, 'c', JSON.stringify(transaction(name + i, 'c')))
    }
    const first = await deployment.worker()
    await send('first')
    await deployment.readAtLeast('decisions', 5)
    assert.equal(await first.stop(), 0)
    const admin = new Kafka({ brokers: [...kafka.direct], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const topic = `${deployment.prefix}transactions`
    await admin.deleteTopics({ topics: [topic] })
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] })
    await admin.disconnect()
    for (const name of ['other', 'more']) await send(name)
    const again = await deployment.launch({}, 'data-0')
    assert.equal(await endOf(again), 1)
    assert.match(lastLine(again), /^JOURNAL_CORRUPT: .*transactions\/0.*the log holds other records there now/)
  })

  it('stops where somebody else has written between slots, and names the place', async () => {
    const deployment = await Deployment.create({ brokers: kafka.brokers, admin: kafka.direct, name: 'hop' }, 2, 2)
    made.push(deployment)
    const running = await deployment.worker()
    await deployment.send('weir.fraud.terminal.repartition', 0, null, 'no row')
    assert.equal(await endOf(running), 1)
    assert.match(lastLine(running), /^HOP_CORRUPT: weir\.fraud\.terminal\.repartition\/0\/0: /)
  })

  it('names the partition in which a transaction of somebody hangs, and goes on when it ends', async () => {
    const deployment = await deploy('hanging')
    const worker = await deployment.worker()
    const client = new Kafka({ brokers: [...kafka.direct], logLevel: logLevel.NOTHING })
    const producer = client.producer({ transactionalId: `${deployment.prefix}foreign`, maxInFlightRequests: 1 })
    await producer.connect()
    const open = await producer.transaction()
    const topic = `${deployment.prefix}transactions`
    await open.send({ topic, messages: [{ key: 'c', value: json('theirs'), partition: 1 }] })
    await deployment.send('transactions', 1, 'c', json('behind'))
    await deployment.send('transactions', 0, 'd', JSON.stringify(transaction('elsewhere', 'd')))
    await until(worker, says(/^slot 0 waits for an open transaction of a producer in transactions\/1$/))
    const metrics = await (await fetch(`${worker.url}/metrics`)).text()
    assert.match(metrics, /^weir_input_undecided_records\{topic="transactions",partition="1"\} 2$/m)
    assert.deepEqual(await decided(deployment), ['elsewhere'])
    await open.commit()
    await settled(worker)
    assert.deepEqual((await decided(deployment)).toSorted(), ['behind', 'elsewhere', 'theirs'])
    await producer.disconnect()
    assert.equal(await worker.stop(), 0, worker.stderr())
  })

  describe('and the schema registry', () => {
    let registry: RegistryForTests
    let proxy: FaultProxy
    let url: string
    before(async () => {
      registry = await startRegistry({ shared: true })
      const real = new URL(registry.url)
      proxy = await startProxy({ host: real.hostname, port: Number(real.port) })
      url = `http://${proxy.address}${real.pathname}`
    })
    after(async () => {
      await proxy?.close()
      await registry?.stop()
    })

    it('waits for it at the start and while it runs; a schema that it does not know is a dead letter', async () => {
      const deployment = await deploy('registry', { WEIR_SCHEMA_REGISTRY_URL: url })
      proxy.set({ kind: 'refuse' })
      const worker = await deployment.launch()
      await until(worker, says(/^REGISTRY_UNREACHABLE: /))
      proxy.set({ kind: 'none' })
      await until(worker, ({ ready }) => ready)

      const direct = new HttpSchemaRegistry({ url: registry.url, clock: systemClock })
      const id = await registerSchema(direct, `${deployment.prefix}transactions`, 'transaction')
      const nothing = { card_id: null, merchant_id: null, merchant_category: null, device_id: null }
      const more = { ip_address: null, email: null, country: null, channel: null, metadata: null }
      const avro = (name: string, schema: number): Buffer => {
        const whole = { ...transaction(name), ...nothing, ...more }
        return transactionAvro(schema)({ ...whole, event_time: eventTime(whole.event_time) })
      }
      await deployment.send('transactions', 0, 'c', avro('unknown', 1_999_999_999))
      await settled(worker)
      const [letter] = await deployment.read('transactions.dead-letter')
      assert.equal(letter?.headers['weir.error.code'], 'UNKNOWN_SCHEMA')

      proxy.set({ kind: 'refuse' })
      proxy.cut()
      await deployment.send('transactions', 0, 'c', avro('waits', id))
      await until(worker, says(/^the schema registry does not answer$/))
      proxy.set({ kind: 'none' })
      await settled(worker)
      assert.deepEqual(
        (await deployment.read('decisions')).map(({ key }) => key),
        ['c'],
      )
      assert.equal((await readinessOf(worker)).ready, true)
      assert.equal(await worker.stop(), 0, worker.stderr())
    })
  })
})

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { KafkaLog } from '../../log/kafka/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import { freePort, startWorker, type WeirProcess } from '../../testing/weir-process/index.js'
import { topicSpecs } from '../topics/index.js'

const skip = (await kafkaMissing()) ?? false
const waitMsMax = 30_000

const transaction = (id: string, customer: string, more: object = {}) => ({
  transaction_id: id,
  event_time: Date.now(),
  customer_id: customer,
  terminal_id: 't-1',
  amount_minor: 1_250,
  currency: 'EUR',
  ...more,
})

/** Kafka's own console tools, in topics under a prefix of this test's own. */
class Deployment {
  readonly prefix: string
  readonly #kafka: KafkaForTests
  readonly #folder: string
  #workers = 0

  constructor(kafka: KafkaForTests, folder: string, name: string) {
    this.#kafka = kafka
    this.#folder = folder
    this.prefix = `${name}-${process.pid}.`
  }

  get log(): Promise<KafkaLog> {
    return KafkaLog.open({ brokers: this.#kafka.brokers, prefix: this.prefix })
  }

  async createTopics(partitions = 2): Promise<void> {
    const log = await this.log
    for (const spec of topicSpecs({ app: 'fraud', partitions, slots: 1 })) {
      await log.createTopic(spec.name, spec.partitions, { config: spec.config })
    }
    await log.close()
  }

  async worker(dataDir = `data-${this.#workers++}`): Promise<WeirProcess> {
    return startWorker(this.#kafka.brokers, join(this.#folder, this.prefix, dataDir), await freePort(), {
      env: { WEIR_TOPIC_PREFIX: this.prefix },
    })
  }

  /** @param lines `key|value`; a value of NULL is null */
  async produce(topic: string, lines: readonly string[]): Promise<void> {
    const { code, stderr } = await this.#kafka.tool(
      'org.apache.kafka.tools.ConsoleProducer',
      [
        ...['--bootstrap-server', this.#kafka.brokers[0]!, '--topic', this.prefix + topic],
        ...['parse.key=true', 'key.separator=|', 'null.marker=NULL'].flatMap(what => ['--property', what]),
      ],
      `${lines.join('\n')}\n`,
    )
    assert.equal(code, 0, stderr)
  }

  /** Waits for so many records and one second for any more. */
  async consume(topic: string, count: number): Promise<readonly string[]> {
    const { stdout, stderr } = await this.#kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
      ...['--bootstrap-server', this.#kafka.brokers[0]!, '--topic', this.prefix + topic, '--from-beginning'],
      ...['--isolation-level', 'read_committed', '--timeout-ms', '4000'],
      ...['key', 'headers', 'partition'].flatMap(what => ['--property', `print.${what}=true`]),
    ])
    const lines = stdout.split('\n').filter(line => line.startsWith('Partition:'))
    assert.equal(lines.length, count, `${topic}: ${stdout}${stderr}`)
    return lines
  }
}

/** Until the worker has read everything. */
async function settled(worker: WeirProcess): Promise<void> {
  const until = performance.now() + waitMsMax
  for (let quiet = 0; quiet < 3; ) {
    assert.ok(performance.now() < until, `not settled: ${worker.stderr()}`)
    const state = (await (await fetch(`${worker.url}/readyz`)).json()) as {
      ready: boolean
      slots: { inputs: { behind: number }[] }[]
    }
    const idle = state.slots.length > 0 && state.slots.every(({ inputs }) => inputs.every(({ behind }) => behind === 0))
    quiet = state.ready && idle ? quiet + 1 : 0
    await new Promise(resolve => setTimeout(resolve, 300))
  }
}

describe('weir worker', { skip }, () => {
  let kafka: KafkaForTests
  const folder = mkdtempSync(join(tmpdir(), 'weir-worker-test-'))
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    await kafka.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('decides what the console producer sends, and buries what is no transaction', async () => {
    const deployment = new Deployment(kafka, folder, 'console')
    await deployment.createTopics()
    const worker = await deployment.worker()
    try {
      await deployment.produce('transactions', [
        `c-1|${JSON.stringify(transaction('a', 'c-1'))}`,
        `c-1|${JSON.stringify(transaction('b', 'c-1', { amount_minor: 2_750 }))}`,
        `c-2|${JSON.stringify(transaction('a', 'c-2'))}`,
        // once more, and once with another amount: both are the first again
        `c-1|${JSON.stringify(transaction('a', 'c-1'))}`,
        `c-1|${JSON.stringify(transaction('b', 'c-1', { amount_minor: 1 }))}`,
        'c-3|not a transaction',
        'c-3|NULL',
        `c-3|${JSON.stringify(transaction('x', 'c-3', { amount_minor: -1 }))}`,
      ])
      await settled(worker)
      const decisions = await deployment.consume('decisions', 3)
      const byId = new Map(
        decisions.map(line => {
          const value = JSON.parse(line.slice(line.indexOf('{')))
          return [`${value.customer_id}/${value.transaction_id}`, value]
        }),
      )
      assert.deepEqual([...byId.keys()].sort(), ['c-1/a', 'c-1/b', 'c-2/a'])
      assert.equal(byId.get('c-1/b').features.customer_id_nb_tx_1day_window, 2)
      assert.equal(byId.get('c-1/b').features.customer_id_avg_amount_1day_window, 20)
      assert.equal(byId.get('c-1/b').source.topic, 'transactions')
      const state = async (step: string, key: string): Promise<[number, string]> => {
        const answer = await fetch(`${worker.url}/v1/admin/state/${step}/${key}`)
        return [answer.status, await answer.text()]
      }
      const [status, shown] = await state('customer', 'c-1')
      assert.equal(status, 200, shown)
      assert.match(shown, /"key":"… \(3\)","group":\d+,"found":true/)
      assert.match(shown, /"count":2,"amount":\{"sum":"4000","mean":2000\}/)
      assert.match((await state('customer', 'c-9'))[1], /"found":false/)
      assert.match((await state('nothing', 'c-1'))[1], /"code":"UNKNOWN_STEP"/)
      assert.ok(
        decisions.every(line => /\tc-[12]\t\{/.test(line)),
        'the key is the customer',
      )

      const buried = await deployment.consume('transactions.dead-letter', 3)
      for (const code of ['MALFORMED_RECORD', 'INVALID_AMOUNT']) {
        assert.ok(
          buried.some(line => line.includes(`weir.error.code:${code}`)),
          `${code} in ${buried.join('\n')}`,
        )
      }
      assert.ok(buried.every(line => line.includes('weir.source.topic:transactions')))
      assert.ok(
        buried.some(line => line.endsWith('\tc-3\tnull')),
        'null stays null',
      )
    } finally {
      assert.equal(await worker.stop(), 0, worker.stderr())
    }
  })

  it('goes on past records that no dead letter can hold, and says where they are', async () => {
    const deployment = new Deployment(kafka, folder, 'long')
    await deployment.createTopics()
    const log = await deployment.log
    const at = { topic: 'transactions', partition: 0 }
    // As long as the topic takes: with the headers of a dead letter it is too long for another.
    const longest = Buffer.alloc((await log.recordBytesMax('transactions')) - 2, 'x')
    await log.append([{ ...at, records: [{ key: Buffer.from('c'), value: longest }] }])
    const producer = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).producer()
    await producer.connect()
    const small = JSON.stringify(transaction('in a bomb', 'c'))
    for (const huge of [2 << 20, 65 << 20].map(bytes => Buffer.alloc(bytes, 'x'))) {
      const messages = [huge, small].map(value => ({ key: 'c', value, partition: 0 }))
      await producer.send({
        topic: `${deployment.prefix}transactions`,
        compression: CompressionTypes.GZIP,
        messages,
      })
    }
    await producer.disconnect()
    const last = Buffer.from(JSON.stringify(transaction('behind', 'c')))
    await log.append([{ ...at, records: [{ key: Buffer.from('c'), value: last }] }])
    await log.close()
    const worker = await deployment.worker()
    try {
      await settled(worker)
      const decided = await deployment.consume('decisions', 2)
      assert.deepEqual(
        decided.map(line => /"transaction_id":"(.*?)"/.exec(line)?.[1]),
        ['in a bomb', 'behind'],
      )
      const buried = await deployment.consume('transactions.dead-letter', 4)
      const why = ['more than the topic of dead letters takes', 'more than the topic', '67108864', '67108864']
      for (const [i, offset] of [0, 1, 3, 4].entries()) {
        const line = buried.find(each => each.includes(`weir.source.offset:${offset},`)) ?? ''
        assert.match(line, /weir\.error\.code:RECORD_TOO_LARGE,.*weir\.left-out:true.*\tnull\tnull$/, buried.join('\n'))
        assert.ok(line.includes(why[i]!), line)
      }
    } finally {
      assert.equal(await worker.stop(), 0, worker.stderr())
    }
  })

  it('goes on where another worker was killed, without its disk', async () => {
    const deployment = new Deployment(kafka, folder, 'takeover')
    await deployment.createTopics()
    const first = await deployment.worker()
    await deployment.produce('transactions', [`c|${JSON.stringify(transaction('1', 'c'))}`])
    await settled(first)
    await first.kill()
    await deployment.produce('transactions', [
      `c|${JSON.stringify(transaction('2', 'c'))}`,
      `c|${JSON.stringify(transaction('1', 'c'))}`,
    ])
    const second = await deployment.worker()
    try {
      await settled(second)
      const decisions = await deployment.consume('decisions', 2)
      assert.match(decisions[1]!, /"customer_id_nb_tx_30day_window":2/)
    } finally {
      assert.equal(await second.stop(), 0, second.stderr())
    }
  })

  it('says what to do where there are no topics, and where the journal was lost', async () => {
    const deployment = new Deployment(kafka, folder, 'missing')
    await assert.rejects(deployment.worker(), /UNKNOWN_TOPIC: .*weir\.fraud\.epochs; create the topic first/)
    await deployment.createTopics()
    const worker = await deployment.worker('kept')
    await deployment.produce('transactions', [`c|${JSON.stringify(transaction('1', 'c'))}`])
    await settled(worker)
    assert.equal(await worker.stop(), 0, worker.stderr())
    const log = await deployment.log
    const { latest } = await log.range({ topic: 'weir.fraud.epochs', partition: 0 })
    await log.trim({ topic: 'weir.fraud.epochs', partition: 0, offset: latest })
    await log.close()
    await assert.rejects(deployment.worker('kept'), /JOURNAL_WITHOUT_GENESIS/)
    await assert.rejects(deployment.worker('another disk'), /JOURNAL_WITHOUT_GENESIS/)
  })

  for (const topic of ['transactions', 'decisions']) {
    it(`stops when ${topic} gets more partitions: their keys belong elsewhere`, async () => {
      const deployment = new Deployment(kafka, folder, `partitions-${topic}`)
      await deployment.createTopics(1)
      const worker = await deployment.worker()
      const log = await deployment.log
      await log.growTopic(topic, 2)
      await log.close()
      const until = performance.now() + waitMsMax
      while (worker.exitCode() === null && performance.now() < until)
        await new Promise(resolve => setTimeout(resolve, 100))
      assert.equal(worker.exitCode(), 1, worker.stderr())
      assert.match(worker.stderr(), new RegExp(`TOPIC_MISMATCH: ${topic} has 2 partitions, and had 1`))
      await assert.rejects(deployment.worker(), /TOPIC_MISMATCH/)
    })
  }
})

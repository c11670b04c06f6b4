/** The view of an edge over a real Kafka: open transactions, retention, a database that is lost or of another log. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { isWeirError, millis, positiveMurmur2, systemClock } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import { MemoryDisk } from '../../state/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import { KafkaDecisionView } from './view.js'

const skip = (await kafkaMissing()) ?? false
const partitions = 2
const partitionOf = (customer: string): number => positiveMurmur2(Buffer.from(customer)) % partitions

const decision = (transaction_id: string, customer_id: string) => ({
  topic: 'decisions',
  partition: partitionOf(customer_id),
  records: [{ key: Buffer.from(customer_id), value: Buffer.from(JSON.stringify({ transaction_id, customer_id })) }],
})

type Opened = Pick<KafkaDecisionView, 'find' | 'close'> & { noDecisions(): number }

describe('the decision view of an edge', { skip }, () => {
  let kafka: KafkaForTests
  const open: { close(): Promise<void> }[] = []
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    for (const part of open.reverse()) await part.close()
    await kafka.stop()
  })

  let logs = 0
  async function newLog(): Promise<KafkaLog> {
    const log = await KafkaLog.open({ brokers: kafka.brokers, prefix: `view-${process.pid}-${logs++}.` })
    open.push(log)
    await log.createTopic('decisions', partitions)
    return log
  }

  async function view(log: KafkaLog, disk: MemoryDisk, waitMsMax = 10_000): Promise<Opened> {
    const backend = disk.open()
    const options = { log, singles: log, backend, partitionOf, clock: systemClock }
    const opened = await KafkaDecisionView.open({ ...options, waitMsMax: millis(waitMsMax) })
    const close = async (): Promise<void> => {
      await opened.close()
      await backend.close()
    }
    open.push({ close })
    return { find: (id, customer) => opened.find(id, customer), noDecisions: () => opened.noDecisions, close }
  }

  it('finds what is committed, as soon as it is, at once and by many', async () => {
    const log = await newLog()
    const found = await view(log, new MemoryDisk())
    const committer = await log.committer(`view-${process.pid}`)
    for (let i = 0; i < 10; i++) {
      await committer.commit([decision(`t${i}`, 'a'), decision(`t${i}`, 'b'), decision(`only-${i}`, 'a')])
      const kinds = await Promise.all(
        [
          found.find(`t${i}`, 'a'),
          found.find(`t${i}`, undefined),
          found.find(`only-${i}`, undefined),
          found.find(`only-${i}`, 'b'),
        ].map(async answer => (await answer).kind),
      )
      assert.deepEqual(kinds, ['found', 'ambiguous', 'found', 'unknown'])
    }
    await committer.close()
  })

  it('passes over what is no decision, and counts it', async () => {
    const log = await newLog()
    const found = await view(log, new MemoryDisk())
    const values = [
      null,
      'no decision',
      '\0\0\0\0\u0001',
      JSON.stringify({ transaction_id: 'x'.repeat(70_000), customer_id: 'a' }),
    ]
    const records = values.map(value => ({ key: null, value: value === null ? null : Buffer.from(value) }))
    await log.append([{ topic: 'decisions', partition: partitionOf('a'), records }])
    await log.append([decision('behind', 'a')])
    assert.equal((await found.find('behind', 'a')).kind, 'found')
    assert.equal((await found.find('unknown', 'a')).kind, 'unknown')
    assert.equal(found.noDecisions(), values.length)
  })

  it('does not say unknown while a transaction is open: the decision may be in it', async () => {
    const log = await newLog()
    const found = await view(log, new MemoryDisk(), 300)
    const client = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING })
    const transactionalId = `view-open-${process.pid}`
    const producer = client.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    const transaction = await producer.transaction()
    const { topic, partition, records } = decision('t', 'a')
    const messages = records.map(({ key, value }) => ({ key, value, partition }))
    await transaction.send({ topic: `view-${process.pid}-${logs - 1}.${topic}`, messages })
    const isUnavailable = (error: unknown): boolean => isWeirError(error, 'LOG_UNAVAILABLE')
    await assert.rejects(found.find('t', 'a'), isUnavailable)
    await assert.rejects(found.find('t', undefined), isUnavailable)
    const other = Array.from({ length: 20 }, (_, i) => `c-${i}`).find(customer => partitionOf(customer) !== partition)
    assert.equal((await found.find('t', other)).kind, 'unknown', 'the partition of another customer')
    await transaction.commit()
    let kind = 'none yet'
    for (let tries = 0; kind !== 'found' && tries < 50; tries++) {
      kind = await found.find('t', 'a').then(
        answer => answer.kind,
        (error: unknown) => {
          assert.ok(isUnavailable(error))
          return 'not yet'
        },
      )
    }
    assert.equal(kind, 'found')
    await producer.disconnect()
  })

  it('goes on where it was, begins anew without its database, and forgets what retention took', async () => {
    const log = await newLog()
    for (let i = 0; i < 5; i++) await log.append([decision(`t${i}`, 'a')])
    const disk = new MemoryDisk()
    const first = await view(log, disk)
    assert.equal((await first.find('t4', 'a')).kind, 'found')
    await first.close()
    const entries = disk.entries

    await log.append([decision('t5', 'a')])
    await log.trim({ topic: 'decisions', partition: partitionOf('a'), offset: offset(3) })
    for (const reopened of [await view(log, disk), await view(log, new MemoryDisk())]) {
      assert.equal((await reopened.find('t5', 'a')).kind, 'found')
      assert.equal((await reopened.find('t3', 'a')).kind, 'found')
      assert.equal((await reopened.find('t2', 'a')).kind, 'unknown')
    }
    for (let tries = 0; disk.entries > entries - 2 && tries < 100; tries++) await sleep(20)
    assert.equal(disk.entries, entries - 2, 'three went, one came')
  })

  it('drops what it knows of a log that is another one now', async () => {
    const disk = new MemoryDisk()
    const old = await newLog()
    for (let i = 0; i < 5; i++) await old.append([decision(`t${i}`, 'a')])
    const first = await view(old, disk)
    assert.equal((await first.find('t4', 'a')).kind, 'found')
    await first.close()
    const anew = await newLog()
    await anew.append([decision('n', 'a')])
    const second = await view(anew, disk)
    assert.equal((await second.find('t4', 'a')).kind, 'unknown')
    assert.equal((await second.find('n', 'a')).kind, 'found')
  })
})

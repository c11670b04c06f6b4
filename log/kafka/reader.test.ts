import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Kafka, logLevel, type Producer } from 'kafkajs'
import { isWeirError, millis } from '../../kernel/index.js'
import { kafkaMissing, startKafka } from '../../testing/services/index.js'
import { offset } from '../port.js'
import type { KafkaLog } from './index.js'
import { type KafkaTests, withKafka } from './kafka-for-tests.js'
import { append, limits, readTo, valuesIn, valuesOf } from './records-for-tests.js'
import { requestKey } from './request-proxy-for-tests.js'
import { WireWriter } from './wire.js'

const source = { missing: await kafkaMissing(), start: () => startKafka({ shared: true }) }
const fourZeroBytes = Buffer.alloc(4)

withKafka('reader of the Kafka log', source, tests => {
  const foreign = (): Kafka =>
    new Kafka({
      brokers: [...tests.kafka.brokers],
      logLevel: logLevel.NOTHING,
      retry: { initialRetryTime: 10, retries: 12 },
    })
  /** A transactional producer that is not ours. */
  async function transactional(transactionalId: string): Promise<Producer> {
    const producer = foreign().producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    return producer
  }

  for (const seed of [1, 2]) {
    it(`shows committed records alone, whatever transactions overlap: seed ${seed}`, async () => {
      const prefix = tests.prefix()
      const log = await tests.open({ prefix })
      await log.createTopic('t', 2)
      const choose = generator(seed)
      const producers = await Promise.all([0, 1, 2, 3].map(i => transactional(`${prefix}${i}`)))
      const open = new Map<number, { transaction: Awaited<ReturnType<Producer['transaction']>>; values: string[] }>()
      const written: string[][] = [[], []]
      const committed = new Set<string>()
      let next = 0
      const end = async (who: number): Promise<void> => {
        const { transaction, values } = open.get(who)!
        open.delete(who)
        if (choose(2) === 0) return transaction.abort()
        await transaction.commit()
        for (const value of values) committed.add(value)
      }
      for (let step = 0; step < 90; step++) {
        const who = choose(producers.length)
        const current = open.get(who)
        if (current === undefined) open.set(who, { transaction: await producers[who]!.transaction(), values: [] })
        else if (choose(3) === 0) await end(who)
        else {
          const partition = choose(2)
          const values = Array.from({ length: 1 + choose(3) }, () => `${who}-${next++}`)
          const messages = values.map(value => ({ partition, value, key: choose(3) === 0 ? fourZeroBytes : null }))
          await current.transaction.send({ topic: `${prefix}t`, messages })
          written[partition]!.push(...values)
          current.values.push(...values)
        }
      }
      for (const who of open.keys()) await end(who)
      for (const producer of producers) await producer.disconnect()
      // Markers of other clients' transactions come a moment after: a transaction of ours in each partition waits for them.
      await (await log.committer('last')).commit([append('t', 0, 'last'), append('t', 1, 'last')])
      for (const partition of [0, 1]) {
        const expected = [...written[partition]!.filter(value => committed.has(value)), 'last']
        assert.deepEqual(await valuesIn(log, 't', partition), expected)
      }
      assert.ok(committed.size > 0 && committed.size < next)
    })
  }

  it('a key of four zero bytes is a key: neither the end of a transaction nor left out', async () => {
    const prefix = tests.prefix()
    const log = await tests.open({ prefix })
    await log.createTopic('t', 1)
    const producer = await transactional(`${prefix}p`)
    const send = async (how: 'commit' | 'abort', ...values: string[]): Promise<void> => {
      const transaction = await producer.transaction()
      for (const value of values) {
        await transaction.send({ topic: `${prefix}t`, messages: [{ key: fourZeroBytes, value }] })
      }
      await transaction[how]()
    }
    await send('commit', 'kept', 'also kept')
    await send('abort', 'gone', 'gone after the key', 'gone at last')
    await send('commit', 'kept again')
    await producer.disconnect()
    await (await log.committer('last')).commit([append('t', 0, 'last')])
    assert.deepEqual(await valuesIn(log, 't'), ['kept', 'also kept', 'kept again', 'last'])
  })

  it('a position that retention has passed is an error until a seek, and never moves', async () => {
    const prefix = tests.prefix()
    const log = await tests.open({ prefix })
    await log.createTopic('t', 1)
    await log.append([append('t', 0, 'a', 'b', 'c', 'd')])
    const reader = await log.reader([start(0)])
    const elsewhere = await tests.open({ prefix })
    await elsewhere.trim(start(2))
    for (let i = 0; i < 3; i++) {
      await assert.rejects(reader.poll({ ...limits, waitMsMax: millis(60_000) }), error =>
        isWeirError(error, 'OFFSET_OUT_OF_RANGE'),
      )
      assert.deepEqual(reader.positions(), [start(0)])
    }
    reader.seek(start(2))
    assert.deepEqual(await readTo(reader, new Map([[0, 4n]])), ['c', 'd'])
    await reader.close()
  })

  it('tells of a transaction that hangs open', async () => {
    const prefix = tests.prefix()
    const log = await tests.open({ prefix })
    await log.createTopic('t', 1)
    await log.append([append('t', 0, 'a')])
    const producer = await transactional(`${prefix}p`)
    const transaction = await producer.transaction()
    await transaction.send({ topic: `${prefix}t`, messages: [{ value: 'open' }] })
    await log.append([append('t', 0, 'b')])
    const reader = await log.reader([start(0)])
    assert.deepEqual(await readTo(reader, new Map([[0, 1n]])), ['a'])
    assert.deepEqual(await reader.poll(limits), [])
    const [state] = reader.state()
    assert.deepEqual(state, {
      topic: 't',
      partition: 0,
      position: 1n,
      highWatermark: 3n,
      lastStableOffset: 1n,
      earliest: 0n,
    })
    await transaction.abort()
    assert.deepEqual(await readTo(reader, new Map([[0, 4n]])), ['b'])
    await producer.disconnect()
    await reader.close()
  })

  it('goes on from the same record when connections break', async () => {
    const { log, proxy } = await tests.openThroughProxy()
    await log.createTopic('t', 3)
    const expected: string[][] = [[], [], []]
    for (let round = 0; round < 60; round++) {
      const values = Array.from({ length: 50 }, (_, i) => `${round}-${i}`)
      await log.append([append('t', round % 3, ...values)])
      expected[round % 3]!.push(...values)
    }
    const reader = await log.reader([start(0), start(0, 1), start(0, 2)])
    const read: string[][] = [[], [], []]
    for (let polls = 0; read.flat().length < 3_000; polls++) {
      for (const batch of await reader.poll({ ...limits, recordsMax: 70 }))
        read[batch.partition]!.push(...valuesOf([batch]))
      if (polls % 7 === 3) proxy.cutAll()
    }
    assert.deepEqual(read, expected)
    await reader.close()
  })

  it('says KAFKA_UNAVAILABLE past the bound of attempts, and reads on once brokers answer', async () => {
    const { log, proxy } = await tests.openThroughProxy({ limits: { attemptsMax: 3 } })
    await log.createTopic('t', 1)
    await log.append([append('t', 0, 'a')])
    const reader = await log.reader([start(0)])
    proxy.refuse(true)
    await assert.rejects(reader.poll({ ...limits, waitMsMax: millis(60_000) }), error =>
      isWeirError(error, 'KAFKA_UNAVAILABLE'),
    )
    proxy.refuse(false)
    assert.deepEqual(reader.positions(), [start(0)])
    assert.deepEqual(await readTo(reader, new Map([[0, 1n]])), ['a'])
    await reader.close()
  })

  for (const errorCode of [-1, 7, 56]) {
    it(`tries again after error ${errorCode}, which says nothing of the position`, async () => {
      const prefix = tests.prefix()
      const { log, proxy } = await tests.openThroughProxy({ prefix })
      await log.createTopic('t', 1)
      await log.append([append('t', 0, 'a')])
      const met = proxy.next(requestKey.fetch, fetchAnswer(`${prefix}t`, errorCode))
      const reader = await log.reader([start(0)])
      assert.deepEqual(await readTo(reader, new Map([[0, 1n]])), ['a'])
      await met
      await reader.close()
    })
  }

  for (const codec of ['gzip', 'snappy', 'lz4', 'zstd']) {
    it(`reads what Java's producer compressed with ${codec}`, async () => {
      const { log, values } = await produced(tests, codec)
      assert.deepEqual(await valuesIn(log, 't'), values)
      // From the middle of a compressed batch.
      const reader = await log.reader([start(1_234)])
      assert.deepEqual(await readTo(reader, new Map([[0, BigInt(values.length)]])), values.slice(1_234))
      await reader.close()
    })
  }
})

/** Body of an answer to Fetch: an error of partition 0. */
function fetchAnswer(topic: string, errorCode: number): Buffer {
  const to = new WireWriter()
  to.int32(0) // throttle time
    .int16(0)
    .int32(0) // session
    .array([topic], () => {
      to.string(topic)
        .array([0], partition => {
          to.int32(partition).int16(errorCode).int64(-1).int64(-1).int64(-1)
          to.array([], () => {}) // aborted transactions
          to.int32(-1) // preferred replica
          to.uvarint(0).tags() // no records
        })
        .tags()
    })
    .tags()
  return Buffer.concat(to.chunks())
}

const start = (at: number, partition = 0) => ({ topic: 't', partition, offset: offset(at) })

async function produced(
  tests: KafkaTests<Awaited<ReturnType<typeof startKafka>>>,
  codec: string,
): Promise<{ log: KafkaLog; values: string[] }> {
  const prefix = tests.prefix()
  const log = await tests.open({ prefix })
  await log.createTopic('t', 1)
  const choose = generator(3)
  const values = Array.from({ length: 3_000 }, (_, i) =>
    JSON.stringify({ transaction_id: `t-${i}`, customer_id: `c-${choose(200)}`, amount_minor: choose(100_000) }),
  )
  const { code, stderr } = await tests.kafka.tool(
    'org.apache.kafka.tools.ConsoleProducer',
    [
      ...['--bootstrap-server', tests.kafka.brokers.join(','), '--topic', `${prefix}t`],
      ...['--compression-codec', codec, '--batch-size', '100000', '--timeout', '200'],
    ],
    `${values.join('\n')}\n`,
  )
  assert.equal(code, 0, stderr)
  return { log, values }
}

/** Park-Miller. */
function generator(seed: number): (below: number) => number {
  let state = seed * 7_919 + 1
  return below => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

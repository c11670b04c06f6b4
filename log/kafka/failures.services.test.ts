import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isWeirError, millis } from '../../kernel/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import { type LogCommitter, offset } from '../port.js'
import type { KafkaLog } from './index.js'
import { withKafka } from './kafka-for-tests.js'
import { append, readTo, valuesIn, valuesOf } from './records-for-tests.js'

const missing = await kafkaMissing()
const limits = { recordsMax: 500, bytesMax: 1 << 20, waitMsMax: millis(100) }
const partitions = 6
/** Between writes: brokers that start need the processor too. */
const breathMs = 20

withKafka('three brokers', { missing, start: () => startKafka({ brokers: 3 }) }, tests => {
  for (const transactions of ['auto', 'v1'] as const) {
    it(`commits and reads through broker failures, transactions ${transactions}: nothing lost, nothing twice`, async () => {
      const log = await tests.open({ transactions })
      await log.createTopic('t', partitions)
      const { replication, config } = await log.describeTopic('t', ['min.insync.replicas'])
      assert.deepEqual([replication, config?.get('min.insync.replicas')], [3, '2'])
      const reader = await log.reader(Array.from({ length: partitions }, (_, partition) => start(partition)))
      const run = new SlotLike(log)
      const read: string[][] = Array.from({ length: partitions }, () => [])
      const reading = readUntil(reader, read, () => run.done)
      const faults = breakBrokers(tests.kafka)
      try {
        await run.commitWhile(faults)
      } finally {
        run.done = true
        await reading
      }
      const ends = new Map<number, bigint>()
      for (let partition = 0; partition < partitions; partition++) {
        ends.set(partition, (await log.range({ topic: 't', partition })).latest)
      }
      for (let left = true; left; ) {
        left = reader.positions().some(({ partition, offset: at }) => at < ends.get(partition)!)
        if (left) collect(await reader.poll(limits), read)
      }
      for (let partition = 0; partition < partitions; partition++) {
        assert.deepEqual(read[partition], run.expected)
        assert.deepEqual(await valuesIn(log, 't', partition), run.expected)
      }
      assert.ok(run.expected.length > 20, `${run.expected.length} epochs`)
      await reader.close()
    })
  }

  it('appends through a broker failure: every append that was confirmed is there, once', async () => {
    const log = await tests.open()
    await log.createTopic('t', partitions)
    let done = false
    const confirmed: string[][] = Array.from({ length: partitions }, () => [])
    const open = new Set<string>()
    const appending = Promise.all(
      Array.from({ length: partitions }, async (_, partition) => {
        for (let i = 0; !done; i++) {
          try {
            await log.append([append('t', partition, `${i}`)])
            confirmed[partition]!.push(`${i}`)
            await pause(breathMs)
          } catch (error) {
            assert.ok(isWeirError(error, 'COMMIT_INDEFINITE') || isWeirError(error, 'KAFKA_UNAVAILABLE'), `${error}`)
            open.add(`${partition}/${i}`)
          }
        }
      }),
    )
    try {
      await tests.kafka.stopBroker(0, 'SIGKILL')
      await pause(8_000)
      await tests.kafka.startBroker(0)
      await pause(3_000)
    } finally {
      done = true
      await appending
    }
    for (let partition = 0; partition < partitions; partition++) {
      const values = await valuesIn(log, 't', partition)
      assert.equal(new Set(values).size, values.length)
      assert.deepEqual(
        values.filter(value => !open.has(`${partition}/${value}`)),
        confirmed[partition],
      )
      assert.ok(confirmed[partition]!.length > 0)
    }
  })
})

withKafka('one broker', { missing, start: () => startKafka() }, tests => {
  it('killed and started again: reader and a new committer go on where they were', async () => {
    const log = await tests.open()
    await log.createTopic('t', 1)
    const reader = await log.reader([start(0)])
    const committer = await log.committer('slot')
    for (let i = 0; i < 5; i++) await committer.commit([append('t', 0, `before-${i}`)])
    const { latest } = await log.range({ topic: 't', partition: 0 })
    const before = Array.from({ length: 5 }, (_, i) => `before-${i}`)
    assert.deepEqual(await readTo(reader, new Map([[0, latest]])), before)
    await tests.kafka.stopBroker(0, 'SIGKILL')
    await assert.rejects(committer.commit([append('t', 0, 'lost')]), error => isWeirError(error, 'COMMIT_INDEFINITE'))
    const polling = reader.poll({ ...limits, waitMsMax: millis(120_000) })
    await tests.kafka.startBroker(0)
    const next = await log.committer('slot')
    await next.commit([append('t', 0, 'after')])
    assert.deepEqual([...valuesOf(await polling)], ['after'])
    assert.deepEqual(await valuesIn(log, 't'), [...before, 'after'])
    await reader.close()
  })
})

const start = (partition: number) => ({ topic: 't', partition, offset: offset(0) })
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Kills each broker once, and stops one in order: leaders and coordinators move. */
async function breakBrokers(kafka: KafkaForTests): Promise<void> {
  for (const [i, signal] of [
    [0, 'SIGKILL'],
    [1, 'SIGTERM'],
    [2, 'SIGKILL'],
  ] as const) {
    await pause(2_000)
    await kafka.stopBroker(i, signal)
    await pause(6_000)
    await kafka.startBroker(i)
    await pause(4_000)
  }
}

/** Commits numbered epochs to every partition as a slot does: after a failure it fences and looks what was committed. */
class SlotLike {
  readonly expected: string[] = []
  done = false
  readonly #log: KafkaLog

  constructor(log: KafkaLog) {
    this.#log = log
  }

  async commitWhile(faults: Promise<void>): Promise<void> {
    let ended = false
    const ending = faults.finally(() => {
      ended = true
    })
    let committer: LogCommitter | undefined
    let inDoubt: string | undefined
    for (let epoch = 0; !ended || inDoubt !== undefined; ) {
      try {
        committer ??= await this.#log.committer('slot')
        if (inDoubt !== undefined) {
          // I4: fenced first, then looked.
          if ((await valuesIn(this.#log, 't', partitions - 1)).includes(inDoubt)) this.expected.push(inDoubt)
          inDoubt = undefined
        }
        const value = `${epoch++}`
        inDoubt = value
        await committer.commit(Array.from({ length: partitions }, (_, partition) => append('t', partition, value)))
        inDoubt = undefined
        this.expected.push(value)
        await pause(breathMs)
      } catch (error) {
        assert.ok(isWeirError(error, 'COMMIT_INDEFINITE') || isWeirError(error, 'KAFKA_UNAVAILABLE'), `${error}`)
        await committer?.close()
        committer = undefined
      }
    }
    await committer?.close()
    await ending
  }
}

async function readUntil(
  reader: Awaited<ReturnType<KafkaLog['reader']>>,
  into: string[][],
  isDone: () => boolean,
): Promise<void> {
  while (!isDone()) {
    try {
      collect(await reader.poll(limits), into)
    } catch (error) {
      assert.ok(isWeirError(error, 'KAFKA_UNAVAILABLE'), `${error}`)
    }
  }
}

function collect(
  batches: Awaited<ReturnType<Awaited<ReturnType<KafkaLog['reader']>>['poll']>>,
  into: string[][],
): void {
  for (const batch of batches) into[batch.partition]!.push(...valuesOf([batch]))
}

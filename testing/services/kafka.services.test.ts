/** Three brokers for tests: one may be killed, stopped for a while and started again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { kafkaMissing, startKafka } from './index.js'

const skip = (await kafkaMissing()) ?? false

describe('three brokers', { skip }, () => {
  it('keep what they acknowledged while one is killed, another frozen, and both come back', async t => {
    const kafka = await startKafka({ brokers: 3 })
    const client = new Kafka({
      brokers: [...kafka.brokers],
      logLevel: logLevel.NOTHING,
      // A frozen broker answers nothing.
      connectionTimeout: 1_000,
      requestTimeout: 3_000,
      retry: { retries: 60, maxRetryTime: 500 },
    })
    const [admin, producer] = [client.admin(), client.producer({ idempotent: true })]
    t.after(async () => {
      await Promise.all([admin.disconnect(), producer.disconnect()])
      await kafka.stop()
    })
    await Promise.all([admin.connect(), producer.connect()])
    await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 3, replicationFactor: 3 }] })
    assert.equal((await admin.describeCluster()).brokers.length, 3)
    let sent = 0
    const send = async (): Promise<void> => {
      await producer.send({ topic: 'kept', acks: -1, messages: [{ value: String(sent) }] })
      sent++
    }
    await send()
    await kafka.stopBroker(0)
    for (let i = 0; i < 5; i++) await send()
    await kafka.startBroker(0)
    await isWhole(kafka.brokers)
    await kafka.stopBroker(1, 'SIGSTOP')
    for (let i = 0; i < 5; i++) await send()
    await kafka.stopBroker(1, 'SIGCONT')
    await isWhole(kafka.brokers)
    const offsets = await admin.fetchTopicOffsets('kept')
    assert.equal(
      offsets.reduce((sum, { high }) => sum + Number(high), 0),
      sent,
    )

    /** Waits until every replica of the topic is in sync again. */
    async function isWhole(brokers: readonly string[]): Promise<void> {
      for (let tries = 0; tries < 120; tries++) {
        const [topic] = (await admin.fetchTopicMetadata({ topics: ['kept'] })).topics
        if (topic?.partitions.every(({ isr }) => isr.length === brokers.length)) return
        await sleep(500)
      }
      throw new Error('the replicas did not come back into sync')
    }
  })
})

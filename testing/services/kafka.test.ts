/** The broker for tests is a real one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { type KafkaForTests, kafkaMissing, startKafka } from './index.js'

const skip = (await kafkaMissing()) ?? false

async function createTopic(kafka: KafkaForTests, topic: string, address = kafka.direct): Promise<void> {
  const args = ['--bootstrap-server', address.join(','), '--create', '--topic', topic, '--partitions', '2']
  const { code, stdout, stderr } = await kafka.tool('org.apache.kafka.tools.TopicCommand', args)
  assert.equal(code, 0, stdout + stderr)
}

async function produce(kafka: KafkaForTests, topic: string, lines: string): Promise<void> {
  const args = ['--bootstrap-server', kafka.brokers.join(','), '--topic', topic]
  const { code, stderr } = await kafka.tool('org.apache.kafka.tools.ConsoleProducer', args, lines)
  assert.equal(code, 0, stderr)
}

async function consume(kafka: KafkaForTests, topic: string, count: number): Promise<readonly string[]> {
  const args = ['--bootstrap-server', kafka.brokers.join(','), '--topic', topic, '--from-beginning']
  const { code, stdout, stderr } = await kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', [
    ...args,
    '--max-messages',
    String(count),
    '--timeout-ms',
    '30000',
  ])
  assert.equal(code, 0, stderr)
  return stdout.trim().split('\n').sort()
}

describe('Kafka for tests', { skip }, () => {
  it('shared by the files of a run: the console producer writes, the console consumer reads', async t => {
    const kafka = await startKafka({ shared: true })
    t.after(() => kafka.stop())
    const topic = `services-${process.pid}`
    await createTopic(kafka, topic)
    await produce(kafka, topic, 'one\ntwo\n')
    assert.deepEqual(await consume(kafka, topic, 2), ['one', 'two'])
    await assert.rejects(kafka.stopBroker(0), /shared/)
  })

  it('of a file alone, behind a proxy: keeps what it has over kill -9, and its clients go through the proxy', async t => {
    const kafka = await startKafka({ proxied: true })
    t.after(() => kafka.stop())
    await createTopic(kafka, 'kept')
    await produce(kafka, 'kept', 'before\n')
    await kafka.stopBroker(0)
    await kafka.startBroker(0)
    await produce(kafka, 'kept', 'after\n')
    assert.deepEqual(await consume(kafka, 'kept', 2), ['after', 'before'])
    // What clients learn from the broker's metadata is the proxy's address.
    const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin()
    t.after(() => admin.disconnect())
    await admin.connect()
    const { brokers } = await admin.describeCluster()
    assert.deepEqual(
      brokers.map(({ host, port }) => `${host}:${port}`),
      kafka.brokers,
    )
    assert.notDeepEqual(kafka.brokers, kafka.direct)
  })
})

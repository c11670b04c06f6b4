/**
 * Clients that are not ours, as docs/kafka-producers.md shows them: kcat, Kafka's console tools, Python and Java produce JSON and
 * Avro with librdkafka's default partitioner and with murmur2, with keys and without; every transaction gets one decision. What
 * is in the topics is read by a foreign consumer and held against the verifier of the chaos runs, which shares nothing with
 * the engine.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Dumped, type Dumps, parseDump, verify } from '../chaos/verify.js'
import { Deployment, settled } from '../deployment/index.js'
import {
  foreignClients,
  foreignClientsMissing,
  type KafkaForTests,
  kafkaMissing,
  type RegistryForTests,
  registryMissing,
  startKafka,
  startRegistry,
} from '../services/index.js'
import { Guide, type Where } from './guide.js'
import { murmur2Partition } from './murmur2.js'

const skip = (await kafkaMissing()) ?? (await registryMissing()) ?? (await foreignClientsMissing()) ?? false
const partitions = 3
const hourMs = 3_600_000
const startMs = Math.floor(Date.now() / hourMs) * hourMs - 35 * 24 * hourMs

interface Payment {
  readonly transaction_id: string
  readonly customer_id: string
  readonly event_time: number | string
}

/** Of customers of its own, and of some that others pay for too; its ids name the producer and count its payments. */
function payments(producer: string, count: number): Payment[] {
  return Array.from({ length: count }, (_, i) => ({
    transaction_id: `${producer}-${i}`,
    event_time: startMs + i * 5 * hourMs + producer.length,
    customer_id: i % 2 === 0 ? `${producer}-c${i % 5}` : `shared-${i % 7}`,
    terminal_id: `m-${i % 4}`,
    amount_minor: 100 + i * 7,
    currency: 'EUR',
  }))
}

const json = (payment: Payment): string => JSON.stringify(payment)
const keyed = (payment: Payment): string => `${payment.customer_id}|${json(payment)}`

/** Decisions of one producer's keyed payments for a customer stand in the order in which it sent them. */
function outOfOrder(decisions: readonly Dumped[], producers: readonly string[]): string[] {
  const last = new Map<string, number>()
  const found: string[] = []
  for (const { key, value } of decisions) {
    const { transaction_id } = JSON.parse(value) as Payment
    const [, producer, i] = /^(.+)-(\d+)$/.exec(transaction_id)!
    if (!producers.includes(producer!)) continue
    const stream = `${producer} for ${key}`
    if (Number(i) < (last.get(stream) ?? -1)) found.push(`${transaction_id} of ${key}`)
    last.set(stream, Number(i))
  }
  return found
}

/** The contract: in partition murmur2(customer_id) mod P, whatever the producers did. */
const misplaced = (decisions: readonly Dumped[]): readonly Dumped[] =>
  decisions.filter(({ key, partition }) => key === null || partition !== murmur2Partition(key, partitions))

function check(dumps: Dumps, sent: number, repeats: number, producers: readonly string[]): void {
  const { lost, duplicated, outOfOrder: inversions, wrong, ...counts } = verify(dumps)
  assert.deepEqual({ lost, duplicated, inversions, wrong }, { lost: [], duplicated: [], inversions: [], wrong: [] })
  assert.deepEqual(
    { transactions: counts.transactions, repeats: counts.repeats, decisions: counts.decisions },
    { transactions: sent, repeats, decisions: sent },
  )
  assert.deepEqual(misplaced(dumps.decisions), [])
  assert.deepEqual(outOfOrder(dumps.decisions, producers), [])
}

describe('clients that are not ours', { skip }, () => {
  let kafka: KafkaForTests
  let registry: RegistryForTests
  let guide: Guide
  const made: Deployment[] = []
  before(async () => {
    kafka = await startKafka({ shared: true })
    registry = await startRegistry({ shared: true })
    guide = await Guide.open(await foreignClients())
  })
  after(async () => {
    for (const deployment of made) await deployment.close()
    await guide?.folder.close()
    await registry?.stop()
    await kafka?.stop()
  })
  const deploy = async (env: Readonly<Record<string, string>>) => {
    const deployment = await Deployment.create({ brokers: kafka.brokers, name: 'foreign', env }, partitions)
    made.push(deployment)
    const where: Where = { brokers: kafka.brokers[0]!, registry: registry.url, prefix: deployment.prefix }
    return { deployment, where, worker: await deployment.worker() }
  }
  /** Lines of a dump as a file, as the verifier reads them. */
  const parsed = (text: string): Dumped[] => {
    const path = join(guide.folder.path, 'dump')
    writeFileSync(path, text)
    return parseDump(path)
  }

  it('send JSON by kcat, the console producer and weir produce; the console consumer sees each decided once', async () => {
    const { where, worker } = await deploy({})
    const kcat = guide.command('kcat -P')
    const defaultPartitioner = kcat.replace(' -X partitioner=murmur2_random', '')
    assert.notEqual(defaultPartitioner, kcat)
    guide.write('transactions.txt', payments('murmur', 60).map(keyed))
    await guide.run(kcat, where)
    guide.write('transactions.txt', payments('crc', 60).map(keyed))
    await guide.run(defaultPartitioner, where)
    guide.write('transactions.txt', payments('nokey', 40).map(json))
    await guide.run(defaultPartitioner.replace(" -K '|'", ''), where)
    // some again, by another producer and so in another partition, and one with a time as people write it
    const sent = payments('console', 60)
    const iso = { ...sent[0]!, event_time: new Date(Number(sent[0]!.event_time)).toISOString() }
    guide.write('transactions.txt', [iso, ...sent.slice(1), ...payments('crc', 5)].map(keyed))
    await guide.run(guide.command('kafka-console-producer.sh'), where)
    const date = (i: number): string => new Date(startMs + i * hourMs).toISOString().slice(0, 19).replace('T', ' ')
    guide.write('transactions.csv', [
      'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud',
      ...Array.from(
        { length: 40 },
        (_, i) => `ours-${i},${date(i)},ours-c${i % 3},m-${i % 4},${i}.25,${i % 9 === 0 ? 1 : 0}`,
      ),
    ])
    await guide.run(guide.command('weir produce'), where)
    await settled(worker)

    const consumer = guide.command('kafka-console-consumer.sh')
    const print = '--timeout-ms 10000 --property print.partition=true --property print.offset=true'
    const dump = async (topic: string): Promise<Dumped[]> =>
      parsed(await guide.run(`${consumer.replace('--topic decisions', `--topic ${topic}`)} ${print}`, where))
    const dumps = {
      transactions: await dump('transactions'),
      labels: await dump('labels'),
      decisions: await dump('decisions'),
      journal: await dump('weir.fraud.epochs'),
    }
    check(dumps, 260, 5, ['murmur', 'crc', 'console', 'ours'])
    assert.equal(dumps.labels.length, 40)
    assert.ok(
      dumps.transactions.some(({ key, partition }) => key !== null && partition !== murmur2Partition(key, partitions)),
      'librdkafka put some keys elsewhere',
    )
    assert.ok(dumps.transactions.some(({ key }) => key === null))
    const lines = (await guide.run(`${guide.command('weir decisions')} --count 260`, where)).trimEnd().split('\n')
    assert.deepEqual(lines.toSorted(), dumps.decisions.map(({ value }) => value).toSorted())
  })

  it('send Avro by Python and Java, and JSON between; Python reads each decision once, in Avro', async () => {
    const { where, worker } = await deploy({ WEIR_SCHEMA_REGISTRY_URL: registry.url })
    const python = guide.command('python producer.py')
    const send = async (command: string, name: string, count: number): Promise<void> => {
      guide.write('transactions.ndjson', payments(name, count).map(json))
      await guide.run(command, where)
    }
    await send(python, 'python', 60)
    await send(python.replace('transaction.avsc', 'transaction.avsc consistent_random'), 'crc', 60)
    await send(guide.command('java'), 'java', 60)
    // what Java sent once more, from Python
    await send(python, 'java', 10)
    guide.write('transactions.txt', payments('nokey', 30).map(json))
    const kcat = guide.command('kcat -P')
    await guide.run(kcat.replace(" -K '|'", ''), where)
    await settled(worker)

    const consumer = guide.command('python consumer.py')
    const dump = async (topic: string): Promise<Dumped[]> =>
      parsed(await guide.run(consumer.replace(/ decisions$/, ` ${topic}`), where))
    const dumps = {
      transactions: await dump('transactions'),
      labels: await dump('labels'),
      decisions: await dump('decisions'),
      journal: await dump('weir.fraud.epochs'),
    }
    check(dumps, 210, 10, ['python', 'crc', 'java'])
    const ours = await guide.run(`${guide.command('weir decisions')} --count 210`, where)
    const ids = ours
      .trimEnd()
      .split('\n')
      .map(line => (JSON.parse(line) as Payment).transaction_id)
    const theirs = dumps.decisions.map(({ value }) => (JSON.parse(value) as Payment).transaction_id)
    assert.deepEqual(ids.toSorted(), theirs.toSorted())
  })
})

/** The verbs that speak to Kafka, as their users have them: processes, against a real broker and a worker. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { positiveMurmur2 } from '../../kernel/index.js'
import { Deployment, settled } from '../../testing/deployment/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import { type Ended, errorLine, startWeir, weir } from '../replay/testing/cli.js'

const skip = (await kafkaMissing()) ?? false
const partitions = 3

const linesOf = <T>({ code, stdout, stderr }: Ended): T[] => {
  assert.equal(code, 0, stderr)
  return stdout
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as T)
}

interface Listed {
  readonly at: string
  readonly code: string
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number }
  readonly key: string | null
  readonly value: string | null
  readonly replayed: boolean
}

interface Decided {
  readonly transaction_id: string
  readonly customer_id: string
  readonly features: Readonly<Record<string, number>>
}

describe('verbs on Kafka', { skip }, () => {
  let kafka: KafkaForTests
  const made: Deployment[] = []
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    for (const deployment of made) await deployment.close()
    await kafka.stop()
  })
  const deploy = async (): Promise<Deployment> => {
    const deployment = await Deployment.create({ brokers: kafka.brokers, name: 'cli' }, partitions)
    made.push(deployment)
    return deployment
  }

  it('produce sends a file with its labels, decisions shows what became of it', async t => {
    const deployment = await deploy()
    const { env } = deployment
    const path = join(deployment.folder, 'payments.csv')
    const payment = (id: string, customer: string, minute: number, fraud = ''): string =>
      `${id},2024-01-01 10:${minute}:00,${customer},t1,10.50,${fraud}`
    const payments = Array.from({ length: 30 }, (_, i) => payment(`p${i}`, `c${i % 4}`, 10 + i, i === 3 ? '1' : ''))
    const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'
    writeFileSync(path, [header, ...payments, '', 'no record', ''].join('\n'))

    const following = startWeir(['decisions', '--from-beginning', '--count', '30', '--json'], { env })
    t.after(() => following.child.kill('SIGKILL'))
    const sent = await weir(['produce', '--format', 'handbook', '--input', path, '--json'], { env })
    assert.equal(sent.code, 0, sent.stderr)
    assert.deepEqual(JSON.parse(sent.stdout), { lines: 32, blank_lines: 1, malformed: 1, sent: 30, labels: 1 })
    assert.match(sent.stderr, /^line 33: MALFORMED_RECORD: /)
    for (const { key, partition } of await deployment.read('transactions')) {
      assert.equal(partition, positiveMurmur2(Buffer.from(key!)) % partitions)
    }
    const worker = await deployment.worker()
    const decisions = linesOf<Decided>(await following.ended)
    for (const customer of ['c0', 'c1', 'c2', 'c3']) {
      const own = decisions.filter(({ customer_id }) => customer_id === customer)
      const counts = own.map(({ features }) => features.customer_id_nb_tx_1day_window)
      assert.deepEqual(
        counts,
        own.map((_, i) => i + 1),
        `${customer}: in the order of the file`,
      )
    }
    // at a rate, and once more: repeats, which make no second decision
    const again = ['produce', path, '--format', 'handbook', '--rate', '200']
    const brokers = ['--brokers', kafka.brokers.join(','), '--topic-prefix', deployment.prefix]
    const words = await weir([...again, ...brokers])
    assert.match(words.stdout, /^sent +30$/m, words.stderr)
    await settled(worker)
    assert.equal((await deployment.read('decisions')).length, 30)
  })

  it('decisions follows from now on until Ctrl-C; what is no decision is told on stderr', async t => {
    const deployment = await deploy()
    // One batch, so that whoever begins to follow sees all of it or none.
    const append = (...values: readonly string[]) => {
      const records = values.map(value => ({ key: null, value: Buffer.from(value) }))
      return deployment.log.append([{ topic: 'decisions', partition: 0, records }])
    }
    await append('{"n":0}')
    const running = startWeir(['decisions'], { env: deployment.env })
    t.after(() => running.child.kill('SIGKILL'))
    let seen = ''
    running.child.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk
    })
    // it does not say when it has begun
    for (let i = 1; seen === ''; i++) {
      await append('\0neither', `{"n":${i}}`)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    running.child.kill('SIGINT')
    const { code, stdout, stderr } = await running.ended
    assert.equal(code, 0)
    assert.doesNotMatch(stdout, /neither|"n":0\}/)
    assert.match(stderr, /^(decisions\/0\/\d+: MALFORMED_RECORD: .*\n)+$/)
  })

  it('deadletter lists, and sends again byte for byte and never twice by accident', async () => {
    const deployment = await deploy()
    const { env, log } = deployment
    const card = '4111111111111111'
    const records = [
      { key: Buffer.from('c-1'), value: Buffer.from(`not a transaction of card ${card}`) },
      { key: null, value: Buffer.from([0, 0, 0, 0, 9, 1, 0xff]) },
      { key: Buffer.from('c-2'), value: null },
      { key: Buffer.from('c-3'), value: Buffer.from('{"transaction_id":1}') },
    ]
    await log.append([{ topic: 'transactions', partition: 2, records }])
    await log.append([
      { topic: 'labels', partition: 1, records: [{ key: Buffer.from('c-4'), value: Buffer.from('?') }] },
    ])
    const worker = await deployment.worker()
    await settled(worker)
    await worker.stop()

    const listed = linesOf<Listed>(await weir(['deadletter', 'list', '--json'], { env }))
    assert.deepEqual(
      listed.map(({ source, key, replayed }) => [
        `${source.topic}/${source.partition}/${source.offset}`,
        key,
        replayed,
      ]),
      [
        ['labels/1/0', 'c-4', false],
        ['transactions/2/0', 'c-1', false],
        ['transactions/2/1', null, false],
        ['transactions/2/2', 'c-2', false],
        ['transactions/2/3', 'c-3', false],
      ],
    )
    assert.match(listed[1]!.value!, /card \*+1111$/)
    const words = await weir(['deadletter', 'list', '--code', 'MALFORMED_RECORD', '--count', '1'], { env })
    assert.match(words.stdout, /^\d\/\d+ {2}MALFORMED_RECORD {2}\w+\/\d\/\d {2}\S+ {2}.+\n$/)

    const replay = async (...flags: string[]) =>
      linesOf<object>(await weir(['deadletter', 'replay', ...flags, '--json'], { env }))[0]
    assert.deepEqual(await replay('--all', '--dry-run'), { selected: 5, sent: 5, already: 0, not_ours: 0, left_out: 0 })
    assert.deepEqual(await replay('--at', listed[1]!.at), {
      selected: 1,
      sent: 1,
      already: 0,
      not_ours: 0,
      left_out: 0,
    })
    assert.deepEqual(await replay('--at', listed[1]!.at), {
      selected: 1,
      sent: 0,
      already: 1,
      not_ours: 0,
      left_out: 0,
    })
    // two at once: each record goes out once, whoever sends it
    const both = await Promise.all([0, 1].map(() => weir(['deadletter', 'replay', '--all'], { env })))
    for (const ended of both) if (ended.code !== 0) assert.match(errorLine(ended), /^INTERRUPTED: /)
    await weir(['deadletter', 'replay', '--all'], { env })

    const resent = [...(await deployment.read('transactions')), ...(await deployment.read('labels'))].filter(
      ({ headers }) => 'weir.replayed.from' in headers,
    )
    assert.equal(resent.length, 5)
    for (const { at, source } of listed) {
      const [copy, ...more] = resent.filter(
        each => each.headers['weir.replayed.from'] === `transactions.dead-letter/${at}`,
      )
      assert.equal(more.length, 0)
      const { key, value } =
        source.topic === 'labels' ? { key: Buffer.from('c-4'), value: Buffer.from('?') } : records[source.offset]!
      assert.deepEqual([copy!.key, copy!.value], [key?.toString() ?? null, value])
      assert.equal(copy!.partition, key === null ? source.partition : positiveMurmur2(key) % partitions)
    }
    assert.ok(linesOf<Listed>(await weir(['deadletter', 'list', '--json'], { env })).every(({ replayed }) => replayed))
    assert.deepEqual(await replay('--at', listed[0]!.at, '--again'), {
      selected: 1,
      sent: 1,
      already: 0,
      not_ours: 0,
      left_out: 0,
    })
  })

  it('deadletter lives with headers that somebody else has written', async () => {
    const { env, log } = await deploy()
    const header = (name: string, value: string) => ({ name, value: Buffer.from(value) })
    const from = (partition: string) => ({
      key: null,
      value: Buffer.from('{'),
      headers: [
        header('weir.error.code', '\u001b[2J'),
        header('weir.source.topic', 'transactions'),
        header('weir.source.partition', partition),
        header('weir.source.offset', '0\u001b'),
      ],
    })
    const records = [from('0'), from('-7'), from('1.5'), from('x'), { ...from('0'), headers: [] }]
    await log.append([{ topic: 'transactions.dead-letter', partition: 0, records }])
    const { stdout } = await weir(['deadletter', 'list'], { env })
    assert.equal(stdout.trimEnd().split('\n').length, records.length)
    assert.doesNotMatch(stdout, /[^\n\P{Cc}]/u, 'control characters reach no terminal')
    const [summary] = linesOf<object>(await weir(['deadletter', 'replay', '--all', '--json'], { env }))
    assert.deepEqual(summary, { selected: 5, sent: 1, already: 0, not_ours: 4, left_out: 0 })
  })

  it('says in one line what is wrong', async () => {
    const { env } = await deploy()
    const elsewhere = { ...env, WEIR_TOPIC_PREFIX: 'nowhere.' }
    const nobody = { WEIR_KAFKA_BROKERS: '127.0.0.1:1' }
    const wrong = [
      [['deadletter', 'list'], {}, 2, /^USAGE: no broker is named/],
      [['deadletter', 'replay'], env, 2, /^USAGE: say which/],
      [['deadletter', 'replay', '--all', '--code', 'X'], env, 2, /^USAGE: --all excludes/],
      [['deadletter', 'replay', '--at', '7'], env, 2, /^USAGE: --at has '7'/],
      [['deadletter', 'bury'], env, 2, /^USAGE: 'bury' is neither/],
      [['deadletter', 'list'], elsewhere, 1, /^UNKNOWN_TOPIC: .*nowhere\..*; create the topic first/],
      [['decisions', '--from-beginning'], elsewhere, 1, /^UNKNOWN_TOPIC: /],
      [['decisions', '--from-beginning'], nobody, 1, /^KAFKA_UNAVAILABLE: /],
      [['decisions', '--url', 'http://127.0.0.1:1', '--brokers', '127.0.0.1:1'], {}, 2, /^USAGE: --url is/],
      [['decisions', '--url', 'http://127.0.0.1:1'], env, 1, /^UNREACHABLE: /],
      [['produce', '--input', 'none.csv'], env, 1, /^INPUT_UNREADABLE: /],
    ] as const
    const all = await Promise.all(wrong.map(([args, its]) => weir(args, { env: { WEIR_KAFKA_BROKERS: '', ...its } })))
    for (const [i, [args, , code, shape]] of wrong.entries()) {
      const ended = all[i]!
      assert.deepEqual([ended.code, ended.stdout], [code, ''], `${args.join(' ')}: ${ended.stderr}`)
      assert.match(errorLine(ended), shape)
      assert.equal(ended.stderr.trimEnd().split('\n').length, 1)
    }
  })
})

/** `weir edge` and `weir worker` as processes, over a real Kafka. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { millis } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import {
  type KafkaForTests,
  kafkaMissing,
  registryMissing,
  startKafka,
  startRegistry,
} from '../../testing/services/index.js'
import { freePort, startEdge, startWorker, type WeirProcess } from '../../testing/weir-process/index.js'
import { topicSpecs } from '../topics/index.js'
import { hopTopicsOf } from '../worker/index.js'

const skip = (await kafkaMissing()) ?? false
const noRegistry = (await registryMissing()) ?? false
const waitMsMax = 30_000
const partitions = 3

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

const transaction = (id: string, customer: string, more: object = {}) => ({
  transaction_id: id,
  event_time: Date.now(),
  customer_id: customer,
  terminal_id: 't-1',
  amount_minor: 1_250,
  currency: 'EUR',
  ...more,
})

async function answerOf(response: Response): Promise<Answer> {
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  }
}

async function post(edge: WeirProcess, body: object, query = ''): Promise<Answer> {
  return await answerOf(
    await fetch(`${edge.url}/v1/decisions${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  )
}

const get = async (url: string): Promise<Answer> => await answerOf(await fetch(url))
const find = (edge: WeirProcess, id: string, query = ''): Promise<Answer> =>
  get(`${edge.url}/v1/decisions/${id}${query}`)

/** Asks until the answer is as wanted. */
async function until(ask: () => Promise<Answer>, status: number): Promise<Answer> {
  const end = performance.now() + waitMsMax
  for (;;) {
    const answer = await ask()
    if (answer.status === status) return answer
    assert.ok(performance.now() < end, `still ${answer.status}: ${JSON.stringify(answer.body)}`)
    await sleep(100)
  }
}

class Deployment {
  readonly prefix: string
  readonly #kafka: KafkaForTests
  readonly #folder: string
  readonly #env: Readonly<Record<string, string>>

  constructor(kafka: KafkaForTests, folder: string, name: string, env: Readonly<Record<string, string>> = {}) {
    this.#kafka = kafka
    this.#folder = folder
    this.prefix = `edge-${name}-${process.pid}.`
    this.#env = { WEIR_TOPIC_PREFIX: this.prefix, ...env }
  }

  get brokers(): readonly string[] {
    return this.#kafka.brokers
  }

  async createTopics(slots = 1): Promise<void> {
    const log = await KafkaLog.open({ brokers: this.#kafka.brokers, prefix: this.prefix })
    const hops = hopTopicsOf('fraud', { slots, partitions })
    for (const spec of topicSpecs({ app: 'fraud', partitions, slots, edges: 2, hops })) {
      await log.createTopic(spec.name, spec.partitions, { config: spec.config })
    }
    await log.close()
  }

  async worker(name: string): Promise<WeirProcess> {
    return await startWorker(this.brokers, join(this.#folder, this.prefix, name), await freePort(), {
      env: this.#env,
    })
  }

  async edge(name: string, flags: readonly string[] = []): Promise<WeirProcess> {
    return await startEdge(this.brokers, join(this.#folder, this.prefix, name), await freePort(), {
      flags,
      env: this.#env,
    })
  }

  /** All values that a read_committed reader sees, once nothing more comes for a second. */
  async read(topic: string): Promise<readonly Record<string, unknown>[]> {
    return (await this.values(topic)).map(value => JSON.parse(value.toString('utf8')) as Record<string, unknown>)
  }

  async values(topic: string): Promise<readonly Buffer[]> {
    const log = await KafkaLog.open({ brokers: this.#kafka.brokers, prefix: this.prefix })
    const count = await log.partitionCount(topic)
    const reader = await log.reader(
      Array.from({ length: count }, (_, partition) => ({ topic, partition, offset: offset(0) })),
    )
    const found: Buffer[] = []
    for (let quiet = 0; quiet < 2; ) {
      const batches = await reader.poll({ recordsMax: 10_000, bytesMax: 16 << 20, waitMsMax: millis(500) })
      quiet = batches.length === 0 ? quiet + 1 : 0
      for (const { bytes, valueStart, valueEnd, count } of batches) {
        for (let i = 0; i < count; i++) found.push(Buffer.from(bytes.subarray(valueStart[i], valueEnd[i])))
      }
    }
    await log.close()
    return found
  }
}

describe('weir edge', { skip }, () => {
  let kafka: KafkaForTests
  const folder = mkdtempSync(join(tmpdir(), 'weir-edge-test-'))
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    await kafka.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('answers over Kafka as `weir up` does', async () => {
    const deployment = new Deployment(kafka, folder, 'answers')
    await assert.rejects(deployment.edge('e'), /UNKNOWN_TOPIC/)
    await deployment.createTopics()
    const worker = await deployment.worker('w')
    const edge = await deployment.edge('e')
    try {
      const first = await post(edge, transaction('a', 'c-1'), '?deadline_ms=20000')
      assert.equal(first.status, 200, JSON.stringify(first.body))
      assert.equal(first.body.customer_id, 'c-1')
      assert.deepEqual(
        { ...(first.body.source as object), partition: 0 },
        { topic: 'transactions', partition: 0, offset: 0 },
      )
      // read your own write
      const found = await find(edge, 'a', '?customer_id=c-1')
      assert.deepEqual([found.status, found.body], [200, first.body])

      const second = await post(edge, transaction('b', 'c-1', { amount_minor: 2_750 }))
      assert.equal((second.body.features as Record<string, number>).customer_id_nb_tx_1day_window, 2)

      const again = await post(edge, transaction('a', 'c-1', { event_time: Date.now() + 1 }))
      assert.deepEqual([again.status, again.body], [200, first.body])
      assert.equal(again.headers.get('weir-repeated'), 'true')
      const conflict = await post(edge, transaction('a', 'c-1', { amount_minor: 1 }))
      assert.deepEqual([conflict.status, conflict.body.code], [422, 'IDEMPOTENCY_MISMATCH'])

      const other = await post(edge, transaction('a', 'c-2'))
      assert.equal(other.status, 200)
      assert.equal((await find(edge, 'a')).body.code, 'AMBIGUOUS_ID')
      assert.equal((await find(edge, 'b')).status, 200)
      assert.equal((await find(edge, 'nobody')).status, 404)
      assert.equal((await find(edge, 'b', '?customer_id=c-2')).status, 404)

      const wrong = await post(edge, transaction('x', 'c-1', { amount_minor: -1 }))
      assert.deepEqual([wrong.status, wrong.body.code], [400, 'INVALID_REQUEST'])

      const label = await fetch(`${edge.url}/v1/labels`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          transaction_id: 'a',
          customer_id: 'c-1',
          terminal_id: 't-1',
          event_time: Date.now(),
          label: 'fraud',
          label_source: 'chargeback',
          available_at: Date.now(),
        }),
      })
      assert.equal(label.status, 202)
      assert.equal((await deployment.read('labels')).length, 1)

      const stream = await fetch(`${edge.url}/v1/stream/decisions?from=beginning&count=3`)
      assert.equal((await stream.text()).trim().split('\n').length, 3)
      const metrics = await (await fetch(`${edge.url}/metrics`)).text()
      assert.match(metrics, /weir_edge_kafka_answers 1/)
      const decided = await deployment.read('decisions')
      assert.deepEqual(decided.map(d => `${d.customer_id}/${d.transaction_id}`).sort(), ['c-1/a', 'c-1/b', 'c-2/a'])
      assert.deepEqual((await deployment.read(`weir.fraud.repeats`)).map(repeat => repeat.conflicting).sort(), [
        false,
        true,
      ])
    } finally {
      assert.equal(await edge.stop(), 0, edge.stderr())
      assert.equal(await worker.stop(), 0, worker.stderr())
    }
  })

  it('speaks Avro where there is a registry, and answers in JSON', { skip: noRegistry }, async () => {
    const registry = await startRegistry({ shared: true })
    const deployment = new Deployment(kafka, folder, 'avro', { WEIR_SCHEMA_REGISTRY_URL: registry.url })
    await deployment.createTopics()
    const worker = await deployment.worker('w')
    const edge = await deployment.edge('e')
    try {
      const metadata = { shop: 'a "quoted" one' }
      const first = await post(edge, transaction('ä', 'c-1', { metadata, country: 'DE' }), '?deadline_ms=20000')
      assert.equal(first.status, 200, JSON.stringify(first.body))
      assert.equal(first.body.transaction_id, 'ä')
      assert.match(String(first.body.decided_at), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      const found = await find(edge, encodeURIComponent('ä'))
      assert.deepEqual([found.status, found.body], [200, first.body])
      const again = await post(edge, transaction('ä', 'c-1'))
      assert.deepEqual([again.status, again.body], [200, first.body])
      worker.signal('SIGSTOP')
      const provisional = await post(edge, transaction('p', 'c-1'), '?deadline_ms=50&on_deadline=decline')
      worker.signal('SIGCONT')
      assert.equal(provisional.body.outcome, 'decline')
      for (const topic of ['transactions', 'decisions', 'decisions.provisional']) {
        for (const value of await deployment.values(topic)) assert.equal(value[0], 0, `${topic} is framed`)
      }
    } finally {
      await edge.stop()
      await worker.stop()
      await registry.stop()
    }
  })

  it('is patient without a worker: 202, provisional answers, and the decision once there is one', async () => {
    const deployment = new Deployment(kafka, folder, 'patient')
    await deployment.createTopics()
    const edge = await deployment.edge('e')
    let worker: WeirProcess | undefined
    try {
      const pending = await post(edge, transaction('a', 'c'), '?deadline_ms=50')
      assert.equal(pending.status, 202)
      const location = pending.headers.get('location') ?? ''
      assert.equal(location, '/v1/decisions/a?customer_id=c')
      assert.equal((await find(edge, 'a', '?customer_id=c')).status, 404)

      const provisional = await post(edge, transaction('b', 'c'), '?deadline_ms=50&on_deadline=review')
      assert.equal(provisional.status, 200)
      const { outcome, outcome_source, provisional: isProvisional } = provisional.body
      assert.deepEqual([outcome, outcome_source, isProvisional], ['review', 'fallback', true])
      assert.deepEqual(await deployment.read('decisions.provisional'), [provisional.body])

      worker = await deployment.worker('w')
      const decided = await until(() => get(edge.url + location), 200)
      assert.equal(decided.body.provisional, false)
      const replaced = await until(() => find(edge, 'b', '?customer_id=c'), 200)
      assert.equal(replaced.body.decision_id, provisional.body.decision_id)

      // a reply that nobody gets: to an edge that has gone meanwhile
      worker.signal('SIGSTOP')
      const lost = post(edge, transaction('d', 'c'), '?deadline_ms=300')
      assert.equal((await lost).status, 202)
      await edge.kill()
      worker.signal('SIGCONT')
      const other = await deployment.edge('e')
      try {
        assert.equal((await until(() => find(other, 'd', '?customer_id=c'), 200)).body.transaction_id, 'd')
        assert.equal((await find(other, 'a')).status, 200, 'the view of the edge before')
      } finally {
        assert.equal(await other.stop(), 0, other.stderr())
      }
    } finally {
      await edge.kill()
      if (worker !== undefined) assert.equal(await worker.stop(), 0, worker.stderr())
    }
  })

  it('has every transaction that it took decided once, while a worker is killed', async () => {
    const deployment = new Deployment(kafka, folder, 'killed')
    // two slots: decisions come back through hops, epochs after their transactions were read
    await deployment.createTopics(2)
    const edges = [
      await deployment.edge('e-0', ['--reply-partition', '0']),
      await deployment.edge('e-1', ['--reply-partition', '1']),
    ]
    let worker = await deployment.worker('w')
    const acknowledged = new Map<string, Answer>()
    let refused = 0
    let sending = true
    const client = async (number: number): Promise<void> => {
      const edge = edges[number % 2]!
      for (let i = 0; sending; i++) {
        const id = `k-${number}-${i}`
        const answer = await post(edge, transaction(id, `c-${i % 7}`), '?deadline_ms=400')
        if (answer.status === 200 || answer.status === 202) acknowledged.set(`c-${i % 7}/${id}`, answer)
        else refused++
        await sleep(5)
      }
    }
    try {
      const clients = Array.from({ length: 8 }, (_, number) => client(number))
      await sleep(1_500)
      await worker.kill()
      worker = await deployment.worker('w')
      await until(() => post(edges[0]!, transaction('after', 'c'), '?deadline_ms=5000'), 200)
      sending = false
      await Promise.all(clients)

      assert.equal(refused, 0, 'a worker that is gone refuses nobody')
      assert.ok(
        [...acknowledged.values()].some(({ status }) => status === 200),
        'replies arrived',
      )
      for (const [key, answer] of acknowledged) {
        const [customer, id] = key.split('/') as [string, string]
        // of the other edge: each view has all of it
        const edge = edges[answer.status === 200 ? 1 : 0]!
        const found = await until(() => find(edge, id, `?customer_id=${customer}`), 200)
        if (answer.status === 200) assert.deepEqual(found.body, answer.body)
      }
      const decided = (await deployment.read('decisions')).map(d => `${d.customer_id}/${d.transaction_id}`)
      assert.equal(new Set(decided).size, decided.length, 'each once')
      assert.deepEqual(decided.sort(), [...acknowledged.keys(), 'c/after'].sort())
    } finally {
      sending = false
      for (const edge of edges) await edge.stop()
      await worker.stop()
    }
  })

  it('says 503 while Kafka is away, and serves again when it is back', async () => {
    const own = await startKafka({ proxied: true })
    const deployment = new Deployment(own, folder, 'away')
    let worker: WeirProcess | undefined
    let edge: WeirProcess | undefined
    try {
      await deployment.createTopics()
      worker = await deployment.worker('w')
      edge = await deployment.edge('e')
      const serving = edge
      assert.equal((await post(serving, transaction('a', 'c'), '?deadline_ms=20000')).status, 200)
      const cut = (): void => {
        own.proxies[0]!.set({ kind: 'refuse' })
        own.proxies[0]!.cut()
      }
      cut()
      const refused = await post(serving, transaction('b', 'c'))
      assert.equal(refused.status, 503, JSON.stringify(refused.body))
      assert.ok(Number(refused.headers.get('retry-after')) > 0)
      await until(() => get(`${serving.url}/readyz`), 503)
      assert.equal((await find(serving, 'nobody')).status, 503, 'what cannot be known is not unknown')
      own.proxies[0]!.set({ kind: 'none' })
      await until(() => get(`${serving.url}/readyz`), 200)
      const after = await until(() => post(serving, transaction('b', 'c'), '?deadline_ms=5000'), 200)
      assert.equal(after.body.transaction_id, 'b')
      assert.deepEqual((await find(serving, 'b')).body, after.body)

      // a broker that takes requests and never answers
      own.proxies[0]!.set({ kind: 'hold', direction: 'both' })
      const held = await post(serving, transaction('d', 'c'), '?deadline_ms=100')
      assert.equal(held.status, 503, JSON.stringify(held.body))
      own.proxies[0]!.set({ kind: 'none' })
      await until(() => post(serving, transaction('d', 'c'), '?deadline_ms=5000'), 200)
      const decided = (await deployment.read('decisions')).map(d => d.transaction_id)
      assert.deepEqual(decided.sort(), ['a', 'b', 'd'])
    } finally {
      await edge?.stop()
      await worker?.stop()
      await own.stop()
    }
  })
})

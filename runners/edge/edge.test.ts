/** `weir edge` and `weir worker` as processes, over a real Kafka. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { KafkaLog } from '../../log/kafka/index.js'
import { Deployment, find, get, post, transaction, until } from '../../testing/edge-deployment/index.js'
import {
  type KafkaForTests,
  kafkaMissing,
  registryMissing,
  startKafka,
  startRegistry,
} from '../../testing/services/index.js'
import type { WeirProcess } from '../../testing/weir-process/index.js'

const skip = (await kafkaMissing()) ?? false
const noRegistry = (await registryMissing()) ?? false

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

  it('answers a repeat whose decision has gone 410 with one slot, and 202 once there are more', async () => {
    const deployment = new Deployment(kafka, folder, 'gone')
    await deployment.createTopics()
    const worker = await deployment.worker('w')
    const edge = await deployment.edge('e')
    const log = await KafkaLog.open({ brokers: deployment.brokers, prefix: deployment.prefix })
    try {
      assert.equal((await post(edge, transaction('a', 'c'), '?deadline_ms=20000')).status, 200)
      for (let partition = 0; partition < (await log.partitionCount('decisions')); partition++) {
        const { latest } = await log.range({ topic: 'decisions', partition })
        await log.trim({ topic: 'decisions', partition, offset: latest })
      }
      const expired = await post(edge, transaction('a', 'c'), '?deadline_ms=20000')
      assert.deepEqual([expired.status, expired.body.code], [410, 'DECISION_EXPIRED'])
      // As weir rescale has it, while edges run.
      await log.growTopic('weir.fraud.epochs', 2)
      assert.equal((await post(edge, transaction('a', 'c'), '?deadline_ms=20000')).status, 202)
    } finally {
      await log.close()
      assert.equal(await edge.stop(), 0, edge.stderr())
      assert.equal(await worker.stop(), 0, worker.stderr())
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
})

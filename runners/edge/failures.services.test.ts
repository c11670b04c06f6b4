/** What an edge says while workers are killed and while Kafka is away, over a real Kafka. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, Deployment, find, get, post, transaction, until } from '../../testing/edge-deployment/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import type { LaunchedWeir, WeirProcess } from '../../testing/weir-process/index.js'

const skip = (await kafkaMissing()) ?? false
const nothing: Answer = { status: 0, headers: new Headers(), body: {} }

describe('weir edge through failures', { skip }, () => {
  let kafka: KafkaForTests
  const folder = mkdtempSync(join(tmpdir(), 'weir-edge-failures-'))
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    await kafka.stop()
    rmSync(folder, { recursive: true, force: true })
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

  it('started while Kafka is away, waits for it', async () => {
    const own = await startKafka({ proxied: true })
    const deployment = new Deployment(own, folder, 'late')
    let worker: WeirProcess | undefined
    let edge: LaunchedWeir | undefined
    try {
      await deployment.createTopics()
      worker = await deployment.worker('w')
      own.proxies[0]!.set({ kind: 'refuse' })
      own.proxies[0]!.cut()
      edge = await deployment.launchEdge('e')
      const { url } = edge
      await until(() => get(`${url}/readyz`).catch(() => nothing), 503)
      await until(async () => {
        const { status, body } = await get(`${url}/readyz`)
        return /KAFKA_UNAVAILABLE/.test(JSON.stringify(body)) ? { ...nothing, status } : nothing
      }, 503)
      assert.equal((await post(edge, transaction('a', 'c'))).status, 503)
      assert.equal((await fetch(`${url}/v1/stream/decisions`)).status, 503)
      assert.equal(edge.exitCode(), null)
      own.proxies[0]!.set({ kind: 'none' })
      await until(() => get(`${url}/readyz`), 200)
      await until(() => post(edge!, transaction('a', 'c'), '?deadline_ms=5000'), 200)
    } finally {
      await edge?.stop()
      await worker?.stop()
      await own.stop()
    }
  })
})

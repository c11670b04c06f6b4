/** A deployment under a prefix of its own on a real Kafka, its processes, and a client of its HTTP. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { millis } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import { topicSpecs } from '../../runners/topics/index.js'
import { hopTopicsOf } from '../../runners/worker/index.js'
import type { KafkaForTests } from '../services/index.js'
import {
  freePort,
  type LaunchedWeir,
  launchEdge,
  startEdge,
  startWorker,
  type WeirProcess,
} from '../weir-process/index.js'

const waitMsMax = 30_000
const partitions = 3

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

export const transaction = (id: string, customer: string, more: object = {}) => ({
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

export async function post(edge: LaunchedWeir, body: object, query = ''): Promise<Answer> {
  return await answerOf(
    await fetch(`${edge.url}/v1/decisions${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  )
}

export const get = async (url: string): Promise<Answer> => await answerOf(await fetch(url))
export const find = (edge: WeirProcess, id: string, query = ''): Promise<Answer> =>
  get(`${edge.url}/v1/decisions/${id}${query}`)

/** Asks until the answer is as wanted. */
export async function until(ask: () => Promise<Answer>, status: number): Promise<Answer> {
  const end = performance.now() + waitMsMax
  for (;;) {
    const answer = await ask()
    if (answer.status === status) return answer
    assert.ok(performance.now() < end, `still ${answer.status}: ${JSON.stringify(answer.body)}`)
    await sleep(100)
  }
}

export class Deployment {
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

  /** Waits for nothing. */
  async launchEdge(name: string): Promise<LaunchedWeir> {
    return launchEdge(this.brokers, join(this.#folder, this.prefix, name), await freePort(), { env: this.#env })
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

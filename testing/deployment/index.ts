/** A deployment of its own on a Kafka that others use too: topics under a prefix, workers, and what lies in the topics. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { millis } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import { topicSpecs } from '../../runners/topics/index.js'
import { hopTopicsOf } from '../../runners/worker/index.js'
import { freePort, type LaunchedWeir, launchWorker, startWorker, type WeirProcess } from '../weir-process/index.js'

const settleMsMax = 60_000

export interface DeploymentOptions {
  readonly brokers: readonly string[]
  /** Where brokers let anybody in; by default `brokers`. */
  readonly admin?: readonly string[]
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
}

/** A record as read_committed shows it. */
export interface Stored {
  readonly partition: number
  readonly offset: bigint
  readonly key: string | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, string>>
}

/** What /readyz says. */
export interface Readiness {
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly slots: readonly {
    readonly state: string
    readonly epoch: number
    readonly inputs: readonly { readonly behind: number }[]
    readonly behind?: { readonly epochs: number; readonly ms: number }
  }[]
}

let deployments = 0

export class Deployment {
  readonly prefix: string
  /** Without access control. */
  readonly log: KafkaLog
  /** For `weir` and its workers. */
  readonly env: Readonly<Record<string, string>>
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-deployment-'))
  readonly #options: DeploymentOptions
  readonly #workers: LaunchedWeir[] = []

  private constructor(options: DeploymentOptions, prefix: string, log: KafkaLog) {
    this.#options = options
    this.prefix = prefix
    this.log = log
    this.env = { WEIR_KAFKA_BROKERS: options.brokers.join(','), WEIR_TOPIC_PREFIX: prefix, ...options.env }
  }

  static async create(options: DeploymentOptions, partitions = 2, slots = 1): Promise<Deployment> {
    const prefix = `${options.name}-${process.pid}-${deployments++}.`
    const log = await KafkaLog.open({ brokers: options.admin ?? options.brokers, prefix })
    for (const spec of topicSpecs({
      app: 'fraud',
      partitions,
      slots,
      hops: hopTopicsOf('fraud', { slots, partitions }),
    })) {
      await log.createTopic(spec.name, spec.partitions, { config: spec.config })
    }
    return new Deployment(options, prefix, log)
  }

  /** Ready when it resolves; ended with the deployment. */
  async worker(env: Readonly<Record<string, string>> = {}): Promise<WeirProcess> {
    const dataDir = join(this.folder, `data-${this.#workers.length}`)
    const worker = await startWorker(this.#options.brokers, dataDir, await freePort(), { env: { ...this.env, ...env } })
    this.#workers.push(worker)
    return worker
  }

  /** It may never become ready. @param dataDir name of one that another worker had before */
  async launch(
    env: Readonly<Record<string, string>> = {},
    dataDir = `data-${this.#workers.length}`,
  ): Promise<LaunchedWeir> {
    const worker = launchWorker(this.#options.brokers, join(this.folder, dataDir), await freePort(), {
      env: { ...this.env, ...env },
    })
    this.#workers.push(worker)
    return worker
  }

  /** One record. */
  async send(topic: string, partition: number, key: string | null, value: Buffer | string): Promise<void> {
    const record = { key: key === null ? null : Buffer.from(key), value: Buffer.from(value) }
    await this.log.append([{ topic, partition, records: [record] }])
  }

  /** Everything that is committed in a topic, by partition and offset. */
  async read(topic: string): Promise<readonly Stored[]> {
    const count = await this.log.partitionCount(topic)
    const ranges = await Promise.all(
      Array.from({ length: count }, (_, partition) => this.log.range({ topic, partition })),
    )
    const reader = await this.log.reader(
      ranges.map(({ earliest }, partition) => ({ topic, partition, offset: offset(earliest) })),
    )
    const found: Stored[] = []
    while (reader.positions().some(at => at.offset < ranges[at.partition]!.latest)) {
      for (const batch of await reader.poll({ recordsMax: 1_000, bytesMax: 1 << 20, waitMsMax: millis(250) })) {
        for (let i = 0; i < batch.count; i++) {
          const [key, value] = [batch.keyStart[i]!, batch.valueStart[i]!]
          found.push({
            partition: batch.partition,
            offset: batch.baseOffset + BigInt(batch.offsetDelta[i]!),
            key: key < 0 ? null : batch.bytes.toString('utf8', key, batch.keyEnd[i]),
            value: value < 0 ? null : Buffer.from(batch.bytes.subarray(value, batch.valueEnd[i])),
            headers: Object.fromEntries(
              (batch.headersOf?.(i) ?? []).map(header => [header.name, Buffer.from(header.value).toString('utf8')]),
            ),
          })
        }
      }
    }
    await reader.close()
    return found.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset))
  }

  /** What a topic holds once it holds so many records. @throws Error when it does not */
  async readAtLeast(topic: string, count: number): Promise<readonly Stored[]> {
    const end = performance.now() + settleMsMax
    for (;;) {
      const found = await this.read(topic)
      if (found.length >= count) return found
      if (performance.now() > end) throw new Error(`${topic} holds ${found.length} records, not ${count}`)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) await worker.kill()
    await this.log.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Of a process that does not listen yet, or is no more, not ready. */
export async function readinessOf(worker: LaunchedWeir): Promise<Readiness> {
  try {
    return (await (await fetch(`${worker.url}/readyz`)).json()) as Readiness
  } catch (error) {
    return { ready: false, reasons: [`no answer: ${error}`], slots: [] }
  }
}

/** Until /readyz says what is wanted. @throws Error with what it said last */
export async function until(worker: LaunchedWeir, wanted: (state: Readiness) => boolean): Promise<Readiness> {
  const end = performance.now() + settleMsMax
  for (;;) {
    const state = await readinessOf(worker)
    if (wanted(state)) return state
    if (performance.now() > end) throw new Error(`${JSON.stringify(state)}: ${worker.stderr()}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

/** The exit code, once it has ended by itself. @throws Error when it does not */
export async function endOf(worker: LaunchedWeir): Promise<number> {
  const end = performance.now() + settleMsMax
  for (let code = worker.exitCode(); ; code = worker.exitCode()) {
    if (code !== null) return code
    if (performance.now() > end) throw new Error(`it does not end: ${worker.stderr()}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** Until the worker is ready and has read everything, at several looks in a row: its marks are those of its last fetch. */
export async function settled(worker: LaunchedWeir): Promise<void> {
  for (let quiet = 0; quiet < 3; ) {
    const { ready, slots } = await readinessOf(worker)
    const idle = slots.length > 0 && slots.every(({ inputs }) => inputs.every(({ behind }) => behind === 0))
    quiet = ready && idle ? quiet + 1 : 0
    if (quiet === 0) await until(worker, state => state.ready)
    await new Promise(resolve => setTimeout(resolve, 300))
  }
}

/**
 * `TopologyDriver`: runs a topology in a test, by the real slot over a log in memory and a clock that only you move.
 *
 *   const driver = await TopologyDriver.start(app)
 *   await driver.send('payments', [{ customer: 'c1', cents: 500 }])
 *   assert.deepEqual(await driver.read('alerts'), [...])
 *
 * `send` returns when everything sent is decided and committed, so a test never waits and never polls.
 */
import { assert, type Clock, type DurationMs, WeirError } from '../../kernel/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { journalTopicOf, Slot, type SlotEvent, type SlotLimits } from '../../runners/slot/index.js'
import type { Model } from '../../scoring/index.js'
import { MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import { compile, type Plan, type Topology } from '../../topology/index.js'

export interface DriverOptions {
  readonly models?: ReadonlyMap<string, Model>
  /** Where the clock stands first, ms since the epoch; default 2024-01-01. */
  readonly nowMs?: number
  readonly limits?: Partial<SlotLimits>
  readonly onEvent?: (event: SlotEvent) => void
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #nowMs: number

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  /** Nobody may wait on a clock that stands still: sleeping moves it. */
  async sleep(ms: DurationMs): Promise<void> {
    this.#nowMs += ms
  }

  advance(ms: DurationMs): void {
    this.#nowMs += ms
  }
}

export interface SendOptions {
  readonly key?: string
  readonly partition?: number
}

const deadLetterTopic = 'dead-letter'

export class TopologyDriver {
  readonly clock: ManualClock
  readonly plan: Plan
  readonly #options: DriverOptions
  readonly #log: MemoryLog
  readonly #state = new StateDisk()
  #slot: Slot | undefined

  private constructor(plan: Plan, options: DriverOptions) {
    this.plan = plan
    this.#options = options
    this.clock = new ManualClock(options.nowMs ?? Date.UTC(2024, 0, 1))
    this.#log = new MemoryLog(new MemoryDisk(), { clock: this.clock })
  }

  /** Creates the topics, one partition each, and starts the slot. @throws WeirError when the topology is not valid */
  static async start(app: Topology, options: DriverOptions = {}): Promise<TopologyDriver> {
    const plan = compile(app.graph)
    const driver = new TopologyDriver(plan, options)
    const topics = [
      ...plan.sources.map(source => source.topic),
      ...plan.sinks.map(sink => sink.topic),
      journalTopicOf(plan.app),
      deadLetterTopic,
    ]
    for (const topic of topics) await driver.#log.createTopic(topic, 1)
    await driver.#open()
    return driver
  }

  /** Running totals since the start: records, dead letters, each sink, and what operators count. */
  get counts(): ReadonlyMap<string, number> {
    return this.#running.counts
  }

  /** Appends values as JSON (bytes and strings as they are) and runs until all is committed. */
  async send(topic: string, values: readonly unknown[], options: SendOptions = {}): Promise<void> {
    const key = options.key === undefined ? null : Buffer.from(options.key)
    const records = values.map(value => ({ key, value: toBytes(value) }))
    await this.#log.append([{ topic, partition: options.partition ?? 0, records }])
    await this.#drain()
  }

  /** Everything that the topology has written to a topic so far, parsed as JSON. */
  async read(topic: string): Promise<unknown[]> {
    return (await this.#readBytes(topic)).map(bytes => JSON.parse(bytes.toString('utf8')))
  }

  /** Dead letters so far: what was wrong, and the bytes as received. */
  async deadLetters(): Promise<{ code: string; message: string; value: string }[]> {
    return (await this.read(deadLetterTopic)) as { code: string; message: string; value: string }[]
  }

  /** Moves the wall clock; what depends on it (idleness) happens with the next epoch. */
  advance(ms: DurationMs): void {
    this.clock.advance(ms)
  }

  /** Throws the slot away as a crash would, and starts another on what was committed. */
  async crash(): Promise<void> {
    this.#slot = undefined
    this.#state.crash()
    await this.#open()
  }

  async close(): Promise<void> {
    await this.#slot?.close()
    this.#slot = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  get #running(): Slot {
    if (this.#slot === undefined) throw new WeirError('USAGE', 'the driver is closed')
    return this.#slot
  }

  async #open(): Promise<void> {
    const store = await StateStore.open({ backend: this.#state.open(), keyGroups: 64, cacheBytesMax: 64 << 20 })
    const slot = new Slot({
      plan: this.plan,
      slot: 0,
      log: this.#log,
      store,
      models: this.#options.models ?? new Map(),
      clock: this.clock,
      limits: { pollWaitMs: 0 as DurationMs, ...this.#options.limits },
      genesis: {
        app: this.plan.app,
        slots: 1,
        key_groups: 64,
        partitions: this.plan.sources.map(source => ({ topic: source.topic, count: 1 })),
        start: this.plan.sources.map(source => ({ topic: source.topic, partition: 0, offset: '0' })),
        job: {},
      },
      deadLetters: {
        topic: deadLetterTopic,
        encode: ({ code, message, value }) => ({
          key: null,
          value: Buffer.from(JSON.stringify({ code, message, value: value?.toString('utf8') ?? null })),
        }),
      },
      syncState: true,
      ...(this.#options.onEvent && { onEvent: this.#options.onEvent }),
    })
    await slot.start()
    this.#slot = slot
  }

  async #drain(): Promise<void> {
    while ((await this.#running.step()).kind === 'committed') {
      // Another epoch may be waiting.
    }
  }

  async #readBytes(topic: string): Promise<Buffer[]> {
    const at = { topic, partition: 0 }
    const { earliest, latest } = await this.#log.range(at)
    const reader = await this.#log.reader([{ ...at, offset: earliest }])
    const values: Buffer[] = []
    while (reader.positions()[0]!.offset < latest) {
      const batches = await reader.poll({ recordsMax: 4_096, bytesMax: 1 << 24, waitMsMax: 0 as DurationMs })
      assert(batches.length > 0, 'a log in memory answers at once')
      for (const batch of batches) {
        for (let i = 0; i < batch.count; i++) {
          values.push(Buffer.from(batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i])))
        }
      }
    }
    await reader.close()
    return values
  }
}

function toBytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
}

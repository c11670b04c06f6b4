/** Several slots of one plan over one log in memory, which take turns: the least that shows what passes between them. */
import type { Clock, DurationMs } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { genesisOf, journalTopicOf, Slot, type SlotEvent, type SlotLimits } from '../../runners/slot/index.js'
import { MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import { compile, type Placement, type Plan, type Topology } from '../../topology/index.js'

export interface Letter {
  readonly source: string
  readonly message: string
  readonly value: string | null
}

const letters = 'dead-letters'

export class Cluster {
  readonly plan: Plan
  readonly log: MemoryLog
  readonly events: SlotEvent[] = []
  readonly slots: Slot[] = []
  readonly #clock: Clock
  readonly #placement: Placement
  readonly #limits: Partial<SlotLimits>

  constructor(app: Topology, placement: Placement, clock: Clock, limits: Partial<SlotLimits> = {}) {
    this.#clock = clock
    this.plan = compile(app.graph, placement)
    this.#placement = placement
    this.#limits = limits
    this.log = new MemoryLog(new MemoryDisk(), { clock })
  }

  /** @param partitions of topics that do not have as many as the plan says */
  async start(partitions: Readonly<Record<string, number>> = {}): Promise<this> {
    const count = (topic: string): number => partitions[topic] ?? this.#placement.partitions
    for (const { topic } of [...this.plan.sources, ...this.plan.sinks]) await this.log.createTopic(topic, count(topic))
    await this.log.createTopic(journalTopicOf(this.plan.app), this.#placement.slots)
    await this.log.createTopic(letters, 1)
    for (let slot = 0; slot < this.#placement.slots; slot++) {
      const store = await StateStore.open({ backend: new StateDisk().open(), keyGroups: 64, cacheBytesMax: 1 << 20 })
      const opened = new Slot({
        plan: this.plan,
        slot,
        log: this.log,
        store,
        models: new Map(),
        clock: this.#clock,
        limits: { pollWaitMs: 0 as DurationMs, ...this.#limits },
        genesis: genesisOf(this.plan, slot, { keyGroups: 64, partitionsOf: count }),
        deadLetters: {
          topic: letters,
          encode: ({ source, message, value }) => {
            const letter: Letter = {
              source: `${source.topic}/${source.partition}/${source.offset}`,
              message,
              value: value?.toString('utf8') ?? null,
            }
            return { key: null, value: Buffer.from(JSON.stringify(letter)) }
          },
        },
        syncState: true,
        onEvent: event => void this.events.push(event),
      })
      await opened.start()
      this.slots.push(opened)
    }
    return this
  }

  /** @param values bytes, or what becomes JSON */
  async send(topic: string, partition: number, values: readonly unknown[]): Promise<void> {
    const bytesOf = (value: unknown): Uint8Array =>
      value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value))
    const records = values.map(value => ({ key: null, value: bytesOf(value) }))
    await this.log.append([{ topic, partition, records }])
  }

  /** Until nobody has anything to do. */
  async drain(): Promise<void> {
    for (let idle = 0; idle < this.slots.length; ) {
      idle = 0
      for (const slot of this.slots) if ((await slot.step()).kind === 'idle') idle++
    }
  }

  async read<T>(topic: string, partition: number): Promise<T[]> {
    const reader = await this.log.reader([{ topic, partition, offset: offset(0) }])
    const values: T[] = []
    for (;;) {
      const batches = await reader.poll({ recordsMax: 1_000, bytesMax: 1 << 24, waitMsMax: 0 as DurationMs })
      if (batches.length === 0) break
      for (const { bytes, count, valueStart, valueEnd } of batches) {
        for (let i = 0; i < count; i++) values.push(JSON.parse(bytes.toString('utf8', valueStart[i], valueEnd[i])) as T)
      }
    }
    await reader.close()
    return values
  }

  deadLetters(): Promise<Letter[]> {
    return this.read<Letter>(letters, 0)
  }

  async close(): Promise<void> {
    for (const slot of this.slots) await slot.close()
    await this.log.close()
  }
}

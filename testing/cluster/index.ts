/**
 * Several slots of one plan over one log in memory, which take turns: the least that shows what passes between them, and what
 * becomes of them when another plan follows.
 */
import type { Clock, DurationMs } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import {
  type BeginPoint,
  beginPlan,
  type ClosePoint,
  closePlan,
  type OpenSlot,
  reopenPlan,
  seedOf,
  standingOf,
} from '../../runners/plans/index.js'
import {
  genesisOf,
  journalTopicOf,
  Slot,
  type SlotEvent,
  type SlotLimits,
  type SlotOptions,
} from '../../runners/slot/index.js'
import { keyGroupsFor, MemoryObjects, MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import { compile, type Placement, type Plan, type Topology } from '../../topology/index.js'

export interface Letter {
  readonly source: string
  readonly message: string
  readonly value: string | null
}

const letters = 'dead-letters'

export class Cluster {
  plan: Plan
  readonly log: MemoryLog
  readonly events: SlotEvent[] = []
  /** Of the plan that runs. */
  slots: Slot[] = []
  readonly savepoints = new MemoryObjects()
  readonly #app: Topology
  readonly #disk = new MemoryDisk({ markers: true })
  readonly #clock: Clock
  readonly #partitions: number
  readonly #limits: Partial<SlotLimits>

  constructor(app: Topology, placement: Placement, clock: Clock, limits: Partial<SlotLimits> = {}) {
    this.#app = app
    this.#clock = clock
    this.plan = compile(app.graph, placement)
    this.#partitions = placement.partitions
    this.#limits = limits
    this.log = new MemoryLog(this.#disk, { clock })
  }

  /** @param partitions of topics that do not have as many as the plan says */
  async start(partitions: Readonly<Record<string, number>> = {}): Promise<this> {
    const count = (topic: string): number => partitions[topic] ?? this.#partitions
    for (const { topic } of [...this.plan.sources, ...this.plan.sinks]) await this.log.createTopic(topic, count(topic))
    await this.log.createTopic(journalTopicOf(this.plan.app), this.plan.placement.slots)
    await this.log.createTopic(letters, 1)
    await this.#run(1)
    return this
  }

  /**
   * Closes the plan, and goes on with another one. What is thrown at a point is the end of whoever closes; then the same call
   * goes on from there.
   * @returns the slots of before, which nobody has told anything
   */
  async rescale(
    slots: number,
    at: (point: ClosePoint | BeginPoint) => void | Promise<void> = () => {},
    limits?: Partial<SlotLimits>,
  ): Promise<readonly Slot[]> {
    const standing = await standingOf(this.log, this.plan.app)
    const options = { log: this.log, clock: this.#clock, at }
    const store = this.savepoints.open()
    const ending = compile(this.#app.graph, { slots: standing.slots, partitions: this.#partitions })
    const name = `plan-${standing.plan}`
    const saved = await closePlan({
      ...options,
      store,
      name,
      plan: ending,
      open: slot => this.#open(ending, slot, { planNumber: standing.plan, isCloser: true }, limits),
    })
    const next = compile(this.#app.graph, { slots, partitions: this.#partitions })
    this.#disk.growTopic(journalTopicOf(next.app), slots)
    for (const { topic } of next.hops) await this.log.createTopic(topic, this.#partitions)
    const number = await beginPlan({ ...options, saved, plan: next, wishes: {} })
    const before = this.slots
    this.plan = next
    await this.#run(number)
    return before
  }

  /**
   * The plan goes on after all, with slots that begin anew.
   * @param opened told of each slot before it is started
   * @returns the slots of before, as `rescale` does
   */
  async reopen(opened: (slot: Slot) => void | Promise<void> = () => {}): Promise<readonly Slot[]> {
    const { log, plan } = this
    const { plan: planNumber } = await standingOf(log, plan.app)
    const open = async (number: number): Promise<OpenSlot> => {
      const open = await this.#open(plan, number, { planNumber, isCloser: true })
      await opened(open.slot)
      return open
    }
    await reopenPlan({ log, plan, open })
    const before = this.slots
    await this.#run(planNumber)
    return before
  }

  async #run(planNumber: number): Promise<void> {
    this.slots = []
    for (let number = 0; number < this.plan.placement.slots; number++) {
      const { slot } = await this.#open(this.plan, number, { planNumber })
      await slot.start()
      this.slots.push(slot)
    }
  }

  async #open(
    plan: Plan,
    number: number,
    more: Pick<SlotOptions, 'planNumber' | 'isCloser'>,
    limits = this.#limits,
  ): Promise<OpenSlot & { readonly slot: Slot }> {
    const backend = new StateDisk().open()
    const keyGroups = keyGroupsFor(this.#partitions)
    const store = await StateStore.open({ backend, keyGroups, cacheBytesMax: 1 << 20 })
    const { placement } = plan
    const slot = new Slot({
      ...more,
      plan,
      slot: number,
      log: this.log,
      store,
      seed: seedOf({ store: this.savepoints.open(), slot: number, placement, backend }),
      models: new Map(),
      clock: this.#clock,
      limits: { pollWaitMs: 0 as DurationMs, ...limits },
      genesis: genesisOf(plan, number, {
        keyGroups,
        partitionsOf: topic => this.#disk.topics.partitions(topic).length,
      }),
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
    return { slot, log: this.log, backend, release: async () => {} }
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

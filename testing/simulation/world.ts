/**
 * The world of one seed: one log, a clock, and a fleet of machines for each slot, which take turns as the seed has it.
 * Every run gets to its end.
 */
import { millis } from '../../kernel/index.js'
import type { Append } from '../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { journalTopicOf } from '../../runners/slot/index.js'
import type { Plan } from '../../topology/index.js'
import { ManualClock } from '../driver/index.js'
import { Chaos, type Hits } from './chaos.js'
import { drawConfig, type WorldConfig, withHeartbeats } from './config.js'
import { Difference } from './difference.js'
import { Fleet } from './fleet.js'
import { InputGenerator, type Shipment, startMs } from './input.js'
import type { Random } from './random.js'
import { app, simulatedPlan, topics } from './topology.js'

const turnsMax = 20_000

export class World {
  readonly disk: MemoryDisk
  readonly plan: Plan
  readonly config: WorldConfig
  readonly clock = new ManualClock(startMs)
  readonly fleets: readonly Fleet[]
  readonly #random: Random
  readonly #producer: MemoryLog
  readonly #shipments: readonly Shipment[]
  #turns = 0

  constructor(random: Random, hits: Hits, slots = 1, standbys = 0) {
    const drawn = drawConfig(random.fork('config'), slots)
    this.config = standbys === 0 ? drawn : withHeartbeats(drawn, random.fork('heartbeats'))
    this.#random = random.fork('world')
    this.disk = new MemoryDisk({ markers: this.config.markers })
    const { partitions, outputPartitions, sizes } = this.config
    this.plan = simulatedPlan(sizes, { slots, partitions })
    this.#producer = new MemoryLog(this.disk, { clock: this.clock })
    this.#shipments = new InputGenerator(random.fork('input'), partitions, slots).shipments()
    for (const { topic } of this.plan.sources) this.disk.createTopic(topic, partitions)
    this.disk.createTopic(topics.decisions, partitions)
    for (const topic of [topics.alerts, topics.legs, topics.large, topics.deadLetters]) {
      this.disk.createTopic(topic, outputPartitions)
    }
    this.disk.createTopic(journalTopicOf(app), slots)
    const shared = {
      disk: this.disk,
      plan: this.plan,
      config: this.config,
      clock: this.clock,
      hits,
      random: this.#random,
      allDown: () => this.fleets.every(fleet => fleet.isDown),
    }
    // What is trimmed cannot be read back as a dead letter of another slot's; retention leaves a week for that.
    const following = (slot: number): Random | undefined =>
      standbys === 0 ? undefined : random.fork(`following ${slot}`)
    this.fleets =
      slots === 1
        ? [new Fleet(0, shared, new Chaos(random.fork('chaos'), hits), random.fork('trimming'), following(0))]
        : Array.from({ length: slots }, (_, slot) => {
            const chaos = new Chaos(random.fork(`chaos of ${slot}`), hits)
            return new Fleet(slot, shared, chaos, undefined, following(slot))
          })
  }

  /** Everything is sent and processed, whatever goes wrong on the way. @throws Difference */
  async run(): Promise<void> {
    for (const shipment of this.#shipments) {
      if (shipment.drainFirst) await this.#drain()
      for (let turns = this.#random.below(4); turns > 0; turns--) await this.#turn()
      this.clock.advance(millis(shipment.afterMs))
      await this.#ship(shipment)
    }
    await this.#drain()
    for (const fleet of this.fleets) await fleet.calmDown()
    this.disk.settle()
    await this.#drain()
  }

  async #ship(shipment: Shipment): Promise<void> {
    const byPartition = new Map<string, Append & { readonly records: Shipment['records'][number]['record'][] }>()
    for (const { topic, partition, record } of shipment.records) {
      const key = `${topic}/${partition}`
      const append = byPartition.get(key) ?? { topic, partition, records: [] }
      append.records.push(record)
      byPartition.set(key, append)
    }
    const appends = [...byPartition.values()]
    if (shipment.transactional) await (await this.#producer.committer('producer')).commit(appends)
    else await this.#producer.append(appends)
  }

  async #drain(): Promise<void> {
    while (!this.fleets.every(fleet => fleet.allProcessed)) await this.#turn()
  }

  async #turn(): Promise<void> {
    if (++this.#turns > turnsMax) throw new Difference(`no end after ${turnsMax} turns`)
    const [only] = this.fleets
    await (this.fleets.length === 1 ? only! : this.#random.pick(this.fleets)).turn()
  }
}

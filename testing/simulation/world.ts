/**
 * The world of one seed: one log, a clock, and a fleet of machines for each slot, which take turns as the seed has it; where it
 * rescales, from plan to plan. Every run gets to its end.
 */
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { millis } from '../../kernel/index.js'
import type { Append } from '../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { journalTopicOf } from '../../runners/slot/index.js'
import type { Plan } from '../../topology/index.js'
import { ManualClock } from '../driver/index.js'
import type { Hits } from './chaos.js'
import { drawConfig, type WorldConfig, withHeartbeats } from './config.js'
import { Deployment, slotsMax } from './deployment.js'
import { Difference } from './difference.js'
import type { Fleet } from './fleet.js'
import { InputGenerator, type Shipment, startMs } from './input.js'
import type { Random } from './random.js'
import { SavepointVault } from './savepoint-vault.js'
import { Seats } from './seats.js'
import { app, topics } from './topology.js'

const turnsMax = 20_000

export interface WorldKind {
  /** Undefined: drawn, and one to three plans of other numbers follow. */
  readonly slots: number | undefined
  readonly standbys: number
}

export class World {
  readonly disk: MemoryDisk
  readonly config: WorldConfig
  readonly clock = new ManualClock(startMs)
  readonly #deployment: Deployment
  readonly #random: Random
  readonly #producer: MemoryLog
  readonly #shipments: readonly Shipment[]
  /** Before which shipment the plan changes, and to how many slots. */
  readonly #changes: readonly (readonly [at: number, slots: number])[]
  /** What slots read: inputs and hops. */
  readonly #read: ReadonlySet<string>
  /** Of spools; undefined where no checkpoints are made. */
  readonly #directory: string | undefined
  #turns = 0

  constructor(random: Random, hits: Hits, { slots, standbys }: WorldKind) {
    const rescales = slots === undefined
    const most = slots ?? slotsMax
    const drawn = drawConfig(random.fork('config'), most)
    this.config = standbys === 0 ? drawn : withHeartbeats(drawn, random.fork('heartbeats'))
    this.#random = random.fork('world')
    this.disk = new MemoryDisk({ markers: this.config.markers })
    const { partitions, outputPartitions, checkpoints } = this.config
    this.#producer = new MemoryLog(this.disk, { clock: this.clock })
    this.#shipments = new InputGenerator(random.fork('input'), partitions, most).shipments()
    const plans = random.fork('plans')
    const first = slots ?? plans.between(1, slotsMax)
    this.#changes = rescales ? drawChanges(plans, this.#shipments.length) : []
    this.#directory = checkpoints && mkdtempSync(join(tmpdir(), 'weir-simulation-'))
    const { disk, config, clock } = this
    const [seats, savepoints] = [new Seats(disk, hits), new SavepointVault()]
    this.#deployment = new Deployment({
      shared: { disk, seats, savepoints, config, clock, hits, random: this.#random },
      random,
      slots: first,
      standbys,
      rescales,
      directory: this.#directory,
    })
    this.#read = new Set(
      [...this.plans[0]!.sources, ...this.#deployment.planOf(most).sources].map(({ topic }) => topic),
    )
    for (const topic of this.#read) this.disk.createTopic(topic, partitions)
    this.disk.createTopic(topics.decisions, partitions)
    for (const topic of [topics.alerts, topics.legs, topics.large, topics.deadLetters]) {
      this.disk.createTopic(topic, outputPartitions)
    }
    this.disk.createTopic(journalTopicOf(app), first)
  }

  /** All that have begun. */
  get plans(): readonly Plan[] {
    return this.#deployment.plans
  }

  /** Of the last plan. */
  get fleets(): readonly Fleet[] {
    return this.#deployment.fleets
  }

  /** What the run left on this machine's disk. */
  async remove(): Promise<void> {
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true })
  }

  /** Everything is sent and processed, whatever goes wrong on the way. @throws Difference */
  async run(): Promise<void> {
    for (const [i, shipment] of this.#shipments.entries()) {
      if (shipment.drainFirst) await this.#drain()
      for (let turns = this.#random.below(4); turns > 0; turns--) await this.#turn()
      for (const [at, slots] of this.#changes) if (at === i) await this.#change(slots)
      this.clock.advance(millis(shipment.afterMs))
      await this.#ship(shipment)
    }
    await this.#drain()
    await this.#deployment.calmDown()
    this.disk.settle()
    await this.#drain()
  }

  async #change(slots: number): Promise<void> {
    while (this.#deployment.isChanging) await this.#turn()
    await this.#deployment.change(slots)
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
    while (!this.#deployment.hasProcessed(this.#recordsInLog())) await this.#turn()
  }

  #recordsInLog(): number {
    let records = 0
    for (const topic of this.#read) {
      for (const { trimmed, entries } of this.disk.topics.partitions(topic)) {
        for (const entry of trimmed) records += entry.count
        for (const entry of entries) records += entry.count
      }
    }
    return records
  }

  async #turn(): Promise<void> {
    if (++this.#turns > turnsMax) throw new Difference(`no end after ${turnsMax} turns`)
    await this.#deployment.turn()
  }
}

function drawChanges(random: Random, shipments: number): (readonly [number, number])[] {
  const changes: (readonly [number, number])[] = []
  for (let left = random.between(1, 3); left > 0; left--) {
    changes.push([random.below(shipments), random.between(1, slotsMax)])
  }
  return changes
}

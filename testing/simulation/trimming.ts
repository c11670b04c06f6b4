/**
 * How the log of one slot is trimmed where nobody makes checkpoints: by what its owner's store reflects; and what a machine is
 * given whose own state lies below what is left.
 */
import { offset, type TopicPartition } from '../../log/index.js'
import { type MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { journalTopicOf, ownedPartitions } from '../../runners/slot/index.js'
import type { Hits } from './chaos.js'
import { Difference } from './difference.js'
import type { Machine, Owner } from './owner.js'
import type { Random } from './random.js'
import type { Shared } from './shared.js'
import { app } from './topology.js'

/** What is left of all that a slot reads. */
export function earliestOf({ disk, plan }: Shared, slot: number): string {
  const inputs = ownedPartitions(plan, slot, topic => disk.topics.partitions(topic).length)
  const journal = { topic: journalTopicOf(app), partition: slot }
  return [journal, ...inputs].map(at => disk.topics.range(at).earliest).join(' ')
}

export class Trimming {
  readonly #random: Random
  readonly #chance: number
  readonly #disk: MemoryDisk
  readonly #journal: TopicPartition
  readonly #hits: Hits
  /** Its state lies inside the log that is left; another's may not. undefined while nothing was trimmed. */
  #holder: Machine | undefined

  constructor(random: Random, disk: MemoryDisk, journal: TopicPartition, hits: Hits) {
    this.#random = random
    this.#chance = random.pick([0, 0.05, 0.5])
    this.#disk = disk
    this.#journal = journal
    this.#hits = hits
  }

  get holder(): Machine | undefined {
    return this.#holder
  }

  /** The owner trims inputs and journal anywhere below what its store reflects, once that survives a crash. */
  async turn(owner: Owner | undefined): Promise<void> {
    if (!this.#random.chance(this.#chance)) return
    const reflected = owner?.slot.reflected
    if (owner === undefined || owner.suspended !== undefined || reflected === undefined) return
    const bounds = [
      { ...this.#journal, bound: reflected.journal },
      ...reflected.positions.map(({ offset: bound, ...at }) => ({ ...at, bound: BigInt(bound) })),
    ]
    // One that has taken over goes on from memory; what is on its disk may lie below what is left.
    if (bounds.some(({ bound, ...at }) => bound < this.#disk.topics.range(at).earliest)) return
    await owner.syncState()
    this.#holder = owner.machine
    for (const { bound, ...at } of bounds) await this.#trimBelow(at, bound)
    this.#hits.add('log trimmed')
  }

  async #trimBelow(at: TopicPartition, bound: bigint): Promise<void> {
    const { earliest } = this.#disk.topics.range(at)
    const to = this.#random.chance(0.5) ? Number(bound) : this.#random.between(Number(earliest), Number(bound))
    await new MemoryLog(this.#disk).trim({ ...at, offset: offset(to) })
  }

  /** Its state was older than what is left of the log, or wiped: it gets a copy of the state that the log was trimmed by. */
  restore(machine: Machine): void {
    const holder = this.#holder
    if (holder === undefined || holder === machine) throw new Difference('the log was trimmed above its own state')
    this.#hits.add('store outside the trimmed log')
    machine.disk = holder.disk.copy()
  }
}

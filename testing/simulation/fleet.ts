/**
 * What runs one slot: two machines with a state disk each, and at most two slot objects at a time, of which one owns the
 * slot (`live`: who fenced last). Where slots are followed there is a third machine, and a standby that takes over at any moment:
 * whether the owner is dead is nothing that it could know.
 *
 * What is checked as it runs: only the owner's step may commit; whoever is told SLOT_FENCED is not the owner; what ends
 * a slot is a crash, a fencing or a fault that was injected, nothing else.
 */
import { assert, days, defined, isWeirError, millis } from '../../kernel/index.js'
import { offset, type TopicPartition } from '../../log/index.js'
import { type MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { journalTopicOf, ownedPartitions } from '../../runners/slot/index.js'
import { MemoryDisk as StateDisk } from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import type { ManualClock } from '../driver/index.js'
import { type Chaos, type Hits, SimulatedCrash } from './chaos.js'
import type { WorldConfig } from './config.js'
import { Difference } from './difference.js'
import { expiryClockOf } from './history.js'
import {
  type Follower,
  type Machine,
  type Outcome,
  type Owner,
  openFollower,
  openOwner,
  outcomeOf,
  type Surroundings,
} from './owner.js'
import type { Random } from './random.js'
import { app } from './topology.js'

/** What all slots of a world share. */
export interface Shared {
  readonly disk: MemoryDisk
  readonly plan: Plan
  readonly config: WorldConfig
  readonly clock: ManualClock
  readonly hits: Hits
  readonly random: Random
  /** No slot object is left that could have read what is about to be lost. */
  readonly allDown: () => boolean
}

export class Fleet {
  readonly slot: number
  readonly #shared: Shared
  readonly #random: Random
  readonly #trimming: Random
  readonly #trimChance: number
  readonly #chaos: Chaos
  readonly #journal: TopicPartition
  readonly #machines: readonly Machine[]
  readonly #owners: Owner[] = []
  /** Nobody follows where there is none. */
  readonly #following: Random | undefined
  #follower: Follower | undefined
  /** On it the committer was made that is not fenced. */
  #live: Machine | undefined
  /** Its state lies inside the log that is left; another's may not. undefined while nothing was trimmed. */
  #holder: Machine | undefined
  #takeoversLeft: number

  /** @param trimming undefined: nothing is trimmed. @param following undefined: there are no standbys */
  constructor(slot: number, shared: Shared, chaos: Chaos, trimming: Random | undefined, following: Random | undefined) {
    const machines = following === undefined ? 2 : 3
    this.#machines = Array.from({ length: machines }, () => ({ disk: new StateDisk(), busy: false }))
    this.#following = following
    this.slot = slot
    this.#shared = shared
    this.#random = shared.random
    this.#trimming = trimming ?? shared.random
    this.#trimChance = trimming?.pick([0, 0.05, 0.5]) ?? 0
    this.#chaos = chaos
    this.#journal = { topic: journalTopicOf(app), partition: slot }
    this.#takeoversLeft = this.#random.below(4)
  }

  get isDown(): boolean {
    return this.#owners.length === 0 && this.#follower === undefined
  }

  /** Its owner has read everything that there is for it. */
  get allProcessed(): boolean {
    const live = this.#owners.find(owner => owner.machine === this.#live && owner.suspended === undefined)
    if (live === undefined) return false
    const { counts } = live.slot
    return (counts.get('records') ?? 0) + (counts.get('hop_records') ?? 0) === this.#recordsInLog()
  }

  #recordsInLog(): number {
    let records = 0
    for (const at of this.#inputs()) {
      const partition = this.#disk.topics.partition(at)
      for (const entry of [...partition.trimmed, ...partition.entries]) records += entry.count
    }
    return records
  }

  #inputs(): readonly TopicPartition[] {
    return ownedPartitions(this.#shared.plan, this.slot, topic => this.#disk.topics.partitions(topic).length)
  }

  get #disk(): MemoryDisk {
    return this.#shared.disk
  }

  get #hits(): Hits {
    return this.#shared.hits
  }

  /** Nothing goes wrong any more: what is held up ends, and who is fenced learns of it. */
  async calmDown(): Promise<void> {
    this.#chaos.calmDown()
    for (const owner of [...this.#owners]) {
      if (owner.suspended !== undefined) await this.#resume(owner)
      else if (this.#live !== owner.machine) await this.#step(owner)
    }
  }

  /** The state at the end, written back and with everything that has expired removed; then the machine stops. */
  async stop(): Promise<StateDisk> {
    const owner = this.#owners.find(candidate => candidate.machine === this.#live) ?? (await this.#start())
    assert(owner !== undefined, 'a slot starts when nothing goes wrong')
    for (const other of [...this.#owners]) if (other !== owner) await this.#end(other, false)
    for (const { topic } of [...this.#inputs(), this.#journal]) this.#disk.untrim(topic)
    await owner.slot.close()
    await this.#sweep(owner)
    return owner.machine.disk
  }

  /** The state of who has followed until the very end. Behind `stop`. */
  async stopFollower(): Promise<StateDisk | undefined> {
    if (this.#following === undefined) return undefined
    const follower = this.#follower ?? (await this.#follow())
    assert(follower !== undefined, 'a standby starts when nothing goes wrong')
    const { standby, machine } = follower
    for (let idle = 0; idle < 3; ) idle = (await standby.step()) === 0 ? idle + 1 : 0
    if (!(await standby.isLast())) throw new Difference('a standby does not follow to the end')
    await standby.close()
    await this.#sweep(follower)
    return machine.disk
  }

  /** Every committed epoch once more, and none besides, on an empty store and with nothing going wrong. */
  async rebuild(): Promise<StateDisk> {
    const machine = { disk: new StateDisk(), busy: false }
    const { config } = this.#shared
    const limits = { ...config.limits, heartbeatMs: millis(Number.POSITIVE_INFINITY) }
    const shared = { ...this.#shared, config: { ...config, limits } }
    const owner = await openOwner(machine, { ...this.#surroundings(), shared })
    await owner.slot.start()
    await owner.slot.close()
    await this.#sweep(owner)
    return machine.disk
  }

  /**
   * What has expired goes sooner or later, and by whole days; here at once, at the end of the clock's day, so that two
   * states can be compared.
   */
  async #sweep({ store }: Pick<Owner, 'store'>): Promise<void> {
    store.setExpiryClock((Math.floor((await expiryClockOf(this.#disk, this.slot)) / days(1)) + 1) * days(1))
    await store.sweep(Number.MAX_SAFE_INTEGER)
    await store.write(store.serialise(), defined(store.reflects, 'position of a closed slot'), { sync: true })
    await store.close()
  }

  /** One thing happens. */
  async turn(): Promise<void> {
    const random = this.#random
    if (this.#following?.chance(0.4)) return await this.#followerTurn(this.#following)
    if (this.#owners.length === 0) {
      await this.#start()
      return
    }
    if (random.chance(0.1)) this.#shared.clock.advance(millis(random.pick([1, 700, 61_000])))
    if (this.#disk.delayedCommits > 0 && random.chance(0.2)) this.#settleDelayed()
    if (this.#trimming.chance(this.#trimChance)) await this.#trim()
    const owner = random.pick(this.#owners)
    if (owner.suspended !== undefined) {
      if (random.chance(0.3)) await this.#resume(owner)
    } else if (this.#owners.length === 1 && this.#takeoversLeft > 0 && this.#chaos.chance(0.1)) {
      await this.#takeOver(owner)
    } else if (this.#chaos.chance(0.02)) {
      await this.#restart(owner)
    } else {
      await this.#step(owner)
    }
  }

  async #start(): Promise<Owner | undefined> {
    const machine = this.#random.pick(this.#machines.filter(candidate => !candidate.busy))
    if (machine.disk.entries > 0 && machine !== this.#holder && this.#chaos.chance(0.1)) {
      machine.disk = new StateDisk()
      this.#hits.add('state wiped')
    }
    machine.busy = true
    let owner: Owner
    try {
      owner = await this.#open(machine)
    } catch (error) {
      // The state cannot be read: an injected fault; the machine tries again later.
      if (!isWeirError(error, 'BACKEND_FAILED')) throw error
      machine.disk.crash(machine.disk.unsynced)
      machine.busy = false
      return undefined
    }
    this.#owners.push(owner)
    if (this.#disk.topics.range(this.#journal).earliest > 0n) this.#hits.add('start inside a trimmed journal')
    await this.#settle(owner, await outcomeOf(owner.slot.start()), 'start')
    return this.#owners.includes(owner) ? owner : undefined
  }

  #open(machine: Machine): Promise<Owner> {
    return openOwner(machine, this.#surroundings())
  }

  #surroundings(): Surroundings {
    return {
      slot: this.slot,
      shared: this.#shared,
      chaos: this.#chaos,
      onFence: (machine, fault) => this.#onFence(machine, fault),
    }
  }

  /** Something happens to the standby, or it takes over: from an owner that is dead, hangs, or does nothing wrong. */
  async #followerTurn(random: Random): Promise<void> {
    const follower = this.#follower
    if (follower === undefined) {
      if (random.chance(0.5)) await this.#follow()
    } else if (
      random.chance(0.1) &&
      this.#owners.length < 2 &&
      (this.#owners.length === 0 || this.#chaos.chance(0.5))
    ) {
      this.#hits.add(this.#owners.length === 0 ? 'promotion after a crash' : 'promotion of a live slot')
      this.#follower = undefined
      const { standby, ...rest } = follower
      const taking = standby.takeOver()
      const owner: Owner = { ...rest, slot: standby.slot }
      this.#owners.push(owner)
      await this.#settle(owner, await outcomeOf(taking), 'start')
    } else if (this.#chaos.chance(0.05)) {
      const outcome = await outcomeOf(follower.standby.close())
      if (outcome.kind === 'threw') return await this.#lostFollower(follower, outcome.error)
      await follower.store.close()
      this.#free(follower, false)
      this.#follower = undefined
      this.#hits.add('standby restarts')
    } else {
      const outcome = await outcomeOf(follower.standby.step())
      if (outcome.kind === 'threw') await this.#lostFollower(follower, outcome.error)
      else if (follower.standby.caughtUp) this.#hits.add('standby follows')
    }
  }

  async #follow(): Promise<Follower | undefined> {
    const machine = this.#machines.find(candidate => !candidate.busy)
    if (machine === undefined) return undefined
    machine.busy = true
    let follower: Follower
    try {
      follower = await openFollower(machine, this.#surroundings())
    } catch (error) {
      if (!isWeirError(error, 'BACKEND_FAILED')) throw error
      machine.disk.crash(machine.disk.unsynced)
      machine.busy = false
      return undefined
    }
    this.#follower = follower
    const outcome = await outcomeOf(follower.standby.start())
    if (outcome.kind === 'threw') await this.#lostFollower(follower, outcome.error)
    return this.#follower
  }

  /** By a crash, by a fault that was injected, or because what it should have read is trimmed. */
  async #lostFollower(follower: Follower, error: unknown): Promise<void> {
    this.#follower = undefined
    this.#free(follower, true)
    if (error instanceof SimulatedCrash || isWeirError(error, 'BACKEND_FAILED')) return
    const trimmed = isWeirError(error, 'HISTORY_TRIMMED') || isWeirError(error, 'OFFSET_OUT_OF_RANGE')
    if (!trimmed || this.#holder === undefined) throw error
    this.#hits.add('standby finds the log trimmed')
    // A start tells what it is; a step only that something is gone.
    if (isWeirError(error, 'HISTORY_TRIMMED')) this.#restoreFromHolder(follower.machine)
  }

  #onFence(machine: Machine, fault: 'none' | 'refused' | 'indefinite'): void {
    if (this.#follower?.machine === machine) throw new Difference('a standby fences')
    if (this.#disk.delayedCommits > 0 && this.#random.chance(0.5)) this.#settleDelayed()
    else if (this.#disk.delayedCommits > 0 && fault !== 'refused') this.#hits.add('delayed commit dropped')
    if (fault !== 'refused') this.#live = fault === 'none' ? machine : undefined
  }

  /** The owner trims inputs and journal anywhere below what its store reflects, once that survives a crash. */
  async #trim(): Promise<void> {
    const owner = this.#owners.find(candidate => candidate.machine === this.#live && candidate.suspended === undefined)
    const reflected = owner?.slot.reflected
    if (owner === undefined || reflected === undefined) return
    // One that has taken over goes on from memory; what is on its disk may lie below what is left.
    if (reflected.journal < this.#disk.topics.range(this.#journal).earliest) return
    await owner.syncState()
    this.#holder = owner.machine
    await this.#trimBelow(this.#journal, reflected.journal)
    for (const at of reflected.positions) await this.#trimBelow(at, BigInt(at.offset))
    this.#hits.add('log trimmed')
  }

  async #trimBelow(at: TopicPartition, bound: bigint): Promise<void> {
    const { earliest } = this.#disk.topics.range(at)
    const to = this.#trimming.chance(0.5) ? Number(bound) : this.#trimming.between(Number(earliest), Number(bound))
    await new MemoryLog(this.#disk).trim({ ...at, offset: offset(to) })
  }

  #settleDelayed(): void {
    this.#hits.add('delayed commit arrives')
    this.#disk.settle()
  }

  async #step(owner: Owner): Promise<void> {
    await this.#settle(owner, await outcomeOf(owner.slot.step()), 'step')
  }

  /** Another machine starts while this one lives; perhaps just as it commits. */
  async #takeOver(owner: Owner): Promise<void> {
    this.#takeoversLeft--
    this.#hits.add('takeover')
    if (this.#random.chance(0.5)) {
      const held = owner.gate.arm()
      const stepping = outcomeOf(owner.slot.step())
      const first = await Promise.race([stepping, held])
      owner.gate.disarm()
      if (first === undefined) {
        owner.suspended = stepping
        this.#hits.add('takeover in mid-commit')
      } else {
        await this.#settle(owner, first, 'step')
      }
    }
    await this.#start()
  }

  async #resume(owner: Owner): Promise<void> {
    const stepping = owner.suspended
    owner.suspended = undefined
    owner.gate.letThrough()
    if (stepping !== undefined) await this.#settle(owner, await stepping, 'step')
  }

  async #restart(owner: Owner): Promise<void> {
    const outcome = await outcomeOf(owner.slot.close())
    if (outcome.kind === 'threw') return this.#settle(owner, outcome, 'close')
    await owner.store.close()
    this.#hits.add('clean restart')
    await this.#end(owner, false)
  }

  async #settle(owner: Owner, outcome: Outcome, during: 'start' | 'step' | 'close'): Promise<void> {
    if (outcome.kind === 'done') {
      if (outcome.committed && this.#live !== owner.machine) throw new Difference('a fenced slot committed')
      return
    }
    const { error } = outcome
    if (isWeirError(error, 'SLOT_FENCED')) {
      if (this.#live === owner.machine) throw new Difference('the owner was told that it is fenced')
      this.#hits.add('zombie fenced')
    } else if (isWeirError(error, 'HISTORY_TRIMMED')) {
      await this.#end(owner, true)
      return this.#restoreFromHolder(owner.machine)
    } else if (isWeirError(error, 'OFFSET_OUT_OF_RANGE') && this.#live !== owner.machine) {
      this.#hits.add('zombie finds its input trimmed')
    } else if (isWeirError(error, 'EPOCH_FAILED')) {
      this.#hits.add('recoveries exhausted')
    } else if (!(error instanceof SimulatedCrash)) {
      // From a step a slot recovers by itself; a start or a close that fails is repeated by whoever runs the slot.
      const injected = isWeirError(error, 'BACKEND_FAILED') || isWeirError(error, 'COMMIT_INDEFINITE')
      if (during === 'step' || !injected) throw error
    }
    await this.#end(owner, true)
  }

  /** Its state was older than what is left of the log, or wiped: it gets a copy of the state that the log was trimmed by. */
  #restoreFromHolder(machine: Machine): void {
    const holder = this.#holder
    if (holder === undefined || holder === machine) throw new Difference('the log was trimmed above its own state')
    this.#hits.add('store outside the trimmed log')
    machine.disk = holder.disk.copy()
  }

  /** The process is gone, and with a crash some of what it had not synced. */
  async #end(owner: Owner, crashed: boolean): Promise<void> {
    this.#free(owner, crashed)
    this.#owners.splice(this.#owners.indexOf(owner), 1)
    if (this.#live === owner.machine) this.#live = undefined
    if (crashed && this.#shared.allDown() && this.#disk.unsyncedWrites > 0 && this.#chaos.chance(0.3)) {
      // What was under way is gone with it: it may rest on what is lost.
      this.#disk.abortDelayed()
      this.#disk.powerCut(this.#random.below(this.#disk.unsyncedWrites))
      this.#hits.add('log tail lost')
    }
  }

  #free({ machine }: Pick<Owner, 'machine'>, crashed: boolean): void {
    const { disk } = machine
    const keep = crashed ? this.#random.between(0, disk.unsynced) : disk.unsynced
    if (keep < disk.unsynced) this.#hits.add('state batches lost')
    disk.crash(keep)
    machine.busy = false
  }
}

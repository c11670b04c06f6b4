/**
 * What runs one slot: two machines with a state disk each, and at most two slot objects at a time, of which one owns the
 * slot (`live`: who fenced last).
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
import type { FleetCheckpoints } from './checkpoint-fleet.js'
import type { WorldConfig } from './config.js'
import { Difference } from './difference.js'
import { expiryClockOf } from './history.js'
import { type Machine, type Outcome, type Owner, openOwner, outcomeOf } from './owner.js'
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
  readonly #machines: readonly Machine[] = [
    { number: 0, disk: new StateDisk(), busy: false },
    { number: 1, disk: new StateDisk(), busy: false },
  ]
  readonly #checkpoints: FleetCheckpoints | undefined
  readonly #owners: Owner[] = []
  #live: Owner | undefined
  /** Its state lies inside the log that is left; another's may not. undefined while nothing was trimmed. */
  #holder: Machine | undefined
  #takeoversLeft: number

  /**
   * @param trimming by what the owner's store reflects; undefined: not so
   * @param checkpoints undefined: nobody makes any
   */
  constructor(
    slot: number,
    shared: Shared,
    chaos: Chaos,
    trimming: Random | undefined,
    checkpoints: FleetCheckpoints | undefined,
  ) {
    this.slot = slot
    this.#shared = shared
    this.#random = shared.random
    this.#trimming = trimming ?? shared.random
    this.#trimChance = trimming?.pick([0, 0.05, 0.5]) ?? 0
    this.#chaos = chaos
    this.#checkpoints = checkpoints
    this.#journal = { topic: journalTopicOf(app), partition: slot }
    this.#takeoversLeft = this.#random.below(4)
  }

  get isDown(): boolean {
    return this.#owners.length === 0
  }

  /** Its owner has read everything that there is for it. */
  get allProcessed(): boolean {
    const live = this.#owners.find(owner => owner === this.#live && owner.suspended === undefined)
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
    this.#checkpoints?.calmDown()
    for (const owner of [...this.#owners]) {
      if (owner.suspended !== undefined) await this.#resume(owner)
      else if (this.#live !== owner) await this.#step(owner)
    }
  }

  /** The state at the end, written back and with everything that has expired removed; then the machine stops. */
  async stop(): Promise<StateDisk> {
    const owner = this.#owners.find(candidate => candidate === this.#live) ?? (await this.#start())
    assert(owner !== undefined, 'a slot starts when nothing goes wrong')
    for (const other of [...this.#owners]) if (other !== owner) await this.#end(other, false)
    await this.#closeSwept(owner)
    return owner.machine.disk
  }

  /** Every committed epoch once more, on an empty store and with nothing going wrong. */
  async rebuild(): Promise<StateDisk> {
    const machine = { number: 2, disk: new StateDisk(), busy: false }
    const owner = await this.#open(machine, 'alone')
    await owner.slot.start()
    await this.#closeSwept(owner)
    return machine.disk
  }

  /** The same by a machine that has nothing but the checkpoints; undefined where nobody made any. */
  async restore(): Promise<StateDisk | undefined> {
    if (this.#checkpoints === undefined) return undefined
    const machine = { number: 3, disk: new StateDisk(), busy: false }
    const owner = await this.#open(machine)
    await owner.slot.start()
    await this.#closeSwept(owner)
    return machine.disk
  }

  /**
   * What has expired goes sooner or later, and by whole days; here at once, at the end of the clock's day, so that two
   * states can be compared.
   */
  async #closeSwept({ slot, store, checkpoints }: Owner): Promise<void> {
    await slot.close()
    this.#untrim()
    store.setExpiryClock((Math.floor((await expiryClockOf(this.#disk, this.slot)) / days(1)) + 1) * days(1))
    await store.sweep(Number.MAX_SAFE_INTEGER)
    await store.write(store.serialise(), defined(store.reflects, 'position of a closed slot'), { sync: true })
    await checkpoints?.end('closed')
    await store.close()
    this.#untrim()
  }

  /** Who checks wants to see everything that there ever was. */
  #untrim(): void {
    for (const { topic } of [...this.#inputs(), this.#journal]) this.#disk.untrim(topic)
  }

  /** One thing happens. */
  async turn(): Promise<void> {
    const random = this.#random
    if (this.#owners.length === 0) {
      await this.#start()
      return
    }
    if (random.chance(0.1)) this.#shared.clock.advance(millis(random.pick([1, 700, 61_000])))
    if (this.#disk.delayedCommits > 0 && random.chance(0.2)) this.#settleDelayed()
    await this.#checkpoints?.turn(this.#owners, this.#live)
    await this.#reap()
    if (this.#owners.length === 0) return
    if (this.#checkpoints === undefined && this.#trimming.chance(this.#trimChance)) await this.#trim()
    const picked = random.pick(this.#owners)
    const owner = this.#checkpoints?.insteadOf(picked, this.#live) ?? picked
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
      if (this.#checkpoints === undefined) machine.disk = new StateDisk()
      else await this.#checkpoints.loseDisk(machine)
      this.#hits.add('state wiped')
    }
    if (this.#owners.length === 0) await this.#checkpoints?.perhapsLoseJournal(() => this.#startOnce(machine))
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
    await this.#settle(owner, await outcomeOf(owner, owner.start()), 'start')
    await this.#reap()
    return this.#owners.includes(owner) ? owner : undefined
  }

  /** A start that must fail. */
  async #startOnce(machine: Machine): Promise<Outcome> {
    let owner: Owner
    try {
      owner = await this.#open(machine)
    } catch (error) {
      machine.disk.crash(machine.disk.unsynced)
      return { kind: 'threw', error }
    }
    const outcome = await outcomeOf(owner, owner.start())
    await owner.checkpoints?.end('killed')
    machine.disk.crash(machine.disk.unsynced)
    return outcome
  }

  /** Processes that were killed while their checkpoints were being made. */
  async #reap(): Promise<void> {
    for (const owner of this.#owners.filter(({ checkpoints }) => checkpoints?.isDead)) await this.#end(owner, true)
  }

  #open(machine: Machine, how: 'alone' | 'as ever' = 'as ever'): Promise<Owner> {
    const checkpoints = how === 'alone' ? undefined : this.#checkpoints
    return openOwner(machine, {
      slot: this.slot,
      shared: this.#shared,
      chaos: this.#chaos,
      checkpointsOn: async (backend, isLive) =>
        await checkpoints?.open(machine, backend, {
          isLive,
          others: () => this.#owners.filter(other => other.machine !== machine),
        }),
      isLive: owner => this.#live === owner,
      onFence: (owner, fault) => this.#onFence(owner, fault),
    })
  }

  #onFence(owner: Owner, fault: 'none' | 'refused' | 'indefinite'): void {
    if (this.#disk.delayedCommits > 0 && this.#random.chance(0.5)) this.#settleDelayed()
    else if (this.#disk.delayedCommits > 0 && fault !== 'refused') this.#hits.add('delayed commit dropped')
    if (fault !== 'refused') this.#live = fault === 'none' ? owner : undefined
  }

  /** The owner trims inputs and journal anywhere below what its store reflects, once that survives a crash. */
  async #trim(): Promise<void> {
    const owner = this.#owners.find(candidate => candidate === this.#live && candidate.suspended === undefined)
    const reflected = owner?.slot.reflected
    if (owner === undefined || reflected === undefined) return
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
    await this.#settle(owner, await outcomeOf(owner, owner.slot.step()), 'step')
  }

  /** Another machine starts while this one lives; perhaps just as it commits. */
  async #takeOver(owner: Owner): Promise<void> {
    this.#takeoversLeft--
    this.#hits.add('takeover')
    if (this.#random.chance(0.5)) {
      const held = owner.gate.arm()
      const stepping = outcomeOf(owner, owner.slot.step())
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
    const outcome = await outcomeOf(owner, owner.slot.close())
    if (outcome.kind === 'threw') return this.#settle(owner, outcome, 'close')
    await owner.checkpoints?.end('closed')
    await owner.store.close()
    this.#hits.add('clean restart')
    await this.#end(owner, false)
  }

  async #settle(owner: Owner, outcome: Outcome, during: 'start' | 'step' | 'close'): Promise<void> {
    if (outcome.kind === 'done') {
      if (outcome.committed && this.#live !== owner) throw new Difference('a fenced slot committed')
      return
    }
    const { error } = outcome
    if (!(error instanceof SimulatedCrash)) await owner.checkpoints?.end('closed')
    if (isWeirError(error, 'SLOT_FENCED')) {
      if (this.#live === owner) throw new Difference('the owner was told that it is fenced')
      this.#hits.add('zombie fenced')
    } else if (isWeirError(error, 'HISTORY_TRIMMED')) {
      await this.#end(owner, true)
      if (this.#checkpoints !== undefined) return this.#checkpoints.onRefused(error, owner)
      return this.#restoreFromHolder(owner.machine)
    } else if (isWeirError(error, 'OFFSET_OUT_OF_RANGE') && this.#live !== owner) {
      this.#hits.add('zombie finds its input trimmed')
    } else if (isWeirError(error, 'CHECKPOINT_STORE_FAILED') && this.#checkpoints !== undefined) {
      this.#hits.add('start without checkpoint store')
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
    const { disk } = owner.machine
    const how = crashed ? 'killed' : 'closed'
    await owner.checkpoints?.end(how)
    await this.#checkpoints?.afterEnd(owner.machine, how)
    const keep = crashed ? this.#random.between(0, disk.unsynced) : disk.unsynced
    if (keep < disk.unsynced) this.#hits.add('state batches lost')
    disk.crash(keep)
    owner.machine.busy = false
    this.#owners.splice(this.#owners.indexOf(owner), 1)
    if (this.#live === owner) this.#live = undefined
    if (crashed && this.#shared.allDown() && this.#disk.unsyncedWrites > 0 && this.#chaos.chance(0.3)) {
      // What was under way is gone with it: it may rest on what is lost.
      this.#disk.abortDelayed()
      this.#disk.powerCut(this.#random.below(this.#disk.unsyncedWrites))
      this.#hits.add('log tail lost')
    }
  }
}

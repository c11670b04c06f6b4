/**
 * What runs one slot: two machines with a state disk each, and at most two slot objects at a time, of which one owns the
 * slot (`live`: who fenced last). Where slots are followed there is a third machine, and a standby that takes over at any moment:
 * whether the owner is dead is nothing that it could know.
 *
 * What is checked as it runs: only the owner's step may commit; whoever is told SLOT_FENCED is not the owner; what ends
 * a slot is a crash, a fencing or a fault that was injected, nothing else.
 */
import { assert, isWeirError, millis } from '../../kernel/index.js'
import type { TopicPartition } from '../../log/index.js'
import type { MemoryDisk } from '../../log/memory/index.js'
import { journalTopicOf } from '../../runners/slot/index.js'
import { MemoryDisk as StateDisk } from '../../state/index.js'
import { type Chaos, type Hits, SimulatedCrash } from './chaos.js'
import type { CheckpointChaos } from './checkpoint-chaos.js'
import type { FleetCheckpoints } from './checkpoint-fleet.js'
import { Difference } from './difference.js'
import { Excuses } from './excuses.js'
import { closedOn, sweep } from './final-state.js'
import { Following } from './following.js'
import {
  type Follower,
  type Machine,
  type Outcome,
  type Owner,
  openOwner,
  outcomeOf,
  type Surroundings,
  tryOpening,
} from './owner.js'
import type { Random } from './random.js'
import { idOfSlot } from './seats.js'
import type { Shared } from './shared.js'
import type { Site } from './site.js'
import { app } from './topology.js'
import { Trimming } from './trimming.js'

export interface FleetParts {
  /** By what the owner's store reflects; undefined: not so. */
  readonly trimming: Random | undefined
  /** Undefined: there are no standbys. */
  readonly following: Random | undefined
  /** Of what happens to slots while they take over the state of the plan before. */
  readonly seeding: CheckpointChaos
}

export class Fleet {
  readonly slot: number
  readonly #shared: Shared
  readonly #random: Random
  readonly #trimming: Trimming | undefined
  readonly #chaos: Chaos
  readonly #journal: TopicPartition
  readonly #site: Site
  #machines: readonly Machine[]
  readonly #checkpoints: FleetCheckpoints | undefined
  readonly #seeding: CheckpointChaos
  readonly #excuses: Excuses
  readonly #owners: Owner[] = []
  /** Nobody follows where there is none. */
  readonly #following: Following | undefined
  #takeoversLeft: number
  #phase: 'runs' | 'ends' | 'over' = 'runs'
  /** Starts by who has not heard yet that the plan ends. */
  #latecomers = 0

  constructor(site: Site, shared: Shared, chaos: Chaos, { trimming, following, seeding }: FleetParts) {
    this.#site = site
    this.#machines = site.free(following === undefined ? 2 : 3)
    this.#seeding = seeding
    this.slot = site.slot
    this.#shared = shared
    this.#random = shared.random
    this.#chaos = chaos
    this.#checkpoints = site.checkpoints
    this.#excuses = new Excuses(shared, site.slot, site.checkpoints !== undefined)
    this.#journal = { topic: journalTopicOf(app), partition: site.slot }
    // Where checkpoints are made, the log is trimmed behind them.
    if (trimming !== undefined && site.checkpoints === undefined)
      this.#trimming = new Trimming(trimming, shared.disk, this.#journal, shared.hits)
    this.#following =
      following &&
      new Following({
        random: following,
        slot: site.slot,
        shared,
        checkpoints: site.checkpoints,
        trimming: this.#trimming,
        excuses: this.#excuses,
        surroundings: () => this.#surroundings('as ever'),
        free: (follower, crashed) => this.#free(follower, crashed),
      })
    this.#takeoversLeft = this.#random.below(4)
  }

  get isDown(): boolean {
    return this.#owners.length === 0 && this.#following?.machine === undefined
  }

  /** Nothing will happen here any more. */
  get isOut(): boolean {
    return this.isDown && this.#latecomers === 0
  }

  /** On it the committer was made that is not fenced, unless somebody else made it: another plan's, or a closer. */
  get #live(): object | undefined {
    return this.#shared.seats.holder(idOfSlot(this.slot))
  }

  get #liveOwner(): Owner | undefined {
    return this.#owners.find(owner => owner.machine === this.#live)
  }

  /**
   * Records that its owner has processed; of slot 0 with those of all plans before. undefined: nobody could say.
   * @param mayBeFenced by a late rescaler: an owner alone learns of that when it has something to commit
   */
  processed(mayBeFenced: boolean): number | undefined {
    const alone = mayBeFenced && this.#owners.length === 1 ? this.#owners[0] : undefined
    const owner = this.#liveOwner ?? alone
    if (owner === undefined || owner.suspended !== undefined) return undefined
    const { counts } = owner.slot
    return (counts.get('records') ?? 0) + (counts.get('hop_records') ?? 0)
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
    this.#seeding.calmDown()
    this.#checkpoints?.calmDown()
    for (const owner of [...this.#owners]) {
      if (owner.suspended !== undefined) await this.#resume(owner)
      else if (this.#live !== owner.machine) await this.#step(owner)
    }
  }

  /** The state at the end, written back and with everything that has expired removed; then the machine stops. */
  async stop(): Promise<StateDisk> {
    const owner = this.#liveOwner ?? (await this.#start())
    assert(owner !== undefined, 'a slot starts when nothing goes wrong')
    for (const other of [...this.#owners]) if (other !== owner) await this.#end(other, false)
    await owner.slot.close()
    await sweep(owner, this.#surroundings('as ever'))
    return owner.machine.disk
  }

  /** The state of who has followed until the very end. Behind `stop`. */
  async stopFollower(): Promise<StateDisk | undefined> {
    return await this.#following?.stop(this.#machines)
  }

  /** Every committed epoch once more, and none besides, on an empty store and with nothing going wrong. */
  async rebuild(): Promise<StateDisk> {
    return await closedOn(this.#site.machine(), this.#surroundings('alone'))
  }

  /** The same by a machine that has nothing but the checkpoints; undefined where nobody made any. */
  async restore(): Promise<StateDisk | undefined> {
    if (this.#checkpoints === undefined) return undefined
    return await closedOn(this.#site.machine(), this.#surroundings('as ever'))
  }

  /** Whoever ends the plan is given the slot: some leave at once, some hang in a commit, some have not heard. */
  async give(): Promise<void> {
    this.#phase = 'ends'
    this.#latecomers = this.#random.below(3)
    for (const owner of this.#owners.filter(({ suspended }) => suspended === undefined)) {
      const how = this.#random.below(3)
      if (how === 0) await this.#restart(owner)
      if (how === 1) await this.#suspend(owner)
      this.#hits.add(
        (['owner leaves a plan that ends', 'owner hangs as its plan ends', 'owner of a plan that ends'] as const)[how]!,
      )
    }
  }

  /** Another plan has begun: what is left here are zombies, and machines that have not heard. */
  over(): void {
    this.#phase = 'over'
    this.#machines = [this.#site.machine()]
  }

  /** Whatever is left is gone. */
  async abandon(): Promise<void> {
    this.#latecomers = 0
    for (const owner of [...this.#owners]) await this.#end(owner, true)
    await this.#following?.abandon()
  }

  /** One thing happens. */
  async turn(): Promise<void> {
    const random = this.#random
    if (this.#following?.random.chance(0.4)) return await this.#followerTurn(this.#following)
    if (this.#owners.length === 0) {
      if (this.#mayStart()) await this.#start()
      return
    }
    if (random.chance(0.1)) this.#shared.clock.advance(millis(random.pick([1, 700, 61_000])))
    if (this.#disk.delayedCommits > 0 && random.chance(0.2)) this.#shared.seats.settleDelayed()
    await this.#checkpoints?.turn([...this.#owners, ...(this.#following?.processes ?? [])], this.#live)
    await this.#reap()
    if (this.#owners.length === 0) return
    await this.#trimming?.turn(this.#liveOwner)
    const picked = random.pick(this.#owners)
    const owner = this.#checkpoints?.insteadOf(picked, this.#liveOwner) ?? picked
    if (owner.suspended !== undefined) {
      if (random.chance(this.#phase === 'ends' ? 0.03 : 0.3)) await this.#resume(owner)
    } else if (this.#mayTakeOver() && this.#chaos.chance(0.1)) {
      await this.#takeOver(owner)
    } else if (this.#chaos.chance(0.02)) {
      await this.#restart(owner)
    } else {
      await this.#step(owner)
    }
  }

  #mayTakeOver(): boolean {
    return this.#phase === 'runs' && this.#owners.length === 1 && this.#takeoversLeft > 0
  }

  #mayStart(): boolean {
    if (this.#phase === 'runs') return true
    if (this.#latecomers === 0 || !this.#random.chance(0.2)) return false
    this.#latecomers--
    return true
  }

  async #start(): Promise<Owner | undefined> {
    const machine = this.#random.pick(this.#machines.filter(candidate => !candidate.busy))
    if (machine === undefined) return undefined
    if (machine.disk.entries > 0 && machine !== this.#trimming?.holder && this.#chaos.chance(0.1)) {
      await this.#loseDisk(machine)
      this.#hits.add('state wiped')
    }
    if (this.#owners.length === 0 && this.#phase === 'runs') {
      await this.#checkpoints?.perhapsLoseJournal(this.#shared.plan.placement.slots, () => this.#startOnce(machine))
    }
    const owner = await tryOpening(machine, () => this.#open(machine))
    if (owner === undefined) return undefined
    this.#owners.push(owner)
    if (this.#disk.topics.range(this.#journal).earliest > 0n) this.#hits.add('start inside a trimmed journal')
    const [wasOver, live] = [this.#phase !== 'runs' && (await this.#excuses.isOver()), this.#live]
    const outcome = await outcomeOf(owner, started(owner))
    if (wasOver && (outcome.kind === 'done' || this.#live !== live))
      throw new Difference('a slot of a closed plan has fenced')
    if (owner.slot.closing !== undefined) this.#hits.add('owner of a plan that ends starts')
    await this.#settle(owner, outcome, 'start')
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
    const outcome = await outcomeOf(owner, started(owner))
    await owner.checkpoints?.end('killed')
    machine.disk.crash(machine.disk.unsynced)
    return outcome
  }

  /** Processes that were killed while their checkpoints were being made. */
  async #reap(): Promise<void> {
    for (const owner of this.#owners.filter(({ checkpoints }) => checkpoints?.isDead)) await this.#end(owner, true)
  }

  #open(machine: Machine): Promise<Owner> {
    return openOwner(machine, this.#surroundings('as ever'))
  }

  #surroundings(how: 'alone' | 'as ever'): Surroundings {
    const checkpoints = how === 'alone' ? undefined : this.#checkpoints
    return {
      slot: this.slot,
      shared: this.#shared,
      chaos: this.#chaos,
      checkpointsOn: async (machine, backend) =>
        await checkpoints?.open(machine, backend, {
          isLive: () => this.#live === machine,
          others: () => this.#owners.filter(other => other.machine !== machine),
        }),
      onFence: (machine, fault) => this.#onFence(machine, fault),
      whileSeeding: async owner => {
        if (this.#seeding.crashesAt('seeding')) throw owner?.kill('seeding') ?? new SimulatedCrash('seeding')
        return this.#seeding.storeFault()
      },
    }
  }

  /** Something happens to the standby, or it takes over: from an owner that is dead, hangs, or does nothing wrong. */
  async #followerTurn(following: Following): Promise<void> {
    const { random } = following
    if (following.machine === undefined) {
      if (this.#phase === 'runs' && random.chance(0.5)) await following.follow(this.#machines)
    } else if (random.chance(0.1) && this.#mayPromote() && (this.#owners.length === 0 || this.#chaos.chance(0.5))) {
      this.#hits.add(this.#owners.length === 0 ? 'promotion after a crash' : 'promotion of a live slot')
      await this.#promote(following.take())
    } else if (this.#chaos.chance(0.05)) {
      await following.restart()
    } else {
      await following.step()
    }
    await this.#reap()
  }

  #mayPromote(): boolean {
    return this.#owners.length < 2 && (this.#phase === 'runs' || this.#mayStart())
  }

  async #promote({ standby, ...rest }: Follower): Promise<void> {
    const owner: Owner = { ...rest, slot: standby.slot }
    this.#owners.push(owner)
    const taking = async (): Promise<void> => {
      if (standby.epoch === 0) await owner.checkBeginning()
      await standby.takeOver()
    }
    await this.#settle(owner, await outcomeOf(owner, taking()), 'start')
  }

  #onFence(machine: Machine, fault: 'none' | 'refused' | 'indefinite'): void {
    if (this.#following?.machine === machine) throw new Difference('a standby fences')
    this.#shared.seats.fence(idOfSlot(this.slot), machine, fault, this.#random)
  }

  async #step(owner: Owner): Promise<void> {
    await this.#settle(owner, await outcomeOf(owner, owner.slot.step()), 'step')
  }

  /** Another machine starts while this one lives; perhaps just as it commits. */
  async #takeOver(owner: Owner): Promise<void> {
    this.#takeoversLeft--
    this.#hits.add('takeover')
    if (this.#random.chance(0.5)) await this.#suspend(owner)
    await this.#start()
  }

  /** Its next commit hangs, unless its next step has none. */
  async #suspend(owner: Owner): Promise<void> {
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
      if (outcome.committed && this.#live !== owner.machine) throw new Difference('a fenced slot committed')
      return
    }
    const { error } = outcome
    if (!(error instanceof SimulatedCrash)) await owner.checkpoints?.end('closed')
    if (isWeirError(error, 'SLOT_FENCED')) {
      if (this.#live === owner.machine) throw new Difference('the owner was told that it is fenced')
      this.#hits.add(this.#phase === 'over' ? 'zombie of an old plan fenced' : 'zombie fenced')
    } else if (isWeirError(error, 'HISTORY_TRIMMED')) {
      await this.#end(owner, true)
      if (this.#checkpoints !== undefined) return this.#checkpoints.onRefused(error, owner, this.#shared.planNumber)
      if (this.#trimming === undefined) throw error
      return this.#trimming.restore(owner.machine)
    } else if (isWeirError(error, 'OFFSET_OUT_OF_RANGE') && this.#live !== owner.machine) {
      this.#hits.add('zombie finds its input trimmed')
    } else if (isWeirError(error, 'EPOCH_FAILED')) {
      this.#hits.add('recoveries exhausted')
    } else if (!(error instanceof SimulatedCrash) && !(await this.#excuses.excuse(error))) {
      // From a step a slot recovers by itself; a start or a close that fails is repeated by whoever runs the slot.
      const injected = isWeirError(error, 'BACKEND_FAILED') || isWeirError(error, 'COMMIT_INDEFINITE')
      if (during === 'step' || !injected) throw error
    }
    await this.#end(owner, true)
    if (!(error instanceof SimulatedCrash) || error.point !== 'seeding' || !this.#random.chance(0.5)) return
    await this.#loseDisk(owner.machine)
    this.#hits.add('disk lost while it is seeded')
  }

  async #loseDisk(machine: Machine): Promise<void> {
    if (this.#checkpoints === undefined) machine.disk = new StateDisk()
    else await this.#checkpoints.loseDisk(machine)
  }

  /** The process is gone, and with a crash some of what it had not synced. */
  async #end(owner: Owner, crashed: boolean): Promise<void> {
    await this.#free(owner, crashed)
    this.#owners.splice(this.#owners.indexOf(owner), 1)
    this.#shared.seats.leave(idOfSlot(this.slot), owner.machine)
    if (crashed && this.#shared.allDown() && this.#disk.unsyncedWrites > 0 && this.#chaos.chance(0.3)) {
      // What was under way is gone with it: it may rest on what is lost.
      this.#disk.abortDelayed()
      this.#disk.powerCut(this.#random.below(this.#disk.unsyncedWrites))
      this.#hits.add('log tail lost')
    }
  }

  async #free({ machine, checkpoints }: Pick<Owner, 'machine' | 'checkpoints'>, crashed: boolean): Promise<void> {
    const { disk } = machine
    const how = crashed ? 'killed' : 'closed'
    await checkpoints?.end(how)
    await this.#checkpoints?.afterEnd(machine, how)
    const keep = crashed ? this.#random.between(0, disk.unsynced) : disk.unsynced
    if (keep < disk.unsynced) this.#hits.add('state batches lost')
    disk.crash(keep)
    machine.busy = false
  }
}

async function started({ checkBeginning, slot }: Owner): Promise<void> {
  await checkBeginning()
  await slot.start()
}

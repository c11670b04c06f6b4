/**
 * The slots of a world from plan to plan: the fleets of the one that runs, whoever changes it, and what is left of those before.
 */
import { join } from 'node:path'
import { MemoryLog } from '../../log/memory/index.js'
import { standingOf } from '../../runners/plans/index.js'
import type { Plan } from '../../topology/index.js'
import { Chaos } from './chaos.js'
import { CheckpointChaos } from './checkpoint-chaos.js'
import { FleetCheckpoints } from './checkpoint-fleet.js'
import { Fleet } from './fleet.js'
import { planPoints } from './plan-kinds.js'
import type { Random } from './random.js'
import { Rescaler } from './rescaler.js'
import type { SharedByAll } from './shared.js'
import { Site } from './site.js'
import { app, simulatedPlan } from './topology.js'

export interface DeploymentParts {
  readonly shared: Omit<SharedByAll, 'allDown'>
  /** Of the seed. */
  readonly random: Random
  /** Of the first plan. */
  readonly slots: number
  readonly standbys: number
  /** Whether other plans follow. */
  readonly rescales: boolean
  /** Of spools; undefined where no checkpoints are made. */
  readonly directory: string | undefined
}

export class Deployment {
  /** All that have begun. */
  readonly plans: Plan[] = []
  /** Of the plan that runs. */
  fleets: readonly Fleet[] = []
  readonly #parts: DeploymentParts
  readonly #shared: SharedByAll
  readonly #random: Random
  readonly #damage: CheckpointChaos
  readonly #sites: Site[] = []
  /** Of plans before. */
  readonly #retired: Fleet[] = []
  readonly #rescalers: Rescaler[] = []
  #changes = 0
  isChanging = false

  constructor(parts: DeploymentParts) {
    this.#parts = parts
    this.#random = parts.random.fork('deployment')
    this.#damage = new CheckpointChaos(parts.random.fork('damage'), parts.shared.hits)
    const allDown = (): boolean =>
      [...this.fleets, ...this.#retired].every(fleet => fleet.isDown) && this.#rescalers.every(({ isDown }) => isDown)
    this.#shared = { ...parts.shared, allDown }
    this.#begin(parts.slots)
  }

  planOf(slots: number): Plan {
    const { sizes, partitions } = this.#shared.config
    return simulatedPlan(sizes, { slots, partitions }, this.#parts.rescales)
  }

  #begin(slots: number): void {
    const { random, standbys, rescales } = this.#parts
    const plan = this.planOf(slots)
    this.plans.push(plan)
    const planNumber = this.plans.length
    const { hits } = this.#shared
    const shared = { ...this.#shared, plan, planNumber }
    const oneForAll = slots === 1 && !rescales
    this.fleets = Array.from({ length: slots }, (_, slot) => {
      const of = (concern: string): Random => {
        const ofSlot = oneForAll ? concern : `${concern} of ${slot}`
        return random.fork(planNumber === 1 ? ofSlot : `${ofSlot} in plan ${planNumber}`)
      }
      return new Fleet(this.#siteOf(slot), shared, new Chaos(of('chaos'), hits), {
        // What is trimmed cannot be read back as a dead letter of another slot's; retention leaves a week for that.
        trimming: oneForAll ? of('trimming') : undefined,
        following:
          standbys === 0 ? undefined : random.fork(`following ${slot}${planNumber === 1 ? '' : ` ${planNumber}`}`),
        seeding: new CheckpointChaos(of('seeding'), hits, ['seeding']),
      })
    })
  }

  #siteOf(slot: number): Site {
    const { random, slots, rescales, directory } = this.#parts
    const { config, disk, clock, hits } = this.#shared
    while (this.#sites.length <= slot) {
      const number = this.#sites.length
      const oneForAll = slots === 1 && !rescales
      const checkpoints =
        config.checkpoints &&
        new FleetCheckpoints({
          slot: number,
          trimsInputs: oneForAll,
          config: config.checkpoints,
          disk,
          clock,
          hits,
          random: random.fork(oneForAll ? 'checkpoints' : `checkpoints of ${number}`),
          directory: join(directory!, String(number)),
        })
      this.#sites.push(new Site(number, checkpoints))
    }
    return this.#sites[slot]!
  }

  /** The owners of the plan that runs have read everything that there is. @param records in the log, over all inputs and hops */
  hasProcessed(records: number): boolean {
    if (this.isChanging) return false
    let processed = 0
    for (const fleet of this.fleets) {
      const ofSlot = fleet.processed(this.#rescalers.length > 0)
      if (ofSlot === undefined) return false
      processed += ofSlot
    }
    return processed === records
  }

  /** Somebody begins to change the plan, perhaps two at once, who may want different ones. */
  async change(slots: number): Promise<void> {
    this.isChanging = true
    this.#changes++
    for (const fleet of this.fleets) await fleet.give()
    this.#addRescaler(slots)
    if (this.#random.chance(0.5))
      this.#addRescaler(this.#random.chance(0.5) ? slots : this.#random.between(1, slotsMax))
  }

  #addRescaler(slots: number): void {
    const number = this.#rescalers.length
    const { hits } = this.#shared
    const random = this.#parts.random.fork(`rescaler ${number}`)
    this.#rescalers.push(
      new Rescaler({
        shared: this.#shared,
        random,
        chaos: new Chaos(random.fork('chaos'), hits),
        planChaos: new CheckpointChaos(random.fork('plans'), hits, planPoints),
        siteOf: slot => this.#siteOf(slot),
        planOf: of => this.planOf(of),
        name: `change-${this.#changes}-${number}`,
        from: this.plans.length,
        slots,
      }),
    )
  }

  /** One thing happens. */
  async turn(): Promise<void> {
    const random = this.#random
    if (!this.#parts.rescales) return await this.#pick(this.fleets).turn()
    if (this.#damage.fault(0.005)) this.#shared.savepoints.damage(random, this.#shared.hits)
    const rescalers = this.#rescalers.filter(({ isDone }) => !isDone)
    const zombies = this.#retired.filter(({ isOut }) => !isOut)
    if (rescalers.length > 0 && random.chance(this.isChanging ? 0.6 : 0.1)) {
      await random.pick(rescalers).turn()
      if (this.isChanging) await this.#look()
    } else if (zombies.length > 0 && random.chance(0.15)) await random.pick(zombies).turn()
    else await random.pick(this.fleets).turn()
  }

  /** As before there were plans: a fleet alone asks for no chance. */
  #pick(fleets: readonly Fleet[]): Fleet {
    return fleets.length === 1 ? fleets[0]! : this.#shared.random.pick(fleets)
  }

  /** Whether another plan has begun: then it is the one to run. */
  async #look(): Promise<void> {
    const { plan, slots } = await standingOf(new MemoryLog(this.#shared.disk), app)
    if (plan === this.plans.length) return
    this.isChanging = false
    this.#shared.hits.add('next plan begun')
    for (const fleet of this.fleets) fleet.over()
    this.#retired.push(...this.fleets)
    for (const rescaler of this.#rescalers) rescaler.over()
    this.#begin(slots)
  }

  /** Nothing goes wrong any more: what is held up ends, and who is fenced learns of it. */
  async calmDown(): Promise<void> {
    this.#shared.savepoints.heal()
    this.#damage.calmDown()
    for (const rescaler of this.#rescalers) {
      rescaler.calmDown()
      while (!rescaler.isDone) await rescaler.turn()
    }
    for (const fleet of [...this.#retired, ...this.fleets]) await fleet.calmDown()
    for (const fleet of this.#retired) await fleet.abandon()
  }
}

export const slotsMax = 3

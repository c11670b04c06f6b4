/**
 * Somebody who changes the plan, as `weir rescale` does it: closes the one that runs, begins the next. Killed and failing, and
 * started again until the next one has begun; perhaps not alone.
 *
 * A seed decides everything: it moves only while somebody waits for it (`turn`), from one of its calls to the next, and its
 * slots take turns. What is checked as it runs: what ends an attempt is a crash, a fencing, a fault that was injected or a plan
 * that is over, nothing else.
 */
import { isWeirError, millis } from '../../kernel/index.js'
import type { Log } from '../../log/index.js'
import { MemoryLog } from '../../log/memory/index.js'
import {
  type BeginPoint,
  beginPlan,
  type ClosePoint,
  type ClosingSlot,
  closePlan,
  type OpenSlot,
  reopenPlan,
  standingOf,
} from '../../runners/plans/index.js'
import { journalTopicOf } from '../../runners/slot/index.js'
import type { Plan } from '../../topology/index.js'
import { type Chaos, SimulatedCrash } from './chaos.js'
import type { CheckpointChaos } from './checkpoint-chaos.js'
import { Difference } from './difference.js'
import type { StoreFault } from './faulty-store.js'
import { Lane, never } from './lane.js'
import { type Machine, type Outcome, openClosing } from './owner.js'
import type { Random } from './random.js'
import { type Hold, heldLog } from './seams.js'
import type { SharedByAll } from './shared.js'
import type { Site } from './site.js'
import { app } from './topology.js'

export interface RescalerParts {
  readonly shared: SharedByAll
  readonly random: Random
  readonly chaos: Chaos
  /** Of the checkpoint store, and of the points. */
  readonly planChaos: CheckpointChaos
  readonly siteOf: (slot: number) => Site
  readonly planOf: (slots: number) => Plan
  /** Of the savepoint. */
  readonly name: string
  /** The plan that ends. */
  readonly from: number
  /** Of the plan that begins. */
  readonly slots: number
}

/** A process: held up before each of its calls. Once it is dead none of them returns. */
class Attempt implements Hold {
  outcome: Outcome | undefined
  readonly #lane = new Lane()
  readonly #ended: Promise<void>
  readonly #died: Promise<void>
  #die!: () => void
  #dead = false
  #last: Promise<unknown> = Promise.resolve()

  constructor(work: (attempt: Attempt) => Promise<void>) {
    this.#died = new Promise(resolve => {
      this.#die = resolve
    })
    this.#ended = work(this).then(
      () => this.#end({ kind: 'done', committed: false }),
      (error: unknown) => this.#end({ kind: 'threw', error }),
    )
  }

  #end(outcome: Outcome): void {
    this.outcome ??= outcome
  }

  async pass(): Promise<void> {
    await this.#lane.pass()
    if (this.#dead) await never()
  }

  /** To its next call, or its end. */
  async advance(): Promise<void> {
    await Promise.race([this.#lane.letOn(), this.#ended, this.#died])
  }

  kill(crash: SimulatedCrash): void {
    this.#end({ kind: 'threw', error: crash })
    this.#dead = true
    this.#die()
  }

  /** One after the other, in whichever order they are asked for. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => undefined)
    return next
  }
}

export class Rescaler {
  readonly #parts: RescalerParts
  readonly #machines: (Machine | undefined)[] = []
  #attempt: Attempt | undefined
  #begins = false
  #isLate = false
  isDone = false

  constructor(parts: RescalerParts) {
    this.#parts = parts
  }

  get isDown(): boolean {
    return this.#attempt === undefined
  }

  /** Another plan has begun: it is not started again. */
  over(): void {
    this.#isLate = true
    this.isDone = this.isDown
  }

  calmDown(): void {
    this.#parts.chaos.calmDown()
    this.#parts.planChaos.calmDown()
  }

  async turn(): Promise<void> {
    const { random, planChaos } = this.#parts
    this.#attempt ??= new Attempt(this.#callsBack() ? attempt => this.#reopen(attempt) : attempt => this.#run(attempt))
    const attempt = this.#attempt
    for (let calls = random.between(1, 20); calls > 0 && attempt.outcome === undefined; calls--) {
      await attempt.advance()
      // Only where it is held up: what a dead process had begun would go on.
      if (planChaos.fault(0.002)) attempt.kill(new SimulatedCrash('plan started'))
    }
    if (attempt.outcome !== undefined) await this.#settle(attempt, attempt.outcome)
  }

  #callsBack(): boolean {
    return this.#parts.planChaos.fault(0.05)
  }

  async #run(attempt: Attempt): Promise<void> {
    const { shared, planOf, name, from, slots, planChaos } = this.#parts
    const log = this.#logOf(attempt)
    const standing = await standingOf(log, app)
    if (standing.plan !== from) return
    this.#begins = false
    const at = async (point: ClosePoint | BeginPoint): Promise<void> => {
      if (planChaos.crashesAt(`plan ${point}`)) attempt.kill(new SimulatedCrash(`plan ${point}`))
      await attempt.pass()
      if (point === 'begun') this.#begins = true
    }
    const store = shared.savepoints.open(() => this.#storeCall(attempt))
    const plan = planOf(standing.slots)
    const open = (slot: number): Promise<OpenSlot> => this.#open(attempt, slot, plan)
    const saved = await closePlan({ log, store, plan, name, clock: shared.clock, open, at })
    shared.disk.growTopic(journalTopicOf(app), slots)
    await beginPlan({ log, saved, plan: planOf(slots), wishes: {}, at })
    if (!this.#begins) shared.hits.add('plan begun by another')
  }

  /** It thinks better of it, and worse again. */
  async #reopen(attempt: Attempt): Promise<void> {
    const log = this.#logOf(attempt)
    const standing = await standingOf(log, app)
    if (standing.plan !== this.#parts.from) return
    const plan = this.#parts.planOf(standing.slots)
    await reopenPlan({ log, plan, open: slot => this.#open(attempt, slot, plan) })
    if (standing.ends !== undefined) this.#parts.shared.hits.add('plan called back')
  }

  /** What becomes of an attempt. @throws whatever it should not have thrown */
  async #settle(attempt: Attempt, outcome: Outcome): Promise<void> {
    const { shared, random, from } = this.#parts
    this.#attempt = undefined
    for (const { disk } of this.#machines.filter(machine => machine !== undefined)) {
      const isDead = outcome.kind === 'threw' && outcome.error instanceof SimulatedCrash
      disk.crash(isDead ? random.between(0, disk.unsynced) : disk.unsynced)
    }
    this.isDone = this.#isLate || this.#begins || (await this.#hasBegun())
    if (outcome.kind === 'done') return
    const { error } = outcome
    if (isWeirError(error, 'SLOT_FENCED')) {
      const ids = [`weir.${app}.plan`, ...this.#machines.map((_, slot) => `weir.${app}.slot-${slot}`)]
      if (ids.every(id => shared.seats.holder(id) === attempt))
        throw new Difference('a rescaler alone was told that it is fenced')
      shared.hits.add('rescaler fenced')
    } else if (isWeirError(error, 'PLAN_CLOSED')) {
      const { plan, ends } = await standingOf(new MemoryLog(shared.disk), app)
      if (plan === from && ends === undefined) throw error
      shared.hits.add('rescaler finds the plan over')
    } else if (isWeirError(error, 'CHECKPOINT_CORRUPT') || isWeirError(error, 'SAVEPOINT_EXISTS')) {
      if (shared.savepoints.heal()) shared.hits.add('savepoint found damaged')
      // Two made parts of their own, and the other's were published.
      else if (error.code !== 'SAVEPOINT_EXISTS') throw error
    } else if (!(error instanceof SimulatedCrash) && !passing.some(code => isWeirError(error, code))) {
      throw error
    }
  }

  async #hasBegun(): Promise<boolean> {
    return (await standingOf(new MemoryLog(this.#parts.shared.disk), app)).plan > this.#parts.from
  }

  /** Its own, for what is of no slot. */
  #logOf(attempt: Attempt): Log {
    const { shared, chaos, random } = this.#parts
    const faults = chaos.logFaults((fault, id) => shared.seats.fence(id, attempt, fault, random))
    return heldLog(new MemoryLog(shared.disk, { clock: shared.clock, faults }), attempt)
  }

  async #storeCall(attempt: Attempt): Promise<StoreFault> {
    await attempt.pass()
    return this.#parts.planChaos.storeFault()
  }

  async #open(attempt: Attempt, slot: number, plan: Plan): Promise<OpenSlot> {
    const { shared, chaos, siteOf, random, from } = this.#parts
    const site = siteOf(slot)
    this.#machines[slot] ??= site.machine()
    const limits = { ...shared.config.limits, heartbeatMs: millis(Number.POSITIVE_INFINITY) }
    const opened = await openClosing(
      this.#machines[slot],
      {
        slot,
        shared: { ...shared, plan, planNumber: from, config: { ...shared.config, limits } },
        chaos,
        checkpointsOn: async () => undefined,
        onFence: (_machine, fault) => shared.seats.fence(`weir.${app}.slot-${slot}`, attempt, fault, random),
        whileSeeding: () => this.#storeCall(attempt),
      },
      {
        hold: attempt,
        catalogue: site.checkpoints?.reading(async () => this.#parts.planChaos.storeFault()),
        crashAt: point => {
          try {
            chaos.crashAt(point)
          } catch (error) {
            attempt.kill(error as SimulatedCrash)
            throw error
          }
        },
      },
    )
    const closing: ClosingSlot = {
      start: () =>
        attempt.inTurn(async () => {
          try {
            await opened.slot.start()
          } catch (error) {
            if (isWeirError(error, 'HISTORY_TRIMMED'))
              await site.checkpoints?.onRefused(error, { checkpoints: undefined }, from)
            throw error
          }
        }),
      step: () =>
        attempt.inTurn(async () => {
          await attempt.pass()
          return await opened.slot.step()
        }),
      mark: closes => attempt.inTurn(() => opened.slot.mark(closes)),
      hasDrained: () => attempt.inTurn(() => opened.slot.hasDrained()),
      close: options => attempt.inTurn(() => opened.slot.close(options)),
      get closing() {
        return opened.slot.closing
      },
    }
    return { slot: closing, log: opened.log, backend: opened.backend, release: () => opened.store.close() }
  }
}

/** Faults that were injected: it is started again. */
const passing = [
  'BACKEND_FAILED',
  'COMMIT_INDEFINITE',
  'EPOCH_FAILED',
  'CHECKPOINT_STORE_FAILED',
  'HISTORY_TRIMMED',
] as const

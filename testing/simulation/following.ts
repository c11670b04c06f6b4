/**
 * The standby of a fleet: follows, starts again, and is handed over to take over.
 *
 * What is checked as it runs: what ends a standby is a crash, a fault that was injected, or what it should have read and is
 * trimmed, nothing else.
 */
import { assert, isWeirError } from '../../kernel/index.js'
import type { MemoryDisk as StateDisk } from '../../state/index.js'
import { SimulatedCrash } from './chaos.js'
import type { FleetCheckpoints } from './checkpoint-fleet.js'
import { Difference } from './difference.js'
import type { Excuses } from './excuses.js'
import { sweep } from './final-state.js'
import { type Follower, type Machine, openFollower, outcomeOf, type Surroundings, tryOpening } from './owner.js'
import type { Random } from './random.js'
import type { Shared } from './shared.js'
import { earliestOf, type Trimming } from './trimming.js'

export interface FollowingParts {
  readonly random: Random
  readonly slot: number
  readonly shared: Shared
  readonly checkpoints: FleetCheckpoints | undefined
  readonly trimming: Trimming | undefined
  readonly excuses: Excuses
  readonly surroundings: () => Surroundings
  /** The process is gone. */
  readonly free: (follower: Follower, crashed: boolean) => Promise<void>
}

export class Following {
  readonly random: Random
  readonly #parts: FollowingParts
  #follower: Follower | undefined

  constructor(parts: FollowingParts) {
    this.random = parts.random
    this.#parts = parts
  }

  /** On which it follows; undefined: it does not. */
  get machine(): Machine | undefined {
    return this.#follower?.machine
  }

  get processes(): readonly Follower[] {
    return this.#follower === undefined ? [] : [this.#follower]
  }

  /** What there is to begin from. */
  get #left(): string {
    const { shared, slot, checkpoints } = this.#parts
    return [earliestOf(shared, slot), ...(checkpoints?.names ?? [])].join(' ')
  }

  /** On one of these that nothing runs on. */
  async follow(machines: readonly Machine[]): Promise<Follower | undefined> {
    const machine = machines.find(({ busy }) => !busy)
    if (machine === undefined) return undefined
    const follower = await tryOpening(machine, () => openFollower(machine, this.#parts.surroundings()))
    if (follower === undefined) return undefined
    this.#follower = follower
    const { hits } = this.#parts.shared
    const left = this.#left
    const restored = hits.of('restored to an empty disk') + hits.of('restored over a store')
    const outcome = await outcomeOf(follower, follower.standby.start())
    if (hits.of('restored to an empty disk') + hits.of('restored over a store') > restored)
      hits.add('standby restores a checkpoint')
    if (outcome.kind === 'threw') await this.#lost(follower, outcome.error, left)
    return this.#follower
  }

  async step(): Promise<void> {
    const [follower, left] = [this.#running, this.#left]
    const outcome = await outcomeOf(follower, follower.standby.step())
    if (outcome.kind === 'threw') await this.#lost(follower, outcome.error, left)
    else if (follower.standby.caughtUp) this.#parts.shared.hits.add('standby follows')
  }

  async restart(): Promise<void> {
    const follower = this.#running
    const outcome = await outcomeOf(follower, follower.standby.close())
    if (outcome.kind === 'threw') return await this.#lost(follower, outcome.error, this.#left)
    await follower.checkpoints?.end('closed')
    await follower.store.close()
    await this.#parts.free(follower, false)
    this.#follower = undefined
    this.#parts.shared.hits.add('standby restarts')
  }

  /** For the fleet, which has it take over. */
  take(): Follower {
    const follower = this.#running
    this.#follower = undefined
    return follower
  }

  /** Its state, once it has followed until the very end. */
  async stop(machines: readonly Machine[]): Promise<StateDisk> {
    const follower = this.#follower ?? (await this.follow(machines))
    assert(follower !== undefined, 'a standby starts when nothing goes wrong')
    const { standby, machine } = follower
    for (let idle = 0; idle < 3; ) idle = (await standby.step()) === 0 ? idle + 1 : 0
    if (!(await standby.isLast())) throw new Difference('a standby does not follow to the end')
    await standby.close()
    await sweep(follower, this.#parts.surroundings())
    return machine.disk
  }

  async abandon(): Promise<void> {
    if (this.#follower !== undefined) await this.#parts.free(this.#follower, true)
    this.#follower = undefined
  }

  get #running(): Follower {
    assert(this.#follower !== undefined, 'there is a standby')
    return this.#follower
  }

  /** @param left of the log and the checkpoints when it began what it did not get through */
  async #lost(follower: Follower, error: unknown, left: string): Promise<void> {
    const { shared, checkpoints, trimming, excuses, free } = this.#parts
    this.#follower = undefined
    if (!(error instanceof SimulatedCrash)) await follower.checkpoints?.end('closed')
    await free(follower, true)
    if (error instanceof SimulatedCrash || isWeirError(error, 'BACKEND_FAILED')) return
    if (await excuses.excuse(error)) return
    const isRefused = isWeirError(error, 'HISTORY_TRIMMED')
    if (!isRefused && !isWeirError(error, 'OFFSET_OUT_OF_RANGE')) throw error
    if (checkpoints === undefined && trimming?.holder === undefined) throw error
    shared.hits.add('standby finds the log trimmed')
    // A start tells what it is; a step only that something is gone.
    if (!isRefused) return
    trimming?.restore(follower.machine)
    // Its owner goes on trimming, making checkpoints and removing them while this one restores: another try finds a newer one.
    if (left === this.#left) await checkpoints?.onRefused(error, follower, shared.planNumber)
  }
}

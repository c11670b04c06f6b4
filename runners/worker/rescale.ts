/**
 * `weir rescale`: ends the plan of a deployment and begins another, with other slots, another topology, or another version of
 * Weir (docs/decisions/0016). Killed anywhere, the same command goes on from there.
 */
import { isWeirError, WeirError } from '../../kernel/index.js'
import {
  checkSavepointName,
  type MigrationWishes,
  planMigration,
  readSavepoint,
  type StoredSavepoint,
} from '../../state/index.js'
import { type Plan, stateSchemas } from '../../topology/index.js'
import { shareMemory } from '../memory/index.js'
import {
  type BeginPoint,
  beginPlan,
  type ClosePoint,
  checkNext,
  closePlan,
  type Standing,
  standingOf,
} from '../plans/index.js'
import { journalTopicOf } from '../slot/index.js'
import { topicSpecs } from '../topics/index.js'
import { type Closer, type CloserProgress, type CloserSettings, withCloser } from './closer.js'
import { modelsOf, planOf } from './job.js'

export interface RescaleSettings extends CloserSettings {
  /** Of the plan that begins; undefined: none does, the plan is only closed. */
  readonly slots: number | undefined
  /** A savepoint that the plan was closed into before; undefined: the plan is closed, into one of this name. */
  readonly from: string | undefined
  readonly name: string
  readonly wishes: MigrationWishes
  readonly onProgress: (progress: RescaleProgress) => void
}

export type RescaleProgress = CloserProgress | { readonly kind: 'at'; readonly point: ClosePoint | BeginPoint }

export interface Rescaled {
  /** The one that has begun, or goes on as it was; without `slots` the one that is closed. */
  readonly plan: number
  readonly slots: number
  /** That it was closed into; undefined: the plan was as asked for, and goes on. */
  readonly savepoint: string | undefined
  /** From when the group had taken all slots from the workers; 0 where it was not asked to. */
  readonly pausedMs: number
}

/**
 * @throws WeirError as `closePlan` and `beginPlan` do; USAGE, FINGERPRINT_MISMATCH, SAVEPOINT_EXISTS, UNKNOWN_FEATURE, MODEL_CONTRACT
 * before anything is changed
 */
export function rescale(settings: RescaleSettings): Promise<Rescaled> {
  return withCloser(settings, closer => new Rescaling(settings, closer).run())
}

class Rescaling {
  readonly #settings: RescaleSettings
  readonly #closer: Closer

  constructor(settings: RescaleSettings, closer: Closer) {
    this.#settings = settings
    this.#closer = closer
  }

  async run(): Promise<Rescaled> {
    const { app, from, wishes } = this.#settings
    const { log, store, registry } = this.#closer
    const standing = await standingOf(log, app)
    const partitions = await log.partitionCount('transactions')
    const { slots = standing.slots } = this.#settings
    const begins = this.#settings.slots !== undefined
    if (slots > partitions) {
      throw new WeirError('USAGE', `${slots} slots cannot share ${partitions} partitions of transactions`)
    }
    // The next plan's slots must fit into what one worker may take.
    if (begins) shareMemory(this.#settings.memoryBudgetBytes, { slots, threads: 1 })
    const next = planOf({ ...this.#settings, registry, slots, partitions }, undefined)
    if (begins && from === undefined && isAsAskedFor(standing, next, wishes)) {
      return { plan: standing.plan, slots, savepoint: undefined, pausedMs: 0 }
    }
    if (begins) await this.#checkModel(next)
    const saved =
      from === undefined ? await this.#close(standing, partitions, next) : await readSavepoint(store, app, from)
    let { plan } = saved.savepoint
    if (begins) {
      checkNext({ saved, plan: next, wishes })
      await this.#createTopics(next)
      plan = await beginPlan({ log, saved, plan: next, wishes, at: this.#at })
    }
    this.#closer.removeStores()
    return { plan, slots, savepoint: saved.savepoint.name, pausedMs: this.#closer.pausedMs }
  }

  /** Workers that are set up as this command is must be able to run the next plan. @throws WeirError MODEL_CONTRACT, UNKNOWN_MODEL */
  async #checkModel(next: Plan): Promise<void> {
    for (const model of (await modelsOf(this.#settings, next)).values()) await model.close()
  }

  readonly #at = (point: ClosePoint | BeginPoint): void => this.#settings.onProgress({ kind: 'at', point })

  /** The savepoint that the plan is closed into, now or before. */
  async #close(standing: Standing, partitions: number, next: Plan): Promise<StoredSavepoint> {
    const { name, signal, clock } = this.#settings
    const { log, store } = this.#closer
    const ending = this.#closer.endingPlan(standing, partitions)
    const { plan } = ending
    await this.#checkBefore(standing, plan, next)
    return await this.#closer.withSlots(ending, open =>
      closePlan({ log, store, plan, name, clock, signal, at: this.#at, open }),
    )
  }

  /** What would only be found when nobody works any more. @throws WeirError SAVEPOINT_EXISTS, STATE_INCOMPATIBLE, … */
  async #checkBefore({ ends, slots }: Standing, plan: Plan, next: Plan): Promise<void> {
    const { app, name, wishes } = this.#settings
    const into = ends?.savepoint ?? name
    checkSavepointName(into)
    planMigration({ name: into, closed: true, slots, steps: stateSchemas(plan) }, stateSchemas(next), wishes)
    if (ends !== undefined) return
    try {
      await readSavepoint(this.#closer.store, app, into)
    } catch (error) {
      if (isWeirError(error, 'SAVEPOINT_NOT_FOUND')) return
      throw error
    }
    throw new WeirError('SAVEPOINT_EXISTS', `there is a savepoint '${into}' of ${app} already`)
  }

  async #createTopics({ app, placement, hops }: Plan): Promise<void> {
    const { log } = this.#closer
    await log.growTopic(journalTopicOf(app), placement.slots)
    const names = new Set(hops.map(({ topic }) => topic))
    for (const { name, partitions, config } of topicSpecs({ app, ...placement, hops: [...names] })) {
      if (names.has(name)) await log.createTopic(name, partitions, { config })
    }
  }
}

function isAsAskedFor(
  { ends, slots, last }: Standing,
  next: Plan,
  { drop = [], rename = {} }: MigrationWishes,
): boolean {
  const noWishes = drop.length === 0 && Object.keys(rename).length === 0
  const same = slots === next.placement.slots && last[0]?.record.fingerprint === next.fingerprint
  return ends === undefined && noWishes && same
}

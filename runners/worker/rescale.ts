/**
 * `weir rescale`: ends the plan of a deployment and begins another, with other slots, another topology, or another version of
 * Weir (docs/decisions/0016). It is a member of the worker group, which gives it every slot; so it works as well when all
 * workers are down. Killed anywhere, the same command goes on from there.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, isWeirError, millis, WeirError } from '../../kernel/index.js'
import { defaultLimits, KafkaLog } from '../../log/kafka/index.js'
import {
  type CheckpointStore,
  checkSavepointName,
  type MigrationWishes,
  planMigration,
  readSavepoint,
  type StoredSavepoint,
} from '../../state/index.js'
import { type Plan, stateSchemas } from '../../topology/index.js'
import { openCheckpointStore } from '../checkpoints/index.js'
import { shareMemory } from '../memory/index.js'
import {
  type BeginPoint,
  beginPlan,
  type ClosePoint,
  closePlan,
  type OpenSlot,
  type Standing,
  standingOf,
} from '../plans/index.js'
import { journalTopicOf, type SlotEvent } from '../slot/index.js'
import { topicSpecs } from '../topics/index.js'
import { openClosingSlot } from './closing-slot.js'
import { modelsOf, planOf, type WorkerJob, writerSchemasOf } from './job.js'
import { kafkajsConfig } from './kafka.js'
import { Membership } from './membership.js'
import { registerSchemas, type WorkerSettings } from './open.js'

const attemptsMax = 15
const permissionPoll = millis(20)
/** The group notices a member that has died without a word after its session time-out, 10 s. */
const assignedMsMax = 60_000

export interface RescaleSettings extends Omit<WorkerSettings, 'threads' | 'standbys' | 'onEvent'> {
  /** Of the plan that begins; undefined: none does, the plan is only closed. */
  readonly slots: number | undefined
  /** A savepoint that the plan was closed into before; undefined: the plan is closed, into one of this name. */
  readonly from: string | undefined
  readonly name: string
  readonly wishes: MigrationWishes
  readonly signal: AbortSignal
  readonly onProgress: (progress: RescaleProgress) => void
}

export type RescaleProgress =
  | { readonly kind: 'waiting' | 'given' }
  | { readonly kind: 'at'; readonly point: ClosePoint | BeginPoint }
  | { readonly kind: 'slot'; readonly slot: number; readonly event: SlotEvent }
  | { readonly kind: 'trouble'; readonly message: string }

export interface Rescaled {
  /** The one that has begun, or goes on as it was; without `slots` the one that is closed. */
  readonly plan: number
  readonly slots: number
  /** undefined: the plan was as asked for, and goes on. */
  readonly savepoint: string | undefined
  /** From when the group had taken all slots from the workers; 0 where the plan was closed before. */
  readonly pausedMs: number
}

/** @throws WeirError as `closePlan` and `beginPlan` do; USAGE, FINGERPRINT_MISMATCH, SAVEPOINT_EXISTS before anything is changed */
export async function rescale(settings: RescaleSettings): Promise<Rescaled> {
  const { checkpoints, kafka, clock, registry: address } = settings
  if (checkpoints === undefined) throw new WeirError('USAGE', 'rescaling needs a checkpoint store (checkpoints.store)')
  const log = await KafkaLog.open({ ...kafka, limits: { ...defaultLimits, attemptsMax } })
  const store = await openCheckpointStore(checkpoints.place)
  try {
    const registry = address && (await registerSchemas(address, kafka.prefix ?? '', clock))
    return await new Rescaling(settings, log, store, registry).run()
  } finally {
    await store.close()
    await log.close()
  }
}

class Rescaling {
  readonly #settings: RescaleSettings
  readonly #log: KafkaLog
  readonly #store: CheckpointStore
  readonly #registry: WorkerJob['registry']
  readonly #clock: Clock
  #membership: Membership | undefined
  #pausedSinceMs: number | undefined

  constructor(settings: RescaleSettings, log: KafkaLog, store: CheckpointStore, registry: WorkerJob['registry']) {
    this.#settings = settings
    this.#log = log
    this.#store = store
    this.#registry = registry
    this.#clock = settings.clock
  }

  async run(): Promise<Rescaled> {
    const { app, from, wishes, dataDir } = this.#settings
    const standing = await standingOf(this.#log, app)
    const partitions = await this.#log.partitionCount('transactions')
    const { slots = standing.slots } = this.#settings
    const begins = this.#settings.slots !== undefined
    if (slots > partitions) {
      throw new WeirError('USAGE', `${slots} slots cannot share ${partitions} partitions of transactions`)
    }
    // Workers that are set up as this command is must be able to run the next plan.
    if (begins) shareMemory(this.#settings.memoryBudgetBytes, { slots, threads: 1 })
    const next = planOf({ ...this.#settings, registry: this.#registry, slots, partitions }, undefined)
    if (begins && from === undefined && isAsAskedFor(standing, next, wishes)) {
      return { plan: standing.plan, slots, savepoint: undefined, pausedMs: 0 }
    }
    try {
      const job = this.#jobOf(standing, partitions)
      const saved = from === undefined ? await this.#close(standing, job, next) : await this.#saved(from)
      if (begins) await this.#createTopics(next)
      const plan = begins
        ? await beginPlan({ log: this.#log, saved, plan: next, wishes, at: this.#at })
        : saved.savepoint.plan
      const pausedMs = this.#pausedSinceMs === undefined ? 0 : this.#clock.nowMs() - this.#pausedSinceMs
      rmSync(workFolder(dataDir), { recursive: true, force: true })
      return { plan, slots, savepoint: saved.savepoint.name, pausedMs }
    } finally {
      // Not before: what the group then hands out is for who knows the next plan.
      await this.#membership?.stop()
    }
  }

  readonly #at = (point: ClosePoint | BeginPoint): void => this.#settings.onProgress({ kind: 'at', point })

  #saved(name: string): Promise<StoredSavepoint> {
    return readSavepoint(this.#store, this.#settings.app, name)
  }

  /** Whose slots are closed here, all of them in one thread. @throws WeirError USAGE for a budget that is too small for them */
  #jobOf({ plan, slots }: Standing, partitions: number): WorkerJob {
    const { app, dataDir, kafka, model, rules, features, cardKey, memoryBudgetBytes, checkpoints } = this.#settings
    const memory = shareMemory(memoryBudgetBytes, { slots, threads: 0 })
    const same = { app, kafka, model, rules, features, cardKey, memory, checkpoints, registry: this.#registry }
    return { ...same, dataDir: workFolder(dataDir), planNumber: plan, slots, partitions, standbys: 0 }
  }

  /** The savepoint that the plan is closed into, now or before. */
  async #close(standing: Standing, job: WorkerJob, next: Plan): Promise<StoredSavepoint> {
    const { name, signal, onProgress } = this.#settings
    const clock = this.#clock
    const schemas = writerSchemasOf(job, clock)
    const plan = planOf(job, schemas)
    await this.#checkBefore(standing, plan, next)
    const models = await modelsOf(job, plan)
    try {
      const io = {
        clock,
        store: this.#store,
        permission: () => this.#permission(),
        onEvent: (slot: number, event: SlotEvent) => onProgress({ kind: 'slot', slot, event }),
      }
      // One that is closed whole needs no slots, and no group.
      const open = async (slot: number): Promise<OpenSlot> => {
        if (slot === 0) await this.#join(standing, plan)
        return await openClosingSlot(job, slot, { plan, models, schemas }, io)
      }
      return await closePlan({ log: this.#log, store: this.#store, plan, name, clock, signal, at: this.#at, open })
    } finally {
      for (const model of models.values()) await model.close()
    }
  }

  /** What would only be found when nobody works any more. @throws WeirError FINGERPRINT_MISMATCH, SAVEPOINT_EXISTS, STATE_INCOMPATIBLE, … */
  async #checkBefore({ ends, last, slots }: Standing, plan: Plan, next: Plan): Promise<void> {
    const { app, name, wishes } = this.#settings
    const fingerprint = last[0]?.record.fingerprint ?? plan.fingerprint
    if (fingerprint !== plan.fingerprint) {
      const what = `the plan that runs is of topology ${fingerprint}, this is ${plan.fingerprint}: close it with what it was begun with`
      throw new WeirError('FINGERPRINT_MISMATCH', what)
    }
    const into = ends?.savepoint ?? name
    checkSavepointName(into)
    planMigration({ name: into, closed: true, slots, steps: stateSchemas(plan) }, stateSchemas(next), wishes)
    if (ends !== undefined) return
    try {
      await readSavepoint(this.#store, app, into)
    } catch (error) {
      if (isWeirError(error, 'SAVEPOINT_NOT_FOUND')) return
      throw error
    }
    throw new WeirError('SAVEPOINT_EXISTS', `there is a savepoint '${into}' of ${app} already`)
  }

  /** Until the group has given every slot. @throws WeirError KAFKA_UNAVAILABLE, INTERRUPTED */
  async #join({ plan: number, slots }: Standing, plan: Plan): Promise<void> {
    const { app, kafka, onProgress, signal } = this.#settings
    const prefix = kafka.prefix ?? ''
    const stored = new Map<number, number>()
    const none = { threads: 1, running: [], following: [], stored, standbys: 0 }
    let given = 0
    const inputs = plan.sources.map(async ({ topic }) => ({
      topic: prefix + topic,
      partitions: await this.#log.partitionCount(topic),
    }))
    this.#membership = new Membership({
      kafka: kafkajsConfig(kafka),
      groupId: `${prefix}weir.${app}`,
      journalTopic: prefix + journalTopicOf(app),
      inputs: await Promise.all(inputs),
      clock: this.#clock,
      note: () => ({ ...none, plan: number, slots, closes: true }),
      onAssigned: assigned => {
        given = assigned.slots.length
      },
      onTrouble: message => onProgress({ kind: 'trouble', message }),
    })
    onProgress({ kind: 'waiting' })
    await this.#membership.start()
    const untilMs = this.#clock.nowMs() + assignedMsMax
    while (given < slots) {
      if (signal.aborted) throw new WeirError('INTERRUPTED', 'nothing was changed')
      if (this.#clock.nowMs() > untilMs) {
        const what = `the worker group has given ${given} of ${slots} slots in ${assignedMsMax / 1_000} s`
        throw new WeirError(
          'KAFKA_UNAVAILABLE',
          `${what}; is another weir rescale at work, or a worker of an older version?`,
        )
      }
      await this.#clock.sleep(permissionPoll)
    }
    this.#pausedSinceMs = this.#clock.nowMs()
    onProgress({ kind: 'given' })
  }

  async #permission(): Promise<boolean> {
    const untilMs = this.#clock.nowMs() + assignedMsMax
    while (this.#membership?.fresh !== true) {
      if (this.#clock.nowMs() > untilMs) return false
      await this.#clock.sleep(permissionPoll)
    }
    return true
  }

  async #createTopics({ app, placement, hops }: Plan): Promise<void> {
    await this.#log.growTopic(journalTopicOf(app), placement.slots)
    const names = new Set(hops.map(({ topic }) => topic))
    for (const { name, partitions, config } of topicSpecs({ app, ...placement, hops: [...names] })) {
      if (names.has(name)) await this.#log.createTopic(name, partitions, { config })
    }
  }
}

const workFolder = (dataDir: string): string => join(dataDir, 'rescale')

function isAsAskedFor(
  { ends, slots, last }: Standing,
  next: Plan,
  { drop = [], rename = {} }: MigrationWishes,
): boolean {
  const noWishes = drop.length === 0 && Object.keys(rename).length === 0
  const same = slots === next.placement.slots && last[0]?.record.fingerprint === next.fingerprint
  return ends === undefined && noWishes && same
}

/**
 * Who ends a plan, or lets it go on after all: a member of the worker group, which gives it every slot (docs/decisions/0016), and
 * runs them here. So it works as well when all workers are down.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, millis, WeirError } from '../../kernel/index.js'
import { defaultLimits, KafkaLog } from '../../log/kafka/index.js'
import type { CheckpointStore } from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import { openCheckpointStore } from '../checkpoints/index.js'
import { shareMemory } from '../memory/index.js'
import type { OpenSlot, Standing } from '../plans/index.js'
import { journalTopicOf, type SlotEvent } from '../slot/index.js'
import { openClosingSlot } from './closing-slot.js'
import { modelsOf, planOf, type WorkerJob, writerSchemasOf } from './job.js'
import { kafkajsConfig } from './kafka.js'
import { Membership } from './membership.js'
import type { RegistryEvent } from './messages.js'
import { registerSchemas, type WorkerSettings } from './open.js'
import type { SlotParts } from './slot-host.js'

const attemptsMax = 15
const permissionPoll = millis(20)
/** The group notices a member that has died without a word after its session time-out, 10 s. */
const assignedMsMax = 60_000

export interface CloserSettings extends Omit<WorkerSettings, 'threads' | 'standbys' | 'onEvent'> {
  readonly signal: AbortSignal
  readonly onProgress: (progress: CloserProgress) => void
}

export type CloserProgress =
  | { readonly kind: 'waiting' | 'given' }
  | { readonly kind: 'slot'; readonly slot: number; readonly event: SlotEvent | RegistryEvent }
  | { readonly kind: 'trouble'; readonly message: string }

/** The plan that a deployment is at, as it is run here: all its slots in one thread. */
interface EndingPlan {
  readonly job: WorkerJob
  readonly plan: Plan
  readonly schemas: SlotParts['schemas']
}

/** @throws WeirError USAGE without a checkpoint store; KAFKA_UNAVAILABLE, REGISTRY_UNREACHABLE, …; as `work` does */
export async function withCloser<T>(settings: CloserSettings, work: (closer: Closer) => Promise<T>): Promise<T> {
  const { checkpoints, kafka, clock, registry: address } = settings
  if (checkpoints === undefined) throw new WeirError('USAGE', 'rescaling needs a checkpoint store (checkpoints.store)')
  const log = await KafkaLog.open({ ...kafka, limits: { ...defaultLimits, attemptsMax } })
  const store = await openCheckpointStore(checkpoints.place)
  try {
    const registry = address && (await registerSchemas(address, kafka.prefix ?? '', clock))
    const closer = new Closer(settings, log, store, registry)
    try {
      return await work(closer)
    } finally {
      // Not before: what the group then hands out is for who knows how the plan goes on.
      await closer.leave()
    }
  } finally {
    await store.close()
    await log.close()
  }
}

export class Closer {
  readonly log: KafkaLog
  readonly store: CheckpointStore
  readonly registry: WorkerJob['registry']
  readonly #settings: CloserSettings
  readonly #clock: Clock
  #membership: Membership | undefined
  #pausedSinceMs: number | undefined

  constructor(settings: CloserSettings, log: KafkaLog, store: CheckpointStore, registry: WorkerJob['registry']) {
    this.#settings = settings
    this.#clock = settings.clock
    this.log = log
    this.store = store
    this.registry = registry
  }

  /** From when the group had taken all slots from the workers; 0 where it was not asked to. */
  get pausedMs(): number {
    return this.#pausedSinceMs === undefined ? 0 : this.#clock.nowMs() - this.#pausedSinceMs
  }

  /** @throws WeirError USAGE for a budget that is too small for all slots at once; FINGERPRINT_MISMATCH */
  endingPlan({ plan: planNumber, slots, last }: Standing, partitions: number): EndingPlan {
    const { app, dataDir, kafka, model, rules, features, cardKey, memoryBudgetBytes, checkpoints } = this.#settings
    const memory = shareMemory(memoryBudgetBytes, { slots, threads: 0 })
    const same = { app, kafka, model, rules, features, cardKey, memory, checkpoints, registry: this.registry }
    const job = { ...same, dataDir: workFolder(dataDir), planNumber, slots, partitions, standbys: 0 }
    const schemas = writerSchemasOf(job, this.#clock)
    const plan = planOf(job, schemas)
    const fingerprint = last[0]?.record.fingerprint ?? plan.fingerprint
    if (fingerprint !== plan.fingerprint) {
      const what = `the plan that runs is of topology ${fingerprint}, this is ${plan.fingerprint}: use what it was begun with`
      throw new WeirError('FINGERPRINT_MISMATCH', what)
    }
    return { job, plan, schemas }
  }

  /**
   * Joins the group before the first slot is opened; decisions pause from then on.
   * @throws WeirError MODEL_CONTRACT; while a slot is opened KAFKA_UNAVAILABLE, INTERRUPTED; as `work` does
   */
  async withSlots<T>(
    { job, plan, schemas }: EndingPlan,
    work: (open: (slot: number) => Promise<OpenSlot>) => Promise<T>,
  ): Promise<T> {
    const models = await modelsOf(job, plan)
    try {
      const io = {
        clock: this.#clock,
        store: this.store,
        permission: () => this.#permission(),
        onEvent: (slot: number, event: SlotEvent | RegistryEvent) =>
          this.#settings.onProgress({ kind: 'slot', slot, event }),
      }
      return await work(async slot => {
        if (this.#membership === undefined) await this.#join(job, plan)
        return await openClosingSlot(job, slot, { plan, models, schemas }, io)
      })
    } finally {
      for (const model of models.values()) await model.close()
    }
  }

  /** What a command that is given again would have gone on from. */
  removeStores(): void {
    rmSync(workFolder(this.#settings.dataDir), { recursive: true, force: true })
  }

  async leave(): Promise<void> {
    await this.#membership?.stop()
  }

  /** Until the group has given every slot. @throws WeirError KAFKA_UNAVAILABLE, INTERRUPTED */
  async #join({ planNumber, slots }: WorkerJob, plan: Plan): Promise<void> {
    const { app, kafka, onProgress, signal } = this.#settings
    const prefix = kafka.prefix ?? ''
    const stored = new Map<number, number>()
    const none = { threads: 1, running: [], following: [], stored, standbys: 0 }
    let given = 0
    const inputs = plan.sources.map(async ({ topic }) => ({
      topic: prefix + topic,
      partitions: await this.log.partitionCount(topic),
    }))
    this.#membership = new Membership({
      kafka: kafkajsConfig(kafka),
      groupId: `${prefix}weir.${app}`,
      journalTopic: prefix + journalTopicOf(app),
      inputs: await Promise.all(inputs),
      clock: this.#clock,
      note: () => ({ ...none, plan: planNumber, slots, closes: true }),
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
}

const workFolder = (dataDir: string): string => join(dataDir, 'rescale')

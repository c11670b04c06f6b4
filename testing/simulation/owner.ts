/** A slot object on a machine: the real slot and the real store, over a log and a backend that fail. */
import { defined } from '../../kernel/index.js'
import { MemoryLog } from '../../log/memory/index.js'
import { checkBeginning, genesisOf, Slot, type StepResult } from '../../runners/slot/index.js'
import { type StateBackend, type MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import type { Chaos } from './chaos.js'
import { restorePoints } from './checkpoint-kinds.js'
import type { OwnerCheckpoints } from './checkpoint-owner.js'
import { encodeDeadLetter } from './dead-letter.js'
import type { Shared } from './fleet.js'
import { FaultyBackend, Gate, gatedLog } from './seams.js'
import { fakeModel, topics } from './topology.js'

export interface Machine {
  readonly number: number
  disk: StateDisk
  busy: boolean
}

export interface Owner {
  readonly machine: Machine
  readonly gate: Gate
  readonly store: StateStore
  readonly slot: Slot
  readonly checkpoints: OwnerCheckpoints | undefined
  /** Fails where the journal was lost. */
  readonly start: () => Promise<void>
  /** What was written back survives a crash. */
  readonly syncState: () => Promise<void>
  /** A step that the gate holds up. */
  suspended: Promise<Outcome> | undefined
}

export type Outcome =
  | { readonly kind: 'done'; readonly committed: boolean }
  | { readonly kind: 'threw'; readonly error: unknown }

/** Of a start, a step or a close; or the death of who does it. */
export async function outcomeOf(
  owner: Pick<Owner, 'checkpoints'>,
  work: Promise<StepResult> | Promise<void>,
): Promise<Outcome> {
  const { checkpoints } = owner
  if (checkpoints === undefined) return await ended(work)
  return await Promise.race([ended(work), checkpoints.died.then(error => ({ kind: 'threw', error }) as const)])
}

async function ended(work: Promise<StepResult> | Promise<void>): Promise<Outcome> {
  try {
    return { kind: 'done', committed: (await work)?.kind === 'committed' }
  } catch (error) {
    return { kind: 'threw', error }
  }
}

export interface Surroundings {
  readonly slot: number
  readonly shared: Shared
  readonly chaos: Chaos
  /** Undefined where nobody makes any. @param isLive this slot object owns the slot */
  readonly checkpointsOn: (backend: StateBackend, isLive: () => boolean) => Promise<OwnerCheckpoints | undefined>
  readonly isLive: (owner: Owner) => boolean
  /** It asks for a committer: with `none` it owns the slot from now on, with `indefinite` nobody does. */
  readonly onFence: (owner: Owner, fault: 'none' | 'refused' | 'indefinite') => void
}

/** @throws WeirError BACKEND_FAILED when a fault keeps the state from being read */
export async function openOwner(machine: Machine, around: Surroundings): Promise<Owner> {
  const { slot: number, shared, chaos } = around
  const { disk, clock, plan, hits } = shared
  const { limits, keyGroups, cacheBytesMax, syncState } = shared.config
  const gate = new Gate()
  const faults = chaos.logFaults(fault => around.onFence(defined(owner, 'who asks for a committer'), fault))
  const disks = machine.disk.open()
  let owner: Owner | undefined
  const checkpoints = await around.checkpointsOn(disks, () => owner !== undefined && around.isLive(owner))
  const backend = new FaultyBackend(checkpoints?.backend ?? disks, chaos)
  let store: StateStore
  try {
    const spool = checkpoints && { spool: checkpoints.spool }
    store = await StateStore.open({ backend, keyGroups, cacheBytesMax, ...spool })
  } catch (error) {
    await checkpoints?.end('closed')
    throw error
  }
  if (checkpoints !== undefined) checkpoints.beganAt = store.reflects?.resume?.offset
  const log = gatedLog(new MemoryLog(disk, { clock, faults }), gate)
  const slot = new Slot({
    plan,
    slot: number,
    log,
    store,
    ...(checkpoints && { checkpoints: { ...partsOf(checkpoints), backend } }),
    models: new Map([['fake', fakeModel(plan.featureNames, call => chaos.modelFault(call))]]),
    clock,
    limits,
    genesis: genesisOf(plan, number, { keyGroups, partitionsOf: topic => disk.topics.partitions(topic).length }),
    deadLetters: { topic: topics.deadLetters, encode: encodeDeadLetter },
    syncState,
    onEvent: event => {
      if (event.kind === 'excluded') hits.add('record excluded')
      if (event.kind === 'held-back') hits.add('rows held back')
      checkpoints?.onSlotEvent(event)
    },
    crashAt: point => {
      if (restorePoints.includes(point)) checkpoints?.crashAt(point)
      else chaos.crashAt(point)
    },
  })
  owner = {
    machine,
    gate,
    store,
    slot,
    checkpoints,
    start: async () => {
      const catalogue = checkpoints && { catalogue: checkpoints.catalogue }
      await checkBeginning({ plan, slot: number, log, store, ...catalogue, outputs: topics.decisions })
      await slot.start()
    },
    syncState: () => disks.write(disks.batch(), { sync: true }),
    suspended: undefined,
  }
  return owner
}

const partsOf = ({ catalogue, checkpointer }: OwnerCheckpoints) => ({ catalogue, checkpointer })

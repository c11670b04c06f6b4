/** A slot object on a machine: the real slot and the real store, over a log and a backend that fail. */
import { isWeirError } from '../../kernel/index.js'
import { MemoryLog } from '../../log/memory/index.js'
import { seedOf } from '../../runners/plans/index.js'
import {
  checkBeginning,
  genesisOf,
  Slot,
  type SlotOptions,
  Standby,
  type StepResult,
} from '../../runners/slot/index.js'
import { type Catalogue, type StateBackend, type MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import type { Chaos } from './chaos.js'
import { restorePoints } from './checkpoint-kinds.js'
import type { OwnerCheckpoints } from './checkpoint-owner.js'
import { encodeDeadLetter } from './dead-letter.js'
import type { StoreFault } from './faulty-store.js'
import { FaultyBackend, Gate, type Hold, heldLog } from './seams.js'
import type { Shared } from './shared.js'
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
  readonly checkBeginning: () => Promise<void>
  /** What was written back survives a crash. */
  readonly syncState: () => Promise<void>
  /** A step that the gate holds up. */
  suspended: Promise<Outcome> | undefined
}

export type Outcome =
  | { readonly kind: 'done'; readonly committed: boolean }
  | { readonly kind: 'threw'; readonly error: unknown }

/** Follows a slot on a machine; as an owner once it has taken over. */
export interface Follower extends Omit<Owner, 'slot'> {
  readonly standby: Standby
}

type Work = Promise<StepResult | Slot | number | undefined> | Promise<void>

/** Of a start, a step, a take-over or a close; or the death of who does it. */
export async function outcomeOf({ checkpoints }: Pick<Owner, 'checkpoints'>, work: Work): Promise<Outcome> {
  if (checkpoints === undefined) return await ended(work)
  return await Promise.race([ended(work), checkpoints.died.then(error => ({ kind: 'threw', error }) as const)])
}

async function ended(work: Work): Promise<Outcome> {
  try {
    const done = await work
    return { kind: 'done', committed: typeof done === 'object' && 'kind' in done && done.kind === 'committed' }
  } catch (error) {
    return { kind: 'threw', error }
  }
}

export interface Surroundings {
  readonly slot: number
  readonly shared: Shared
  readonly chaos: Chaos
  /** Undefined where nobody makes any. */
  readonly checkpointsOn: (machine: Machine, backend: StateBackend) => Promise<OwnerCheckpoints | undefined>
  /** It asks for a committer: with `none` it owns the slot from now on, with `indefinite` nobody does. */
  readonly onFence: (machine: Machine, fault: 'none' | 'refused' | 'indefinite') => void
  /** Before each of its calls for the state that its plan begins with. @throws SimulatedCrash */
  readonly whileSeeding: (checkpoints: OwnerCheckpoints | undefined) => Promise<StoreFault>
}

/** @throws WeirError BACKEND_FAILED when a fault keeps the state from being read */
export async function openOwner(machine: Machine, around: Surroundings): Promise<Owner> {
  const gate = new Gate()
  const { options, ...rest } = await open(machine, around, gate)
  return { ...rest, gate, slot: new Slot(options) }
}

/** @throws WeirError BACKEND_FAILED when a fault keeps the state from being read */
export async function openFollower(machine: Machine, around: Surroundings): Promise<Follower> {
  const gate = new Gate()
  const { options, ...rest } = await open(machine, around, gate)
  return { ...rest, gate, standby: new Standby(options) }
}

/** @returns undefined when an injected fault keeps the state from being read: the machine tries again later */
export async function tryOpening<T>(machine: Machine, open: () => Promise<T>): Promise<T | undefined> {
  machine.busy = true
  try {
    return await open()
  } catch (error) {
    if (!isWeirError(error, 'BACKEND_FAILED')) throw error
    machine.disk.crash(machine.disk.unsynced)
    machine.busy = false
    return undefined
  }
}

/** A slot of a plan that ends, with what its closer has to say of it. */
export interface Closed {
  readonly slot: Slot
  readonly log: SlotOptions['log']
  readonly store: StateStore
  readonly backend: StateBackend
}

export interface ClosingOptions extends Pick<SlotOptions, 'crashAt'> {
  readonly hold: Hold
  /** Undefined where nobody makes checkpoints. */
  readonly catalogue: Catalogue | undefined
}

/** As whoever closes a plan runs it. @throws WeirError BACKEND_FAILED when a fault keeps the state from being read */
export async function openClosing(
  machine: Machine,
  around: Surroundings,
  { hold, catalogue, ...own }: ClosingOptions,
): Promise<Closed> {
  const { options, store, backend } = await open(machine, around, hold)
  const checkpoints = catalogue && { catalogue, backend, checkpointer: { afterWriteBack: async () => {} } }
  const slot = new Slot({ ...options, ...own, isCloser: true, ...(checkpoints && { checkpoints }) })
  return { slot, log: options.log, store, backend }
}

type Opened = Omit<Owner, 'slot' | 'gate'> & { readonly options: SlotOptions; readonly backend: StateBackend }

async function open(machine: Machine, around: Surroundings, hold: Hold): Promise<Opened> {
  const { slot: number, shared, chaos } = around
  const { disk, clock, plan, planNumber, hits } = shared
  const { limits, keyGroups, cacheBytesMax, syncState } = shared.config
  const faults = chaos.logFaults(fault => around.onFence(machine, fault))
  const disks = machine.disk.open()
  const checkpoints = await around.checkpointsOn(machine, disks)
  const backend = new FaultyBackend(checkpoints?.backend ?? disks, chaos)
  let store: StateStore
  try {
    const spool = checkpoints && { spool: checkpoints.spool }
    store = await StateStore.open({ backend, keyGroups, cacheBytesMax, ...spool })
  } catch (error) {
    await checkpoints?.end('closed')
    throw error
  }
  const { reflects } = store
  if (checkpoints !== undefined) checkpoints.beganAt = reflects?.resume?.offset
  const log = heldLog(new MemoryLog(disk, { clock, faults }), hold)
  const savepoints = shared.savepoints.open(() => around.whileSeeding(checkpoints))
  const seed = seedOf({ store: savepoints, slot: number, placement: plan.placement, backend })
  const options: SlotOptions = {
    plan,
    planNumber,
    slot: number,
    log,
    store,
    ...(checkpoints && { checkpoints: { ...partsOf(checkpoints), backend } }),
    seed: async (genesis, position) => {
      await seed(genesis, position)
      hits.add(reflects === undefined ? 'seeded' : 'seeded over an old state')
    },
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
  }
  const catalogue = checkpoints && { catalogue: checkpoints.catalogue }
  return {
    machine,
    store,
    backend,
    options,
    checkpoints,
    checkBeginning: () => checkBeginning({ plan, slot: number, log, store, ...catalogue, outputs: topics.decisions }),
    syncState: () => disks.write(disks.batch(), { sync: true }),
    suspended: undefined,
  }
}

const partsOf = ({ catalogue, checkpointer }: OwnerCheckpoints) => ({ catalogue, checkpointer })

/** A slot object on a machine: the real slot and the real store, over a log and a backend that fail. */
import { MemoryLog } from '../../log/memory/index.js'
import { genesisOf, Slot, type SlotOptions, Standby, type StepResult } from '../../runners/slot/index.js'
import { type MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import type { Chaos } from './chaos.js'
import { encodeDeadLetter } from './dead-letter.js'
import type { Shared } from './fleet.js'
import { FaultyBackend, Gate, gatedLog } from './seams.js'
import { fakeModel, topics } from './topology.js'

export interface Machine {
  disk: StateDisk
  busy: boolean
}

export interface Owner {
  readonly machine: Machine
  readonly gate: Gate
  readonly store: StateStore
  readonly slot: Slot
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

/** Of a start, a step, a take-over or a close. */
export async function outcomeOf(
  work: Promise<StepResult | Slot | number | undefined> | Promise<void>,
): Promise<Outcome> {
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
  /** It asks for a committer: with `none` it owns the slot from now on, with `indefinite` nobody does. */
  readonly onFence: (machine: Machine, fault: 'none' | 'refused' | 'indefinite') => void
}

/** @throws WeirError BACKEND_FAILED when a fault keeps the state from being read */
export async function openOwner(machine: Machine, around: Surroundings): Promise<Owner> {
  const { options, ...rest } = await open(machine, around)
  return { ...rest, slot: new Slot(options) }
}

/** @throws WeirError BACKEND_FAILED when a fault keeps the state from being read */
export async function openFollower(machine: Machine, around: Surroundings): Promise<Follower> {
  const { options, ...rest } = await open(machine, around)
  return { ...rest, standby: new Standby(options) }
}

async function open(
  machine: Machine,
  around: Surroundings,
): Promise<Omit<Owner, 'slot'> & { readonly options: SlotOptions }> {
  const { slot: number, shared, chaos } = around
  const { disk, clock, plan, hits } = shared
  const { limits, keyGroups, cacheBytesMax, syncState } = shared.config
  const gate = new Gate()
  const faults = chaos.logFaults(fault => around.onFence(machine, fault))
  const disks = machine.disk.open()
  const backend = new FaultyBackend(disks, chaos)
  const store = await StateStore.open({ backend, keyGroups, cacheBytesMax })
  const options: SlotOptions = {
    plan,
    slot: number,
    log: gatedLog(new MemoryLog(disk, { clock, faults }), gate),
    store,
    models: new Map([['fake', fakeModel(plan.featureNames, call => chaos.modelFault(call))]]),
    clock,
    limits,
    genesis: genesisOf(plan, number, { keyGroups, partitionsOf: topic => disk.topics.partitions(topic).length }),
    deadLetters: { topic: topics.deadLetters, encode: encodeDeadLetter },
    syncState,
    onEvent: event => {
      if (event.kind === 'excluded') hits.add('record excluded')
      if (event.kind === 'held-back') hits.add('rows held back')
    },
    crashAt: point => chaos.crashAt(point),
  }
  const sync = (): Promise<void> => disks.write(disks.batch(), { sync: true })
  return { machine, gate, store, options, syncState: sync, suspended: undefined }
}

/** Stores of the slots of a small plan: two steps that keep everything there is to keep, keys by key group. */
import { assert, eventTime } from '../../../kernel/index.js'
import type { StateBackend } from '../../backend.js'
import { MemoryDisk } from '../../backends/memory.js'
import type { CheckpointStore } from '../../checkpoint/store.js'
import { intCodec, stringCodec } from '../../codecs.js'
import type { StateFactory } from '../../handles.js'
import { keyGroupOf } from '../../keys.js'
import type { StatePosition } from '../../meta.js'
import { type EventLog, eventLogCodec } from '../../model/event-log.js'
import { StateStore } from '../../store.js'
import type { Savepoint } from '../savepoint.js'
import { declaredState, type StepStateSchema } from '../schema.js'
import { writeSavepointPart } from '../write.js'

export const keyGroups = 12
export const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`)
export const clock = { nowMs: () => 1_000, sleep: async () => undefined }

/** A group lies in a partition, as many as there are slots at most; a partition in a slot. */
export const ownerOf =
  (slots: number, slot: number) =>
  (group: number): boolean =>
    group % slots === slot

const declare = (state: StateFactory) => ({
  value: state.value('value', stringCodec),
  map: state.map('map', intCodec),
  log: state.paged<EventLog>('log', eventLogCodec),
})

const steps = ['one', 'two'] as const
export const schemas: readonly StepStateSchema[] = steps.map(step => ({ step, handles: declaredState(declare) }))

export const positionOf = (epoch: number): StatePosition => ({ epoch, journalHash: `h${epoch}`, fingerprint: 'f' })

/** The state that these keys have after some calls each; `slot` has those of its groups. */
export async function filledStore(slots: number, slot: number, expiryMs = 5_000): Promise<StateBackend> {
  const backend = new MemoryDisk().open()
  const store = await StateStore.open({ backend, keyGroups })
  store.setExpiryClock(expiryMs)
  for (const [at, name] of steps.entries()) {
    const step = store.step(name)
    const { value, map, log } = declare(step)
    const own = keys.filter(key => ownerOf(slots, slot)(keyGroupOf(Buffer.from(key), keyGroups)))
    await step.prefetch(own)
    for (const key of own) {
      const number = Number(key.slice(4))
      step.beginCall()
      step.enter(key)
      value.set(`${name} ${key}`)
      for (let i = 0; i < number % 4; i++) map.set(`sub-${i}`, number + at)
      log.touch()
      for (let i = 0; i < number; i++) log.get().append(i, 10_000 + number)
      if (number % 3 === 0) step.timers.timerAt(eventTime(number))
      step.endCall()
    }
  }
  await store.write(store.serialise(), positionOf(7 + slot), { sync: false })
  return backend
}

/** Of a closed plan with these stores, unpublished. */
export async function savepointOf(
  store: CheckpointStore,
  backends: readonly StateBackend[],
  changes: Partial<Savepoint> = {},
): Promise<Savepoint> {
  const { app = 'app', name = 'point' } = changes
  const parts = await Promise.all(
    backends.map((backend, slot) =>
      writeSavepointPart(store, {
        app,
        name,
        slot,
        backend,
        clock,
        facts: factsOf(slot),
        limits: { segmentBytesMin: 200 },
      }),
    ),
  )
  return {
    v: 1,
    app,
    name,
    plan: 1,
    slots: backends.length,
    key_groups: keyGroups,
    partitions: [{ topic: 'in', count: backends.length }],
    fingerprint: 'f',
    closed: true,
    steps: schemas,
    parts,
    created_at: new Date(0).toISOString(),
    ...changes,
  }
}

export const factsOf = (slot: number) => ({
  inputs: [{ topic: 'in', partition: slot, offset: '10' }],
  watermarks_ms: [4_000],
  clocks: [{ topic: 'in', partition: slot, watermark_ms: 4_000, idle: false }],
  counts: { records: 10 * slot },
})

export async function openStore(backend: StateBackend): Promise<StateStore> {
  const store = await StateStore.open({ backend, keyGroups })
  assert(store.reflects !== undefined, 'a store with a position')
  return store
}

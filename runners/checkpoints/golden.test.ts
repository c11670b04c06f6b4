/**
 * The whole fraud topology three ways: straight; with checkpoints, from which it goes on after it has lost everything else; and
 * spread over other stores by a savepoint and brought together again. State is compared byte by byte, key by key.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.js'
import {
  listSavepoints,
  MemoryDisk,
  MemoryObjects,
  planMigration,
  publishSavepoint,
  readSavepoint,
  restoreSavepoint,
  restoreSavepointSlot,
  type Savepoint,
  type StateBackend,
  StateStore,
  savepointSegments,
  writeSavepointPart,
} from '../../state/index.js'
import { declareState, stateSchemas } from '../../topology/index.js'
import { lookAt } from './look.js'
import { saveCheckpoints } from './savepoint.js'
import { Fold, fraudTopology, history, keyGroups } from './testing/fold.js'

const partitions = 4
const position = { epoch: 1_000, journalHash: 'h', fingerprint: 'f' }

/** Entries without their expiry index, which says when a key is looked at next, and nothing of what it holds. */
async function entriesOf(backend: StateBackend): Promise<readonly string[]> {
  const entries = await backend.range({ gte: Buffer.of(0x11), lt: Buffer.of(0x13), limit: Number.MAX_SAFE_INTEGER })
  return entries.map(({ key, value }) => `${key.toString('hex')} ${value.toString('hex')}`)
}

async function savedFrom(
  objects: MemoryObjects,
  name: string,
  fold: Fold,
  backends: readonly StateBackend[],
): Promise<Savepoint> {
  const facts = { inputs: [], watermarks_ms: [], clocks: [], counts: {} }
  const savepoint: Savepoint = {
    v: 1,
    app: 'fraud',
    name,
    plan: 1,
    slots: backends.length,
    key_groups: keyGroups,
    partitions: [],
    fingerprint: fold.plan.fingerprint,
    closed: true,
    steps: stateSchemas(fold.plan),
    parts: await Promise.all(
      backends.map((backend, slot) =>
        writeSavepointPart(objects.open(), { app: 'fraud', name, slot, backend, clock: systemClock, facts }),
      ),
    ),
    created_at: '',
  }
  await publishSavepoint(objects.open(), savepoint)
  return savepoint
}

async function spread(
  objects: MemoryObjects,
  savepoint: Savepoint,
  fold: Fold,
  slots: number,
): Promise<StateBackend[]> {
  const migration = planMigration(savepoint, stateSchemas(fold.plan))
  return await Promise.all(
    Array.from({ length: slots }, async (_, slot) => {
      const backend = new MemoryDisk().open()
      const ownsGroup = (group: number): boolean => (group % partitions) % slots === slot
      await restoreSavepoint(objects.open(), savepoint, { backend, migration, ownsGroup, position })
      return backend
    }),
  )
}

describe('the fraud topology', () => {
  let root: string
  let straight: Fold
  let state: StateBackend
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'weir-golden-'))
    straight = await Fold.start(fraudTopology(), 1, partitions)
    await straight.send(history(6))
    state = (await straight.close())[0]!
    assert.ok((await entriesOf(state)).length > 14)
    assert.ok((await straight.decisions()).length > 200)
  })
  after(() => rm(root, { recursive: true }))

  it('goes on from checkpoints to the same state and decisions, whatever it loses and when', async () => {
    const objects = new MemoryObjects()
    const fold = await Fold.start(fraudTopology(), 1, partitions, {
      store: objects.open(),
      directory: join(root, 'losing'),
    })
    const all = history(6)
    const cuts = [0, 11, 60, 61, 150, 250, all.length]
    for (let i = 1; i < cuts.length; i++) {
      await fold.send(all.slice(cuts[i - 1], cuts[i]))
      await fold.lose(0)
    }
    assert.ok([...objects.objects.keys()].some(name => name.includes('/segments/')))
    assert.deepEqual(await fold.decisions(), await straight.decisions())
    assert.deepEqual(await entriesOf((await fold.close())[0]!), await entriesOf(state))
  })

  it('is the same after it was in other stores, by key groups', async () => {
    const objects = new MemoryObjects()
    const savepoint = await savedFrom(objects, 'one', straight, [state])
    for (const slots of [1, 2, 3, 4]) {
      const stores = await spread(objects, savepoint, straight, slots)
      const entries = await Promise.all(stores.map(entriesOf))
      assert.deepEqual(entries.flat().sort(), await entriesOf(state), `${slots} stores`)
      assert.ok(slots === 1 || entries.every(each => each.length < entries.flat().length))
      const back = await spread(objects, await savedFrom(objects, `of-${slots}`, straight, stores), straight, 1)
      assert.deepEqual(await entriesOf(back[0]!), await entriesOf(state), `${slots} stores, brought together`)
    }
  })

  it('of three slots leaves nothing of the exchange behind, and every key what it had', async () => {
    const fold = await Fold.start(fraudTopology(), 3, partitions)
    await fold.send(history(3))
    const stores = await fold.close()
    assert.ok(stateSchemas(fold.plan).some(({ exchange }) => exchange))
    const objects = new MemoryObjects()
    const savepoint = await savedFrom(objects, 'three', fold, stores)
    const [one] = await spread(objects, savepoint, straight, 1)
    const own = stateSchemas(straight.plan).map(({ step }) => step)
    const isOwn = (entry: string): boolean => {
      const key = Buffer.from(entry.split(' ')[0]!, 'hex')
      return own.includes(key.toString('utf8', 2, 2 + key[1]!))
    }
    const all = (await Promise.all(stores.map(entriesOf))).flat()
    assert.ok(all.some(entry => !isOwn(entry)))
    assert.deepEqual(await entriesOf(one!), all.filter(isOwn).sort())
  })

  it('is shown from a savepoint of running slots as it is in their stores', async () => {
    const objects = new MemoryObjects()
    const store = objects.open()
    const fold = await Fold.start(fraudTopology(), 3, partitions, { store, directory: join(root, 'live') })
    await fold.send(history(3))
    const unusable: string[] = []
    const request = {
      app: 'fraud',
      name: 'live',
      clock: systemClock,
      onUnusable: (name: string) => unusable.push(name),
    }
    const savepoint = await saveCheckpoints(store, request)
    assert.deepEqual([unusable, await listSavepoints(store, 'fraud')], [[], ['live']])
    assert.deepEqual([savepoint.closed, savepoint.slots, savepoint.plan], [false, 3, 1])
    assert.ok(
      savepoint.parts.every(
        ({ watermarks_ms, clocks }) => watermarks_ms.length === fold.plan.stages && clocks.length > 0,
      ),
    )
    assert.throws(() => planMigration(savepoint, stateSchemas(straight.plan)), { code: 'SAVEPOINT_OPEN' })
    // Its checkpoints may go.
    for (const name of [...objects.objects.keys()]) if (/^fraud\/\d/.test(name)) objects.objects.delete(name)
    await fold.close()
    const { savepoint: read } = await readSavepoint(store, 'fraud', 'live')
    const wholes = await Promise.all(
      read.parts.map(async ({ slot }) => {
        const backend = new MemoryDisk().open()
        await restoreSavepointSlot(store, read, slot, { backend })
        const whole = await StateStore.open({ backend, keyGroups })
        for (const node of fold.plan.steps) {
          if (node.kind === 'operator' && node.spec.stateful) declareState(node.name, node.spec, whole.step(node.name))
        }
        return whole
      }),
    )
    const options = { showPii: true }
    const customers = [...new Set(history(3).map(({ key }) => key))]
    for (const step of ['customer', 'dedupe']) {
      for (const key of customers) {
        const seen = await Promise.all(
          read.parts.map(async ({ slot, manifest }) => {
            const catalogue = savepointSegments(store, 'fraud', 'live', slot)
            const shown = await lookAt({ catalogue, manifest, steps: read.steps }, fold.plan, { step, key }, options)
            assert.deepEqual(shown, await wholes[slot]!.inspect(step, key, options))
            return shown.found
          }),
        )
        assert.equal(seen.filter(Boolean).length, 1, 'each key has its state in one slot')
      }
    }
    const other = { app: fold.plan.app, steps: straight.plan.steps.filter(({ name }) => name !== 'customer') }
    const [{ manifest }] = read.parts as [Savepoint['parts'][0]]
    const stored = { catalogue: savepointSegments(store, 'fraud', 'live', 0), manifest, steps: read.steps }
    const at = { step: 'customer', key: customers[0]! }
    await assert.rejects(lookAt(stored, { ...fold.plan, ...other }, at, options), { code: 'UNKNOWN_STEP' })
    const incompatible = stored.steps.map(step => ({
      ...step,
      handles: step.handles.map(h => ({ ...h, kind: 'map' as const })),
    }))
    await assert.rejects(lookAt({ ...stored, steps: incompatible }, fold.plan, at, options), {
      code: 'STATE_INCOMPATIBLE',
    })
    const old = { ...stored, steps: undefined }
    assert.deepEqual(await lookAt(old, fold.plan, at, options), await lookAt(stored, fold.plan, at, options))
    await assert.rejects(lookAt(old, straight.plan, at, options), { code: 'FINGERPRINT_MISMATCH' })
  })
})

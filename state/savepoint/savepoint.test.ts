import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { parseSealKeys } from '../../kernel/index.js'
import { MemoryDisk } from '../backends/memory.js'
import { slotsIn } from '../checkpoint/catalogue.js'
import { encrypted } from '../checkpoint/encrypted.js'
import { contentOf } from '../checkpoint/model/life.js'
import type { CheckpointStore } from '../checkpoint/store.js'
import { openDirectoryStore } from '../checkpoint/stores/directory.js'
import { MemoryObjects } from '../checkpoint/stores/memory.js'
import { readMeta } from '../meta.js'
import { planMigration } from './migration.js'
import { restoreSavepoint, restoreSavepointSlot } from './restore.js'
import { listSavepoints, publishSavepoint, readSavepoint, type Savepoint, verifySavepoint } from './savepoint.js'
import { clock, factsOf, filledStore, openStore, ownerOf, positionOf, savepointOf, schemas } from './testing/bench.js'
import { readSavepointPart, writeSavepointPart } from './write.js'

const noPrefix = Buffer.alloc(0)
const folders: string[] = []
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

const stores: Record<string, () => Promise<CheckpointStore>> = {
  memory: async () => new MemoryObjects().open(),
  'a directory': async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-savepoint-'))
    folders.push(folder)
    return openDirectoryStore(folder)
  },
  'memory, encrypted': async () =>
    encrypted(new MemoryObjects().open(), parseSealKeys(randomBytes(32).toString('hex'), 'a test')),
}

async function saved(
  slots: number,
  changes: Partial<Savepoint> = {},
): Promise<{ objects: MemoryObjects; savepoint: Savepoint }> {
  const objects = new MemoryObjects()
  const backends = await Promise.all(Array.from({ length: slots }, (_, slot) => filledStore(slots, slot)))
  const savepoint = await savepointOf(objects.open(), backends, changes)
  await publishSavepoint(objects.open(), savepoint)
  return { objects, savepoint }
}

for (const [where, open] of Object.entries(stores)) {
  describe(`a savepoint in ${where}`, () => {
    it('gives any number of slots their keys, byte by byte', async () => {
      const straight = (await contentOf(await filledStore(1, 0), noPrefix)).split('\n').sort()
      for (const [from, to] of [
        [1, 3],
        [3, 2],
        [2, 2],
        [4, 1],
      ] as const) {
        const store = await open()
        const backends = await Promise.all(Array.from({ length: from }, (_, slot) => filledStore(from, slot)))
        await publishSavepoint(store, await savepointOf(store, backends))
        const { savepoint } = await readSavepoint(store, 'app', 'point')
        const restored: string[] = []
        for (let slot = 0; slot < to; slot++) {
          const backend = new MemoryDisk().open()
          const progress: [number, number][] = []
          await restoreSavepoint(store, savepoint, {
            backend,
            migration: planMigration(savepoint, schemas),
            ownsGroup: ownerOf(to, slot),
            position: positionOf(100),
            onProgress: (bytes, ofBytes) => progress.push([bytes, ofBytes]),
          })
          restored.push(...(await contentOf(backend, noPrefix)).split('\n'))
          assert.deepEqual((await openStore(backend)).reflects, positionOf(100))
          assert.equal(progress.at(-1)![0], progress.at(-1)![1])
        }
        assert.deepEqual(restored.sort(), straight, `${from} to ${to}`)
        await store.close()
      }
    })

    it('is listed and verified, beside checkpoints and not among them', async () => {
      const store = await open()
      await savepointOf(store, [await filledStore(1, 0)], { name: 'unpublished' })
      await publishSavepoint(store, await savepointOf(store, [await filledStore(1, 0)], { name: 'second' }))
      await publishSavepoint(store, await savepointOf(store, [await filledStore(1, 0)], { name: '0' }))
      assert.deepEqual(await listSavepoints(store, 'app'), ['0', 'second'])
      assert.deepEqual(await listSavepoints(store, 'ap'), [])
      assert.deepEqual(await slotsIn(store, 'app'), [])
      const { savepoint } = await readSavepoint(store, 'app', 'second')
      assert.ok((await verifySavepoint(store, savepoint)).operations > 100)
      await store.close()
    })
  })
}

describe('a savepoint', () => {
  it('gives a slot of the same plan back as it was, position and all', async () => {
    const { objects, savepoint } = await saved(2)
    const backend = new MemoryDisk().open()
    await restoreSavepointSlot(objects.open(), savepoint, 1, { backend })
    const before = await filledStore(2, 1)
    assert.equal(await contentOf(backend, noPrefix), await contentOf(before, noPrefix))
    assert.deepEqual(await readMeta(backend, noPrefix), { ...(await readMeta(before, noPrefix)), turn: 0 })
  })

  it('lets nothing expire before its time: the clock of the slot that is furthest behind counts', async () => {
    const objects = new MemoryObjects()
    const backends = [await filledStore(2, 0, 9_000), await filledStore(2, 1, 6_000)]
    const savepoint = await savepointOf(objects.open(), backends)
    const backend = new MemoryDisk().open()
    const migration = planMigration(savepoint, schemas)
    await restoreSavepoint(objects.open(), savepoint, {
      backend,
      migration,
      ownsGroup: () => true,
      position: positionOf(9),
    })
    const meta = await readMeta(backend, noPrefix)
    assert.equal(meta?.expiryClock, 6_000)
    assert.equal(meta?.chain, '')
  })

  it('is written again without being written again', async () => {
    const { objects, savepoint } = await saved(1)
    const put = new Set<string>()
    objects.fault = ({ kind, name }) => {
      if (kind === 'put') put.add(name)
      return undefined
    }
    const options = { app: 'app', name: 'point', slot: 0, backend: await filledStore(1, 0), clock, facts: factsOf(0) }
    assert.deepEqual(await writeSavepointPart(objects.open(), options), savepoint.parts[0])
    assert.equal(put.size, 0)
    // A damaged part, or one that lacks a segment, is written anew.
    const part = 'app/savepoints/point/0/part'
    objects.objects.set(part, Buffer.from('torn'))
    assert.equal((await writeSavepointPart(objects.open(), options)).manifest.epoch, 7)
    assert.ok(put.has(part))
    const segment = [...objects.objects.keys()].find(name => name.includes('/segments/'))!
    objects.objects.delete(segment)
    put.clear()
    await writeSavepointPart(objects.open(), options)
    assert.ok(put.size > 1)
    assert.equal(await readSavepointPart(objects.open(), { app: 'app', name: 'other', slot: 0 }), undefined)
  })

  it('keeps its name: the same may be published again, another not', async () => {
    const { objects, savepoint } = await saved(1)
    const { sha256 } = await readSavepoint(objects.open(), 'app', 'point')
    const later = { ...savepoint, created_at: new Date(9).toISOString() }
    assert.equal(await publishSavepoint(objects.open(), later), sha256)
    await assert.rejects(publishSavepoint(objects.open(), { ...savepoint, plan: 2 }), { code: 'SAVEPOINT_EXISTS' })
    objects.objects.set('app/savepoints/point/savepoint', Buffer.from('torn'))
    await assert.rejects(publishSavepoint(objects.open(), savepoint), { code: 'SAVEPOINT_EXISTS', message: /damaged/ })
    for (const name of ['', '.x', 'A', 'a/b', 'x'.repeat(61)]) {
      await assert.rejects(publishSavepoint(objects.open(), { ...savepoint, name }), { code: 'USAGE' }, name)
      await assert.rejects(readSavepoint(objects.open(), 'app', name), { code: 'USAGE' }, name)
    }
  })

  it('takes nothing that is torn, changed, missing, swapped, or of another app', async () => {
    const { objects, savepoint } = await saved(2)
    const read = (app = 'app', name = 'point') => readSavepoint(objects.open(), app, name)
    const document = 'app/savepoints/point/savepoint'
    const whole = objects.objects.get(document)!
    const corrupt = { code: 'CHECKPOINT_CORRUPT' }
    await assert.rejects(read('app', 'other'), { code: 'SAVEPOINT_NOT_FOUND' })
    await assert.rejects(read('ap'), { code: 'SAVEPOINT_NOT_FOUND' })
    objects.objects.set('app/savepoints/copied/savepoint', whole)
    await assert.rejects(read('app', 'copied'), corrupt)
    objects.objects.set('other/savepoints/point/savepoint', whole)
    await assert.rejects(read('other'), corrupt)
    for (let at = 0; at < whole.length; at += 97) {
      const changed = Buffer.from(whole)
      changed[at]! ^= 1
      for (const bad of [changed, whole.subarray(0, at)]) {
        objects.objects.set(document, bad)
        await assert.rejects(read(), corrupt, `${at}`)
      }
    }
    // With a right hash, and wrong in itself.
    const [first, second] = savepoint.parts as [Savepoint['parts'][0], Savepoint['parts'][0]]
    const wrong: [Partial<Savepoint> | { v: number }, string][] = [
      [{ parts: [second, first] }, 'CHECKPOINT_CORRUPT'],
      [{ parts: [first] }, 'CHECKPOINT_CORRUPT'],
      [{ key_groups: 13 }, 'CHECKPOINT_CORRUPT'],
      [{ parts: [first, { ...second, manifest: { ...second.manifest, app: 'other' } }] }, 'CHECKPOINT_CORRUPT'],
      [{ parts: [first, { ...second, manifest: { ...second.manifest, state_format: 99 } }] }, 'STATE_FORMAT'],
      [{ v: 2 }, 'STATE_FORMAT'],
    ]
    for (const [changes, code] of wrong) {
      objects.objects.delete(document)
      await publishSavepoint(objects.open(), { ...savepoint, ...changes } as Savepoint)
      await assert.rejects(read(), { code }, JSON.stringify(changes).slice(0, 40))
    }
    objects.objects.set(document, whole)
    const segments = [...objects.objects.keys()].filter(name => name.includes('/segments/'))
    const [a, b] = segments.slice(-2) as [string, string]
    const [ofA, ofB] = [objects.objects.get(a)!, objects.objects.get(b)!]
    const migration = planMigration(savepoint, schemas)
    const damages: (() => void)[] = [
      () => objects.objects.delete(a),
      () => objects.objects.set(a, ofB),
      () => objects.objects.set(a, ofA.subarray(0, -1)),
    ]
    for (const damage of damages) {
      damage()
      await assert.rejects(verifySavepoint(objects.open(), savepoint), corrupt)
      const backend = new MemoryDisk().open()
      const options = { backend, migration, ownsGroup: () => true, position: positionOf(9) }
      await assert.rejects(restoreSavepoint(objects.open(), savepoint, options), corrupt)
      assert.equal(await readMeta(backend, noPrefix), undefined)
      objects.objects.set(a, ofA)
    }
    await verifySavepoint(objects.open(), savepoint)
  })
})

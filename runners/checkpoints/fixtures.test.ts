/** What earlier versions of Weir have left is read by this one, all of it, and goes on from there. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  Catalogue,
  type CheckpointStore,
  MemoryDisk,
  MemoryObjects,
  openDirectoryStore,
  planMigration,
  readSavepoint,
  restore,
  restoreSavepoint,
  StateStore,
  verify,
  verifySavepoint,
} from '../../state/index.js'
import { declareState, stateSchemas } from '../../topology/index.js'
import {
  type Expected,
  fixturesFolder,
  makeFixtures,
  planOf,
  savepointName,
  shownIn,
  storedIn,
} from './testing/fixtures.js'

const apps = ['fraud', 'kinds'] as const

for (const version of readdirSync(fixturesFolder('.'))) {
  describe(`what Weir has left in ${version}`, () => {
    let root: string
    let store: CheckpointStore
    const expected = readFileSync(join(fixturesFolder(version), 'expected.ndjson'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Expected)
    before(async () => {
      root = mkdtempSync(join(tmpdir(), 'weir-fixtures-'))
      // A copy: opening a store may tidy it up.
      cpSync(join(fixturesFolder(version), 'store'), root, { recursive: true })
      store = await openDirectoryStore(root)
    })
    after(async () => {
      await store.close()
      rmSync(root, { recursive: true })
    })

    it('is whole', async () => {
      for (const app of apps) {
        const catalogue = new Catalogue(store, app, 0)
        let checkpoints = 0
        let deltas = 0
        for await (const found of catalogue.newestFirst()) {
          assert.ok('manifest' in found)
          await verify(catalogue, found.manifest)
          checkpoints++
          deltas += found.manifest.segments.filter(({ kind }) => kind === 'delta').length
        }
        assert.ok(checkpoints >= 2 && deltas >= 1, `${app}: ${checkpoints} checkpoints with ${deltas} deltas`)
        await verifySavepoint(store, (await readSavepoint(store, app, savepointName)).savepoint)
      }
    })

    it('is shown key by key as it was then', async () => {
      assert.ok(expected.length > 30)
      for (const { shown, ...at } of expected) {
        assert.deepEqual(
          JSON.parse(JSON.stringify(await shownIn(version, store, at))),
          shown,
          `${at.from} ${at.step} ${at.key}`,
        )
      }
    })

    it('is restored whole, as a checkpoint and into a new plan', async () => {
      for (const app of apps) {
        const plan = planOf(version, app)
        const ways = {
          checkpoint: async (backend: ReturnType<MemoryDisk['open']>) => {
            const { catalogue, manifest } = await storedIn(store, app, 'checkpoint')
            await restore(catalogue, manifest, { backend })
            return manifest.key_groups
          },
          savepoint: async (backend: ReturnType<MemoryDisk['open']>) => {
            const { savepoint } = await readSavepoint(store, app, savepointName)
            const position = { epoch: 99, journalHash: 'h', fingerprint: plan.fingerprint }
            const migration = planMigration(savepoint, stateSchemas(plan))
            await restoreSavepoint(store, savepoint, { backend, migration, ownsGroup: () => true, position })
            return savepoint.key_groups
          },
        }
        for (const from of ['checkpoint', 'savepoint'] as const) {
          const backend = new MemoryDisk().open()
          const state = await StateStore.open({ backend, keyGroups: await ways[from](backend) })
          for (const node of plan.steps) {
            if (node.kind === 'operator' && node.spec.stateful)
              declareState(node.name, node.spec, state.step(node.name))
          }
          for (const one of expected.filter(each => each.app === app && each.from === from)) {
            const shown = await state.inspect(one.step, one.key, { showPii: true })
            assert.deepEqual(JSON.parse(JSON.stringify(shown)), one.shown, `${from} ${one.step} ${one.key}`)
          }
        }
      }
    })
  })
}

describe('fixtures', () => {
  it('can be made by this version too, and then hold what the newest ones do', async () => {
    const spools = mkdtempSync(join(tmpdir(), 'weir-fixtures-'))
    const newest = readdirSync(fixturesFolder('.')).sort().at(-1)!
    const made = await makeFixtures(newest, new MemoryObjects().open(), spools)
    rmSync(spools, { recursive: true })
    const kept = readFileSync(join(fixturesFolder(newest), 'expected.ndjson'), 'utf8')
    assert.equal(made.map(one => `${JSON.stringify(one)}\n`).join(''), kept)
  })
})

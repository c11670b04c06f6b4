/** The S3 store on a real server. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isWeirError, parseSealKeys } from '../../../../kernel/index.js'
import { type FaultProxy, type S3ForTests, s3Missing, startProxy, startS3 } from '../../../../testing/services/index.js'
import { MemoryDisk } from '../../../backends/memory.js'
import { planMigration } from '../../../savepoint/migration.js'
import { restoreSavepoint } from '../../../savepoint/restore.js'
import { publishSavepoint, readSavepoint } from '../../../savepoint/savepoint.js'
import { filledStore, ownerOf, positionOf, savepointOf, schemas } from '../../../savepoint/testing/bench.js'
import { checkpointStoreConformance } from '../../conformance.js'
import { encrypted, reencrypt } from '../../encrypted.js'
import { contentOf } from '../../model/life.js'
import type { CheckpointStore } from '../../store.js'
import { openS3Store, type S3Limits, type S3Options } from './index.js'
import { refusedWithout } from './refused-for-tests.js'

const skip = (await s3Missing()) ?? false
const keys = parseSealKeys('5a'.repeat(32), 'the test')

describe('checkpoint store on S3', { skip }, () => {
  let s3: S3ForTests
  let proxy: FaultProxy
  let stores = 0
  before(async () => {
    s3 = await startS3()
    const { hostname, port } = new URL(s3.endpoint)
    proxy = await startProxy({ host: hostname, port: Number(port) })
  })
  after(async () => {
    await proxy.close()
    await s3.stop()
  })

  const place = (): S3Options => {
    const { endpoint, bucket, credentials } = s3
    return { endpoint, bucket, credentials, prefix: `weir-${process.pid}/${stores++}/` }
  }
  const opened = async (
    t: { after(work: () => Promise<void>): void },
    options: Partial<S3Options> = {},
    limits: Partial<S3Limits> = {},
  ): Promise<CheckpointStore> => {
    const store = await openS3Store({ ...place(), ...options }, { pauseMs: 10, ...limits })
    t.after(() => store.close())
    return store
  }
  const refused = (work: Promise<unknown>, code?: string): Promise<string> =>
    refusedWithout([s3.credentials.secretAccessKey], work, code)

  describe('plain', () => {
    checkpointStoreConformance(async () => {
      const options = place()
      return { store: await openS3Store(options), reopen: () => openS3Store(options) }
    })
  })

  describe('encrypted', () => {
    checkpointStoreConformance(async () => {
      const options = place()
      const open = async () => encrypted(await openS3Store(options), keys)
      return { store: await open(), reopen: open }
    })

    it('gets another key while it is used', async t => {
      const options = place()
      const below = await opened(t, options, { pageNamesMax: 3 })
      const names = Array.from({ length: 10 }, (_, i) => `a/${i}`)
      for (const name of names) await encrypted(below, keys).put(name, Buffer.from(name))
      const both = parseSealKeys(`${'a5'.repeat(32)},${'5a'.repeat(32)}`, 'the test')
      assert.deepEqual(await reencrypt(below, both, { plain: 'refuse', onFailed: assert.fail }), {
        objects: 10,
        renewed: 10,
        failed: 0,
      })
      const store = encrypted(below, parseSealKeys('a5'.repeat(32), 'the test'))
      for (const name of names) assert.equal((await store.get(name))?.toString(), name)
    })
  })

  it('holds savepoints, from which other slots begin', async t => {
    const store = encrypted(await opened(t), keys)
    const backends = await Promise.all([0, 1, 2].map(slot => filledStore(3, slot)))
    await publishSavepoint(store, await savepointOf(store, backends))
    const { savepoint } = await readSavepoint(store, 'app', 'point')
    await assert.rejects(publishSavepoint(store, { ...savepoint, plan: 2 }), { code: 'SAVEPOINT_EXISTS' })
    const migration = planMigration(savepoint, schemas)
    const restored: string[] = []
    for (const slot of [0, 1]) {
      const backend = new MemoryDisk().open()
      await restoreSavepoint(store, savepoint, {
        backend,
        migration,
        ownsGroup: ownerOf(2, slot),
        position: positionOf(9),
      })
      restored.push(...(await contentOf(backend, Buffer.alloc(0))).split('\n'))
    }
    const straight = await contentOf(await filledStore(1, 0), Buffer.alloc(0))
    assert.deepEqual(restored.sort(), straight.split('\n').sort())
  })

  it('lists page by page, while what was listed is deleted', async t => {
    const store = await opened(t, {}, { pageNamesMax: 3 })
    const names = Array.from({ length: 10 }, (_, i) => `a/${i}`)
    for (const name of names) await store.put(name, Buffer.from(name))
    const found: string[] = []
    for await (const { name } of store.list('a/')) {
      found.push(name)
      await store.delete([name])
    }
    assert.deepEqual(found, names)
  })

  it('lets one of several processes create an object, however many try', async t => {
    const options = place()
    const owners = await Promise.all([opened(t, options), opened(t, options), opened(t, options)])
    for (let i = 0; i < 20; i++) {
      const made = await Promise.all(owners.map((store, owner) => store.create(`m/${i}`, Buffer.of(owner))))
      assert.equal(made.filter(Boolean).length, 1)
      assert.equal((await owners[0]!.get(`m/${i}`))?.[0], made.indexOf(true))
    }
  })

  it('goes on after connections were cut, also in the middle of an answer', async t => {
    const store = await opened(t, { endpoint: `http://${proxy.address}` })
    const large = Buffer.alloc(8 << 20, 7)
    await store.put('read', large)
    const work = Array.from({ length: 5 }, (_, i) => [
      retried(() => store.put(`written/${i}`, large)),
      retried(() => store.get('read')),
    ]).flat()
    for (let cuts = 0; cuts < 20; cuts++) {
      await sleep(20)
      proxy.cut()
    }
    for (const read of await Promise.all(work)) assert.ok(read === undefined || read.equals(large))
    for (let i = 0; i < 5; i++) assert.ok((await store.get(`written/${i}`))?.equals(large))
  })

  it('create knows its own object when the answer was lost', async t => {
    const options = place()
    const store = await opened(t, { ...options, endpoint: `http://${proxy.address}` })
    const beside = await opened(t, options)
    assert.equal(await store.create('before', Buffer.of(0)), true)
    proxy.set({ kind: 'hold', direction: 'down' })
    const creating = store.create('a', Buffer.of(1))
    while ((await beside.get('a')) === undefined) await sleep(10)
    proxy.cut()
    proxy.set({ kind: 'none' })
    assert.equal(await creating, true)
    assert.equal(await store.create('a', Buffer.of(2)), false)
  })

  it('says that the secret is wrong', async t => {
    const credentials = { ...s3.credentials, secretAccessKey: 'another-secret' }
    const store = await opened(t, { credentials })
    assert.match(await refused(store.put('a', Buffer.of(1))), /refuses these credentials \(SignatureDoesNotMatch\)/)
    assert.match(await refused(store.get('a')), /refuses these credentials/)
    const unknown = await opened(t, { credentials: { ...credentials, accessKeyId: 'nobody' } })
    assert.match(await refused(unknown.get('a')), /InvalidAccessKeyId|access key/)
  })

  it('says that there is no such bucket', async t => {
    const store = await opened(t, { bucket: 'weir-is-not-here' })
    assert.match(await refused(store.get('a')), /there is no bucket 'weir-is-not-here'/)
    assert.match(await refused(store.put('a', Buffer.of(1))), /there is no bucket 'weir-is-not-here'/)
    assert.match(await refused(store.delete(['a'])), /there is no bucket 'weir-is-not-here'/)
    await assert.rejects(all(store), /there is no bucket 'weir-is-not-here'/)
  })

  it('says that the server is away, or does not answer, and goes on when it is back', async t => {
    const store = await opened(t, { endpoint: `http://${proxy.address}` }, { attemptMsMax: 200, attemptsMax: 2 })
    await store.put('a', Buffer.of(1))
    proxy.set({ kind: 'refuse' })
    proxy.cut()
    assert.match(await refused(store.get('a')), /breaks the connection off \(ECONNRESET\), 2 times/)
    proxy.set({ kind: 'hold', direction: 'both' })
    assert.match(await refused(store.get('a')), /does not answer in time, 2 times/)
    proxy.set({ kind: 'delay', ms: 10 })
    assert.deepEqual(await store.get('a'), Buffer.of(1))
    proxy.set({ kind: 'none' })
    const nobody = await opened(t, { endpoint: 'http://127.0.0.1:1' }, { attemptsMax: 2 })
    assert.match(await refused(nobody.get('a')), /http:\/\/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\), 2 times/)
  })

  it('finds bytes that were changed where they lie', async t => {
    if (s3.folder === undefined) return t.skip('the files of this server are out of reach')
    const options = place()
    const store = await opened(t, options)
    await store.put('a', Buffer.alloc(100_000, 1))
    const file = join(s3.folder, options.prefix, 'a')
    const bytes = readFileSync(file)
    bytes[50_000] = 2
    writeFileSync(file, bytes)
    assert.match(await refused(store.get('a'), 'CHECKPOINT_CORRUPT'), /its checksum does not fit its bytes/)
    assert.deepEqual(readdirSync(join(s3.folder, options.prefix)), ['a'], 'nothing beside it')
  })
})

async function all(store: CheckpointStore): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of store.list('')) names.push(name)
  return names
}

/** More cuts may come than one call bears, but not for ever. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let calls = 1; ; calls++) {
    try {
      return await work()
    } catch (error) {
      if (!isWeirError(error, 'CHECKPOINT_STORE_FAILED') || calls === 50) throw error
    }
  }
}

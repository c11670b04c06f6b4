import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { backendConformance } from './conformance.js'
import { MemoryDisk } from './memory.js'

describe('memory backend', () => {
  backendConformance(async () => {
    const disk = new MemoryDisk()
    return { backend: disk.open(), reopen: async () => disk.open() }
  })
})

describe('memory disk', () => {
  const key = Buffer.from('k')
  const write = async (backend: ReturnType<MemoryDisk['open']>, value: number, sync: boolean) => {
    const batch = backend.batch()
    batch.put(key, Buffer.of(value))
    batch.put(Buffer.of(value), Buffer.of(value))
    await backend.write(batch, { sync })
  }

  it('a crash keeps a prefix of the unsynced batches', async () => {
    for (const keep of [0, 1, 2, 3]) {
      const disk = new MemoryDisk()
      const backend = disk.open()
      await write(backend, 9, true)
      for (const value of [1, 2, 3]) await write(backend, value, false)
      assert.equal(disk.unsynced, 3)
      disk.crash(keep)
      await assert.rejects(backend.getMany([key]), { code: 'BACKEND_FAILED' })
      const after = disk.open()
      assert.deepEqual((await after.getMany([key]))[0], Buffer.of(keep === 0 ? 9 : keep))
      const all = await after.range({ gte: Buffer.of(0), lt: Buffer.of(10), limit: 10 })
      assert.deepEqual(
        all.map(entry => entry.key[0]),
        [1, 2, 3].slice(0, keep).concat(9),
      )
    }
  })

  it('a synced batch makes those before it durable', async () => {
    const disk = new MemoryDisk()
    const backend = disk.open()
    await write(backend, 1, false)
    await write(backend, 2, true)
    disk.crash()
    assert.deepEqual(await disk.open().getMany([Buffer.of(1), key]), [Buffer.of(1), Buffer.of(2)])
  })
})

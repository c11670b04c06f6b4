import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { backendConformance } from './conformance.js'
import { openRocksDb } from './rocksdb.js'

describe('rocksdb backend', () => {
  const directories: string[] = []
  const directory = async (): Promise<string> => {
    const made = await mkdtemp(join(tmpdir(), 'weir-rocksdb-'))
    directories.push(made)
    return made
  }
  after(async () => {
    for (const made of directories) await rm(made, { recursive: true })
  })

  backendConformance(async () => {
    const at = join(await directory(), 'not', 'there', 'yet')
    return { backend: await openRocksDb(at), reopen: () => openRocksDb(at) }
  })

  it('a path that is no directory is BACKEND_FAILED', async () => {
    const file = join(await directory(), 'file')
    await writeFile(file, 'x')
    await assert.rejects(openRocksDb(file), { code: 'BACKEND_FAILED' })
  })

  it('close waits for what is under way', async () => {
    const backend = await openRocksDb(await directory())
    const batch = backend.batch()
    for (let i = 0; i < 1_000; i++) batch.put(Buffer.from(`key ${i}`), Buffer.alloc(100))
    const writing = backend.write(batch, { sync: true })
    const reading = backend.getMany([Buffer.from('key 1')])
    await backend.close()
    await Promise.all([writing, reading])
  })
})

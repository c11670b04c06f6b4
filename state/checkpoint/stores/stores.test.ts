import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { checkpointStoreConformance } from '../conformance.js'
import { openDirectoryStore } from './directory.js'
import { MemoryObjects } from './memory.js'

describe('checkpoint store in memory', () => {
  checkpointStoreConformance(async () => {
    const kept = new MemoryObjects()
    return { store: kept.open(), reopen: async () => kept.open() }
  })

  it('fails when it is told to, before or after the fact', async () => {
    const kept = new MemoryObjects()
    const store = kept.open()
    for (const [fault, there] of [
      ['lost', false],
      ['unheard', true],
    ] as const) {
      kept.fault = ({ kind }) => (kind === 'put' ? fault : undefined)
      await assert.rejects(store.put(fault, Buffer.of(1)), { code: 'CHECKPOINT_STORE_FAILED' })
      assert.equal((await store.get(fault)) !== undefined, there)
    }
  })
})

describe('checkpoint store in a directory', () => {
  let root: string
  let stores = 0
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'weir-checkpoints-'))
  })
  after(() => rm(root, { recursive: true }))

  checkpointStoreConformance(async () => {
    const directory = join(root, `${stores++}`, 'within')
    return { store: await openDirectoryStore(directory), reopen: () => openDirectoryStore(directory) }
  })

  it('leaves nothing unfinished, and lists nothing that is', async () => {
    const directory = join(root, `${stores++}`)
    const store = await openDirectoryStore(directory)
    await store.put('a', Buffer.of(1))
    await store.create('b', Buffer.of(1))
    await store.create('b', Buffer.of(2))
    const [own, ...others] = await readdir(join(directory, '.partial'))
    assert.deepEqual([await readdir(join(directory, '.partial', own!)), others], [[], []])
    await mkdir(join(directory, '.partial', 'young'))
    await mkdir(join(directory, '.partial', 'old'))
    await writeFile(join(directory, '.partial', 'old', '1'), 'torn')
    await utimes(join(directory, '.partial', 'old'), 1, 1)
    const names: string[] = []
    for await (const { name } of store.list('')) names.push(name)
    assert.deepEqual(names, ['a', 'b'])
    await store.close()
    const next = await openDirectoryStore(directory)
    await next.put('c', Buffer.of(1))
    await next.close()
    assert.deepEqual(await readdir(join(directory, '.partial')), ['young'])
  })

  it('writes nothing to read', async () => {
    const directory = join(root, `${stores++}`)
    const store = await openDirectoryStore(directory)
    await store.put('a', Buffer.of(1))
    await store.close()
    await rm(join(directory, '.partial'), { recursive: true })
    const looking = await openDirectoryStore(directory)
    assert.deepEqual(await looking.get('a'), Buffer.of(1))
    assert.deepEqual(await readdir(directory), ['a'])
    await looking.close()
    assert.deepEqual(await readdir(directory), ['a'])
  })

  it('says what the file system refuses', async () => {
    const directory = join(root, `${stores++}`)
    const store = await openDirectoryStore(directory)
    await mkdir(join(directory, 'folder'))
    await assert.rejects(store.put('folder', Buffer.of(1)), {
      code: 'CHECKPOINT_STORE_FAILED',
      message: /could not put folder/,
    })
    const [own] = await readdir(join(directory, '.partial'))
    assert.deepEqual(await readdir(join(directory, '.partial', own!)), [])
    await store.close()
  })
})

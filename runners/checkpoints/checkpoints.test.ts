import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { checkpointStoreOf } from './index.js'

describe('a checkpoint store that cannot be opened', () => {
  let root: string
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'weir-reopening-'))
  })
  after(() => rm(root, { recursive: true }))

  it('fails call by call, and is opened by the first call that finds it there', async () => {
    const inTheWay = join(root, 'mount')
    await writeFile(inTheWay, '')
    const store = checkpointStoreOf({ store: join(inTheWay, 'checkpoints') })
    for (let i = 0; i < 2; i++) {
      await assert.rejects(store.get('a/b'), { code: 'CHECKPOINT_STORE_FAILED' })
      await assert.rejects(store.list('a/')[Symbol.asyncIterator]().next(), { code: 'CHECKPOINT_STORE_FAILED' })
    }
    await rm(inTheWay)
    await store.put('a/b', Buffer.from('bytes'))
    assert.equal((await store.get('a/b'))?.toString(), 'bytes')
    await store.close()
    await assert.rejects(store.get('a/b'), { code: 'CHECKPOINT_STORE_FAILED' })
  })

  it('is closed without having been opened', async () => {
    const store = checkpointStoreOf({ store: join(root, 'never') })
    await store.close()
    await assert.rejects(store.put('a', Buffer.of(1)), { code: 'CHECKPOINT_STORE_FAILED' })
  })
})

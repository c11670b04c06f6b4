/** What every checkpoint store must do; each store's test runs all of it. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { CheckpointStore, StoredObject } from './store.js'

const text = (value: string): Buffer => Buffer.from(value, 'utf8')

async function all(store: CheckpointStore, prefix = ''): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  for await (const object of store.list(prefix)) found.push(object)
  return found
}

const names = async (store: CheckpointStore, prefix = ''): Promise<string[]> =>
  (await all(store, prefix)).map(({ name }) => name)

/** @param open an empty store, and how to open it again after `close` */
export function checkpointStoreConformance(
  open: () => Promise<{ store: CheckpointStore; reopen: () => Promise<CheckpointStore> }>,
): void {
  const on = (
    title: string,
    run: (store: CheckpointStore, reopen: () => Promise<CheckpointStore>) => Promise<void>,
  ): void => {
    it(title, async () => {
      const { store, reopen } = await open()
      let last = store
      try {
        await run(store, async () => {
          await last.close()
          last = await reopen()
          return last
        })
      } finally {
        await last.close()
      }
    })
  }

  on('what was put is there, what was not is undefined', async store => {
    assert.equal(await store.get('a/b'), undefined)
    assert.deepEqual(await all(store), [])
    await store.put('a/b', text('one'))
    assert.equal((await store.get('a/b'))?.toString(), 'one')
    assert.equal(await store.get('a/c'), undefined)
    assert.equal(await store.get('a'), undefined)
    assert.equal(await store.get('a/b/c'), undefined)
  })

  on('a put replaces, a shorter one too', async store => {
    await store.put('a', text('a long value'))
    await store.put('a', text('short'))
    assert.equal((await store.get('a'))?.toString(), 'short')
    assert.deepEqual(await all(store), [{ name: 'a', bytes: 5 }])
  })

  on('create leaves alone what is there', async store => {
    assert.equal(await store.create('m/1', text('first')), true)
    assert.equal(await store.create('m/1', text('second')), false)
    assert.equal((await store.get('m/1'))?.toString(), 'first')
    await store.put('m/2', text('put'))
    assert.equal(await store.create('m/2', text('created')), false)
    await store.delete(['m/1'])
    assert.equal(await store.create('m/1', text('again')), true)
    assert.equal((await store.get('m/1'))?.toString(), 'again')
  })

  on('of creates at the same time one wins', async store => {
    const values = ['a', 'b', 'c', 'd']
    const won = await Promise.all(values.map(value => store.create('m', text(value))))
    assert.deepEqual(won.filter(Boolean), [true])
    assert.equal((await store.get('m'))?.toString(), values[won.indexOf(true)])
    assert.deepEqual(await names(store), ['m'])
  })

  on('lists in the order of bytes, with sizes, by any prefix', async store => {
    const sorted = ['A', 'a-b', 'a.b', 'a/-', 'a/b/c', 'a/b0', 'a/c', 'a0', 'aB', 'a_', 'b']
    for (const name of [...sorted].reverse()) await store.put(name, Buffer.alloc(name.length))
    assert.deepEqual(
      await all(store),
      sorted.map(name => ({ name, bytes: name.length })),
    )
    assert.deepEqual(await names(store, 'a/'), ['a/-', 'a/b/c', 'a/b0', 'a/c'])
    assert.deepEqual(await names(store, 'a/b'), ['a/b/c', 'a/b0'])
    assert.deepEqual(await names(store, 'a/b/'), ['a/b/c'])
    assert.deepEqual(await names(store, 'a/b/c'), ['a/b/c'])
    assert.deepEqual(await names(store, 'none'), [])
    assert.deepEqual(await names(store, 'none/at/all/'), [])
  })

  on('lists more than a thousand', async store => {
    const many = Array.from({ length: 1_203 }, (_, i) => `n/${String(i).padStart(5, '0')}`)
    for (let i = 0; i < many.length; i += 50) {
      await Promise.all(many.slice(i, i + 50).map(name => store.put(name, text('x'))))
    }
    assert.deepEqual(await names(store, 'n/'), many)
    await store.delete(many)
    assert.deepEqual(await names(store), [])
  })

  on('a list may be left early', async store => {
    for (const name of ['a', 'b', 'c']) await store.put(name, text(name))
    for await (const { name } of store.list('')) {
      assert.equal(name, 'a')
      break
    }
    assert.deepEqual(await names(store), ['a', 'b', 'c'])
  })

  on('deletes, also what is not there', async store => {
    for (const name of ['a/1', 'a/2', 'b']) await store.put(name, text(name))
    await store.delete(['a/1', 'never/there', 'b', 'b'])
    assert.deepEqual(await names(store), ['a/2'])
    await store.delete([])
    await store.put('a/1', text('again'))
    assert.deepEqual(await names(store), ['a/1', 'a/2'])
  })

  on('empty and large objects come back whole', async store => {
    const large = Buffer.alloc((9 << 20) + 7)
    for (let i = 0; i < large.length; i += 997) large[i] = i
    await store.put('empty', Buffer.alloc(0))
    await store.put('large', large)
    assert.equal((await store.get('empty'))?.length, 0)
    assert.ok((await store.get('large'))?.equals(large))
    assert.equal(await store.create('empty', text('x')), false)
  })

  on("bytes are copied: what was given, and what is returned, is the caller's", async store => {
    const given = text('value')
    await store.put('a', given.subarray(0, 5))
    given.fill(0)
    ;(await store.get('a'))!.fill(0)
    assert.equal((await store.get('a'))?.toString(), 'value')
  })

  on('everything is there again after a close', async (store, reopen) => {
    await store.put('a/b', text('one'))
    await store.create('a/c', text('two'))
    const again = await reopen()
    assert.deepEqual(await names(again), ['a/b', 'a/c'])
    assert.equal((await again.get('a/c'))?.toString(), 'two')
  })

  on('names that not every store can hold are refused', async store => {
    for (const name of ['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'ä', 'a b', 'a\\b', 'a\0', 'x'.repeat(901)]) {
      await assert.rejects(store.put(name, text('x')), { code: 'CHECKPOINT_STORE_FAILED' }, JSON.stringify(name))
      await assert.rejects(store.create(name, text('x')), { code: 'CHECKPOINT_STORE_FAILED' })
      await assert.rejects(store.get(name), { code: 'CHECKPOINT_STORE_FAILED' })
      await assert.rejects(store.delete([name]), { code: 'CHECKPOINT_STORE_FAILED' })
    }
    assert.deepEqual(await names(store), [])
  })

  on('after a close every call fails, and closing again is nothing', async store => {
    await store.put('a', text('x'))
    await store.close()
    await assert.rejects(store.get('a'), { code: 'CHECKPOINT_STORE_FAILED' })
    await assert.rejects(store.put('a', text('y')), { code: 'CHECKPOINT_STORE_FAILED' })
    await assert.rejects(store.create('b', text('y')), { code: 'CHECKPOINT_STORE_FAILED' })
    await assert.rejects(store.delete(['a']), { code: 'CHECKPOINT_STORE_FAILED' })
    await assert.rejects(all(store), { code: 'CHECKPOINT_STORE_FAILED' })
    await store.close()
  })
}

/** What every state backend must do; each backend's test runs all of it. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { StateBackend } from '../backend.js'

const bytes = (...values: number[]): Buffer => Buffer.from(values)
const text = (value: string): Buffer => Buffer.from(value, 'utf8')

async function put(backend: StateBackend, entries: Iterable<readonly [Buffer, Buffer]>): Promise<void> {
  const batch = backend.batch()
  for (const [key, value] of entries) batch.put(key, value)
  await backend.write(batch, { sync: false })
}

const keysOf = (entries: readonly { key: Buffer }[]): string[] => entries.map(entry => entry.key.toString('hex'))

/** @param open a backend on an empty store, and how to open that store again after `close` */
export function backendConformance(
  open: () => Promise<{ backend: StateBackend; reopen: () => Promise<StateBackend> }>,
): void {
  const on = (
    title: string,
    run: (backend: StateBackend, reopen: () => Promise<StateBackend>) => Promise<void>,
  ): void => {
    it(title, async () => {
      const { backend, reopen } = await open()
      let last = backend
      try {
        await run(backend, async () => {
          await last.close()
          last = await reopen()
          return last
        })
      } finally {
        await last.close()
      }
    })
  }

  on('getMany keeps the order of the keys, repeats them and marks what is missing', async backend => {
    await put(backend, [
      [text('a'), text('1')],
      [text('c'), text('3')],
    ])
    const found = await backend.getMany([text('c'), text('b'), text('a'), text('c')])
    assert.deepEqual(
      found.map(value => value?.toString()),
      ['3', undefined, '1', '3'],
    )
    assert.deepEqual(await backend.getMany([]), [])
  })

  on('a range of keys alone has no values, and compacting one changes nothing', async backend => {
    await put(
      backend,
      [...'abcd'].map(name => [text(name), text(name.repeat(9))] as const),
    )
    const options = { gte: text('b'), lt: text('d'), limit: 9 }
    const keys = await backend.range({ ...options, keysOnly: true })
    assert.deepEqual(
      keys.map(({ key, value }) => [key.toString(), value.length]),
      [
        ['b', 0],
        ['c', 0],
      ],
    )
    await backend.compact?.(text('a'), text('z'))
    assert.deepEqual(
      (await backend.range(options)).map(entry => entry.value.toString()),
      ['b'.repeat(9), 'c'.repeat(9)],
    )
  })

  on('an empty value is a value', async backend => {
    await put(backend, [[text('a'), Buffer.alloc(0)]])
    assert.equal((await backend.getMany([text('a')]))[0]?.length, 0)
    const range = await backend.range({ gte: text('a'), lt: text('b'), limit: 9 })
    assert.deepEqual(
      range.map(entry => entry.value.length),
      [0],
    )
  })

  on('keys sort as unsigned bytes, and a prefix comes first', async backend => {
    const keys = [bytes(0), bytes(0, 0), bytes(0x7f), bytes(0x80), bytes(0x80, 0xff), bytes(0xff), bytes(0xff, 0)]
    await put(
      backend,
      [...keys].reverse().map(key => [key, bytes(1)] as const),
    )
    const all = await backend.range({ gte: bytes(0), lt: bytes(0xff, 0xff), limit: 100 })
    assert.deepEqual(keysOf(all), keysOf(keys.map(key => ({ key }))))
  })

  on('a range includes its lower end, not its upper, and stops at its limit, from either side', async backend => {
    await put(
      backend,
      Array.from({ length: 10 }, (_, i) => [bytes(i), bytes(i)] as const),
    )
    const range = async (limit: number, reverse: boolean) =>
      (await backend.range({ gte: bytes(2), lt: bytes(6), limit, reverse })).map(entry => entry.value[0])
    assert.deepEqual(await range(100, false), [2, 3, 4, 5])
    assert.deepEqual(await range(2, false), [2, 3])
    assert.deepEqual(await range(100, true), [5, 4, 3, 2])
    assert.deepEqual(await range(2, true), [5, 4])
    assert.deepEqual(await range(0, false), [])
    assert.deepEqual(await backend.range({ gte: bytes(20), lt: bytes(30), limit: 5 }), [])
  })

  on('ranges follow writes between them', async backend => {
    const all = async () => keysOf(await backend.range({ gte: bytes(0), lt: bytes(99), limit: 100 }))
    await put(backend, [[bytes(5), bytes(1)]])
    assert.deepEqual(await all(), ['05'])
    await put(backend, [[bytes(3), bytes(1)]])
    const batch = backend.batch()
    batch.delete(bytes(5))
    batch.put(bytes(9), bytes(1))
    await backend.write(batch, { sync: false })
    assert.deepEqual(await all(), ['03', '09'])
    await put(backend, [[bytes(5), bytes(2)]])
    assert.deepEqual(await all(), ['03', '05', '09'])
  })

  on('a snapshot is of one moment, whatever is written while it is read', async backend => {
    const many = Array.from({ length: 3_000 }, (_, i) => [bytes(1, i >> 8, i & 255), Buffer.alloc(90, i)] as const)
    await put(backend, [[bytes(0), bytes(1)], ...many, [bytes(2), bytes(1)]])
    const snapshot = await backend.snapshot({ gte: bytes(1), lt: bytes(2) })
    const read: (readonly [Buffer, Buffer])[] = []
    for (let round = 0; ; round++) {
      const slice = await snapshot.next(5_000)
      if (slice.length === 0) break
      read.push(...slice.map(({ key, value }) => [key, value] as const))
      const batch = backend.batch()
      batch.delete(many[round]![0])
      batch.delete(many[2_999 - round]![0])
      batch.put(many[1_500 + round]![0], bytes(9))
      batch.put(bytes(1, 99, round), bytes(9))
      await backend.write(batch, { sync: false })
    }
    assert.deepEqual(read, many)
    assert.deepEqual(await snapshot.next(5_000), [])
    await snapshot.close()
    assert.deepEqual(await backend.getMany([many[0]![0], many[1_500]![0]]), [undefined, bytes(9)])
  })

  on('a snapshot gives about as many bytes as it is asked for, and goes where it is told', async backend => {
    await put(
      backend,
      Array.from({ length: 100 }, (_, i) => [bytes(i, 7), Buffer.alloc(98, i)] as const),
    )
    const snapshot = await backend.snapshot({ gte: bytes(10), lt: bytes(90) })
    const next = async (limitBytes: number) => (await snapshot.next(limitBytes)).map(({ key }) => key[0])
    assert.deepEqual(await next(1), [10])
    assert.deepEqual(await next(201), [11, 12, 13])
    snapshot.seek(bytes(50))
    assert.deepEqual(await next(200), [50, 51])
    snapshot.seek(bytes(50, 8))
    assert.deepEqual(await next(1), [51])
    snapshot.seek(bytes(20, 7))
    assert.deepEqual(await next(100), [20])
    snapshot.seek(bytes(0))
    assert.deepEqual(await next(1), [10])
    snapshot.seek(bytes(89, 6))
    assert.deepEqual(await next(10_000), [89])
    assert.deepEqual(await next(1), [])
    snapshot.seek(bytes(89, 8))
    assert.deepEqual(await next(1), [])
    snapshot.seek(bytes(95))
    assert.deepEqual(await next(1), [])
    snapshot.seek(bytes(30))
    assert.deepEqual(await next(1), [30])
    await snapshot.close()
    await assert.rejects(snapshot.next(1), { code: 'BACKEND_FAILED' })
    await snapshot.close()
  })

  on('an empty range has an empty snapshot', async backend => {
    const snapshot = await backend.snapshot({ gte: bytes(1), lt: bytes(2) })
    await put(backend, [[bytes(1), bytes(1)]])
    assert.deepEqual(await snapshot.next(100), [])
    snapshot.seek(bytes(1))
    assert.deepEqual(await snapshot.next(100), [])
  })

  on('the last operation of a batch on a key wins', async backend => {
    const batch = backend.batch()
    batch.put(text('a'), text('1'))
    batch.delete(text('a'))
    batch.put(text('b'), text('1'))
    batch.put(text('b'), text('2'))
    batch.delete(text('never there'))
    assert.equal(batch.operations, 5)
    await backend.write(batch, { sync: true })
    const found = await backend.getMany([text('a'), text('b')])
    assert.deepEqual(
      found.map(value => value?.toString()),
      [undefined, '2'],
    )
  })

  on('a batch is nothing before it is written, and has copied what it was given', async backend => {
    const key = text('key')
    const value = text('value')
    const batch = backend.batch()
    batch.put(key, value)
    key.fill(0)
    value.fill(0)
    assert.deepEqual(await backend.getMany([text('key')]), [undefined])
    await backend.write(batch, { sync: false })
    assert.equal((await backend.getMany([text('key')]))[0]?.toString(), 'value')
    assert.deepEqual(await backend.getMany([key]), [undefined])
  })

  on("what is returned is the caller's to change", async backend => {
    await put(backend, [[text('a'), text('value')]])
    ;(await backend.getMany([text('a')]))[0]!.fill(0)
    const [entry] = await backend.range({ gte: text('a'), lt: text('b'), limit: 1 })
    entry!.value.fill(0)
    entry!.key.fill(0)
    assert.equal((await backend.getMany([text('a')]))[0]?.toString(), 'value')
  })

  on('an empty batch can be written', async backend => {
    await backend.write(backend.batch(), { sync: true })
  })

  on('everything is there again after a close', async (backend, reopen) => {
    const many = Array.from({ length: 5_000 }, (_, i) => [bytes(i >> 8, i & 255), Buffer.alloc(50, i)] as const)
    await put(backend, many)
    const again = await reopen()
    assert.equal((await again.range({ gte: bytes(0), lt: bytes(0xff), limit: 9_999 })).length, 5_000)
    assert.deepEqual((await again.getMany([many[4_321]![0]]))[0], many[4_321]![1])
  })

  on('large values come back whole', async backend => {
    const value = Buffer.alloc(3 << 20, 7)
    await put(backend, [[text('large'), value]])
    assert.ok((await backend.getMany([text('large')]))[0]?.equals(value))
  })

  it('has one owner at a time', async () => {
    const { backend, reopen } = await open()
    await assert.rejects(reopen(), { code: 'DIRECTORY_IN_USE' })
    await backend.close()
    await (await reopen()).close()
  })

  on('after a close every call fails with BACKEND_FAILED, and closing again is nothing', async backend => {
    await put(backend, [[text('a'), text('1')]])
    const snapshot = await backend.snapshot({ gte: text('a'), lt: text('b') })
    await backend.close()
    await assert.rejects(snapshot.next(1), { code: 'BACKEND_FAILED' })
    await assert.rejects(backend.snapshot({ gte: text('a'), lt: text('b') }), { code: 'BACKEND_FAILED' })
    await assert.rejects(backend.getMany([text('a')]), { code: 'BACKEND_FAILED' })
    await assert.rejects(backend.range({ gte: text('a'), lt: text('b'), limit: 1 }), { code: 'BACKEND_FAILED' })
    await backend.close()
  })
}

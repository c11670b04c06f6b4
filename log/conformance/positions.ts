/** Where readers stand, how much they take, and how they wait. */
import assert from 'node:assert/strict'
import { millis } from '../../kernel/index.js'
import {
  assertIncreasing,
  at,
  beginning,
  byPartition,
  flatten,
  limits,
  numbered,
  pollSome,
  read,
  readAll,
  readerOf,
  record,
  rejectsWith,
  valuesOf,
} from './harness.js'
import type { Suite } from './suite.js'

export function positionTests({ test }: Suite): void {
  test('an empty topic has an empty range and nothing to read', [], async ({ log, topic }) => {
    const name = await topic(2)
    for (const partition of [0, 1]) {
      const { earliest, latest } = await log.range({ topic: name, partition })
      assert.equal(earliest, latest)
    }
    const reader = await readerOf(log, name)
    assert.deepEqual(await reader.poll(limits()), [])
    assert.deepEqual(reader.positions(), await beginning(log, name))
    await reader.close()
  })

  test('the range covers what is readable', [], async ({ log, topic, put }) => {
    const name = await topic(2)
    const before = await log.range({ topic: name, partition: 1 })
    await put(numbered(name, 1, 'a', 3))
    const { earliest, latest } = await log.range({ topic: name, partition: 1 })
    const records = await readAll(log, name)
    assert.ok(latest >= before.latest + 3n)
    assert.ok(records.every(({ offset }) => offset >= earliest && offset < latest))
    const other = await log.range({ topic: name, partition: 0 })
    assert.equal(other.earliest, other.latest)
  })

  test('reads from any position, also in the middle of what was appended together', [], async ({ log, topic, put }) => {
    const name = await topic(1)
    await put(numbered(name, 0, 'a', 150))
    await put(numbered(name, 0, 'b', 5))
    await put(numbered(name, 0, 'c', 5))
    const all = await readAll(log, name)
    for (const index of [0, 1, 63, 64, 99, 149, 150, 152, 155, 159]) {
      const reader = await log.reader([at(name, 0, all[index]!.offset)])
      assert.deepEqual(await read(reader, all.length - index), all.slice(index))
      await reader.close()
    }
  })

  test('seek moves a reader back and forth', [], async ({ log, topic, put }) => {
    const name = await topic(2)
    await put(numbered(name, 0, 'a', 20), numbered(name, 1, 'b', 2))
    const all = (await readAll(log, name)).filter(({ partition }) => partition === 0)
    const reader = await log.reader([at(name, 0, all[0]!.offset)])
    assert.deepEqual(await read(reader, 20), all)
    reader.seek(at(name, 0, all[5]!.offset))
    assert.deepEqual(reader.positions(), [at(name, 0, all[5]!.offset)])
    assert.deepEqual(await read(reader, 3), all.slice(5, 8))
    reader.seek(at(name, 0, all[18]!.offset))
    assert.deepEqual(await read(reader, 2), all.slice(18))
    assert.deepEqual(flatten(await reader.poll(limits())), [])
    await reader.close()
  })

  test('a position past the end is an error, and moves nothing', [], async ({ log, topic, put }) => {
    const name = await topic(2)
    await put(numbered(name, 0, 'a', 3), numbered(name, 1, 'b', 3))
    const { latest } = await log.range({ topic: name, partition: 1 })
    const from = [...(await beginning(log, name)).slice(0, 1), at(name, 1, latest + 1n)]
    const reader = await log.reader(from)
    await rejectsWith('OFFSET_OUT_OF_RANGE', () => reader.poll(limits({ waitMsMax: millis(60_000) })))
    assert.deepEqual(reader.positions(), from)
    reader.seek(at(name, 1, latest))
    assert.deepEqual(valuesOf(await read(reader, 3)), ['a-0', 'a-1', 'a-2'])
    await reader.close()
  })

  test(
    'a position that was trimmed away is an error, and offsets go on',
    ['trim'],
    async ({ log, topic, put, trimmer }) => {
      const name = await topic(2)
      await put(numbered(name, 0, 'a', 100), numbered(name, 1, 'other', 1))
      await put(numbered(name, 0, 'b', 10))
      const all = (await readAll(log, name)).filter(({ partition }) => partition === 0)
      assert.ok(trimmer !== undefined)
      const reader = await log.reader([at(name, 0, all[40]!.offset)])
      await read(reader, 1)
      await trimmer.trim(at(name, 0, all[50]!.offset))
      assert.equal((await log.range({ topic: name, partition: 0 })).earliest, all[50]!.offset)
      await rejectsWith('OFFSET_OUT_OF_RANGE', () => reader.poll(limits()))
      await reader.close()
      const left = await readAll(log, name)
      assert.deepEqual(
        left.filter(({ partition }) => partition === 0),
        all.slice(50),
      )
      assert.equal(left.filter(({ partition }) => partition === 1).length, 1)
      // all of it, then more
      const { latest } = await log.range({ topic: name, partition: 0 })
      await trimmer.trim(at(name, 0, latest))
      await trimmer.trim(at(name, 0, all[3]!.offset)) // below: no change
      await put(numbered(name, 0, 'c', 2))
      const rest = (await readAll(log, name)).filter(({ partition }) => partition === 0)
      assert.deepEqual(valuesOf(rest), ['c-0', 'c-1'])
      assert.ok(rest[0]!.offset >= latest)
      await rejectsWith('OFFSET_OUT_OF_RANGE', () => trimmer.trim(at(name, 0, latest + 1_000n)))
    },
  )

  test('recordsMax bounds a poll; every poll makes progress', [], async ({ log, topic, put }) => {
    const name = await topic(2)
    await put(numbered(name, 0, 'a', 30), numbered(name, 1, 'b', 30))
    for (const recordsMax of [1, 7]) {
      const reader = await readerOf(log, name)
      const records = []
      while (records.length < 60) {
        const polled = flatten(await pollSome(reader, { recordsMax }))
        assert.ok(polled.length <= recordsMax, `${polled.length} of at most ${recordsMax}`)
        records.push(...polled)
      }
      assertIncreasing(records)
      await reader.close()
    }
  })

  test('bytesMax bounds a poll; a record that is larger comes alone', [], async ({ log, topic, put }) => {
    const name = await topic(1)
    const values = Array.from({ length: 60 }, (_, i) => 'v'.repeat(i % 10 === 9 ? 5_000 : 100))
    await put({ topic: name, partition: 0, records: values.map(value => record('k', value)) })
    for (const bytesMax of [1, 1_000]) {
      const reader = await readerOf(log, name)
      const records = []
      while (records.length < values.length) {
        const polled = flatten(await pollSome(reader, { bytesMax }))
        const bytes = polled.reduce((sum, { key, value }) => sum + key!.length + value!.length, 0)
        assert.ok(bytes <= bytesMax || polled.length === 1, `${bytes} bytes in ${polled.length} records`)
        records.push(...polled)
      }
      assert.deepEqual(valuesOf(records), values)
      await reader.close()
    }
  })

  test('a partition with much to read does not keep the others waiting', [], async ({ log, topic, put }) => {
    const name = await topic(3)
    await put(numbered(name, 0, 'much', 3_000), numbered(name, 1, 'one', 1), numbered(name, 2, 'two', 1))
    const reader = await readerOf(log, name)
    const groups = byPartition(await read(reader, 1_000, { recordsMax: 50 }))
    assert.deepEqual([...groups.keys()].sort(), [0, 1, 2])
    await reader.close()
  })

  test('a waiting poll is woken by a record', ['waiting', 'growth'], async ({ log, topic, put }) => {
    const name = await topic(2)
    await put(numbered(name, 0, 'before', 1))
    const reader = await readerOf(log, name)
    await read(reader, 1)
    // It would wait for ten minutes: the test ends because it is woken.
    const waiting = reader.poll(limits({ waitMsMax: millis(600_000) }))
    await put(numbered(name, 1, 'woken', 2))
    const woken = flatten(await waiting)
    assert.deepEqual(valuesOf([...woken, ...(await read(reader, 2 - woken.length))]), ['woken-0', 'woken-1'])
    await reader.close()
  })

  test('a waiting poll does not wake for other topics', ['waiting', 'growth'], async ({ log, topic, put }) => {
    const [name, other] = [await topic(1), await topic(1)]
    const reader = await readerOf(log, name)
    const waiting = reader.poll(limits({ waitMsMax: millis(600_000) }))
    await put(numbered(other, 0, 'other', 1))
    await put(numbered(name, 0, 'mine', 1))
    assert.deepEqual(valuesOf(flatten(await waiting)), ['mine-0'])
    await reader.close()
  })

  test('a waiting poll ends in time, with nothing', ['waiting'], async ({ log, topic }) => {
    const reader = await readerOf(log, await topic(1))
    assert.deepEqual(await reader.poll(limits({ waitMsMax: millis(5) })), [])
    await reader.close()
  })

  test('closing a reader ends its waiting poll', ['waiting'], async ({ log, topic }) => {
    const reader = await readerOf(log, await topic(1))
    const waiting = reader.poll(limits({ waitMsMax: millis(600_000) }))
    await reader.close()
    assert.deepEqual(await waiting, [])
  })

  test('closing the log ends a waiting poll', ['waiting'], async ({ log, topic }) => {
    const reader = await readerOf(log, await topic(1))
    const waiting = reader.poll(limits({ waitMsMax: millis(600_000) }))
    await log.close()
    assert.deepEqual(await waiting, [])
  })
}

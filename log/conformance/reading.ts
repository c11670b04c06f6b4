/** Records in, the same records out. */
import assert from 'node:assert/strict'
import { type Append, type EncodedRecords, offset } from '../port.js'
import {
  assertIncreasing,
  byPartition,
  flatten,
  limits,
  numbered,
  pollSome,
  read,
  readAll,
  readerOf,
  record,
  valuesOf,
} from './harness.js'
import type { Suite } from './suite.js'

export function readingTests({ test }: Suite): void {
  test('reads what was appended, in order and byte for byte', [], async ({ log, topic, put }) => {
    const name = await topic(1)
    await put(numbered(name, 0, 'a', 5))
    await put(numbered(name, 0, 'b', 3), numbered(name, 0, 'c', 2))
    const records = await readAll(log, name)
    const expected = ['a-0', 'a-1', 'a-2', 'a-3', 'a-4', 'b-0', 'b-1', 'b-2', 'c-0', 'c-1']
    assert.deepEqual(valuesOf(records), expected)
    assertIncreasing(records)
  })

  test('keeps keys', ['keys'], async ({ log, topic, put }) => {
    const name = await topic(1)
    const keys = ['k', 'κλειδί', '\u0000', 'x'.repeat(300), '']
    await put({ topic: name, partition: 0, records: keys.map(key => record(key, 'v')) })
    assert.deepEqual(
      (await readAll(log, name)).map(read => read.key),
      keys,
    )
  })

  test('keeps every byte', [], async ({ log, topic, put }) => {
    const name = await topic(1)
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i).filter(byte => byte !== 10 && byte !== 13))
    await put({ topic: name, partition: 0, records: [{ key: null, value: bytes }] })
    const reader = await readerOf(log, name)
    const [batch] = await pollSome(reader)
    assert.ok(batch !== undefined)
    assert.deepEqual(batch.bytes.subarray(batch.valueStart[0], batch.valueEnd[0]), bytes)
    await reader.close()
  })

  test('tells null from empty, in keys and values', ['nulls'], async ({ log, topic, put }) => {
    const name = await topic(1)
    const pairs: [string | null, string | null][] = [
      ['k', null],
      ['k', ''],
      [null, 'v'],
      ['', 'v'],
      [null, null],
      ['', ''],
    ]
    await put({ topic: name, partition: 0, records: pairs.map(([key, value]) => record(key, value)) })
    assert.deepEqual(
      (await readAll(log, name)).map(read => [read.key, read.value]),
      pairs,
    )
  })

  test('keeps headers, repeated and empty ones too', ['headers'], async ({ log, topic, put }) => {
    const name = await topic(1)
    const headers = [
      { name: 'weir.error.code', value: Buffer.from('INVALID_ID') },
      { name: 'again', value: Buffer.alloc(0) },
      { name: 'again', value: Buffer.from('größer') },
    ]
    const records = [
      { ...record('a', 'a'), headers },
      record('b', 'b'),
      { ...record('c', null), headers: headers.slice(0, 1) },
    ]
    await put({ topic: name, partition: 0, records })
    const expected = headers.map(header => [header.name, header.value.toString()])
    assert.deepEqual(
      (await readAll(log, name)).map(read => read.headers),
      [expected, [], expected.slice(0, 1)],
    )
  })

  test('keeps headers of records that were appended one by one', ['headers'], async ({ log, topic, put }) => {
    const name = await topic(1)
    for (let i = 0; i < 5; i++) {
      const headers = i % 2 === 0 ? [{ name: 'n', value: Buffer.from(`${i}`) }] : []
      await put({ topic: name, partition: 0, records: [{ ...record('k', `${i}`), headers }] })
    }
    assert.deepEqual(
      (await readAll(log, name)).map(read => read.headers),
      [[['n', '0']], [], [['n', '2']], [], [['n', '4']]],
    )
  })

  test('takes encoded records as it takes others', ['encodedRecords', 'keys'], async ({ log, topic, put }) => {
    const name = await topic(2)
    const values = ['{"a":1}', '', 'größer', 'x'.repeat(2_000)]
    const keys = ['k1', 'schlüssel', '', 'k4']
    await put({ topic: name, partition: 1, records: encoded(keys, values) })
    const records = await readAll(log, name)
    assert.deepEqual(valuesOf(records), values)
    assert.deepEqual(
      records.map(read => read.key),
      keys,
    )
  })

  test('takes a long run of encoded records', ['encodedRecords', 'keys'], async ({ log, topic, put }) => {
    const name = await topic(1)
    const values = Array.from({ length: 5_000 }, (_, i) => `${i}:${'v'.repeat(i % 400)}`)
    const keys = values.map((_, i) => `key-${i}`)
    await put({ topic: name, partition: 0, records: encoded(keys, values) })
    const records = await readAll(log, name)
    assert.deepEqual(valuesOf(records), values)
    assert.equal(records[4_999]!.key, 'key-4999')
    assertIncreasing(records)
  })

  test('takes large records beside small ones', ['largeRecords'], async ({ log, topic, put }) => {
    const name = await topic(1)
    const values = ['small', 'a'.repeat(900_000), 'small again', 'b'.repeat(300_000), 'c'.repeat(65_536)]
    await put({ topic: name, partition: 0, records: values.slice(0, 2).map(value => record('k', value)) })
    await put({ topic: name, partition: 0, records: values.slice(2).map(value => record('k', value)) })
    assert.deepEqual(valuesOf(await readAll(log, name)), values)
  })

  test('keeps many partitions apart, and polls them by number', [], async ({ log, topic, put }) => {
    const partitions = 24
    const name = await topic(partitions)
    const order = Array.from({ length: partitions }, (_, i) => (i * 7) % partitions)
    for (let round = 0; round < 3; round++) {
      await put(...order.map((partition): Append => numbered(name, partition, `r${round}p${partition}`, 2)))
    }
    const reader = await readerOf(log, name)
    const records = await read(reader, partitions * 6, { recordsMax: 50 })
    await reader.close()
    for (const [partition, group] of byPartition(records)) {
      const expected = [0, 1, 2].flatMap(round => [`r${round}p${partition}-0`, `r${round}p${partition}-1`])
      assert.deepEqual(valuesOf(group), expected)
    }
    const again = await readerOf(log, name)
    const polled = flatten(await again.poll(limits()))
    assert.deepEqual(
      polled.map(read => read.partition),
      polled.map(read => read.partition).sort((a, b) => a - b),
    )
    await again.close()
  })

  test('states when the log took a record', ['timestamps'], async ({ log, topic, put }) => {
    const name = await topic(1)
    await put(numbered(name, 0, 'a', 2))
    await put(numbered(name, 0, 'b', 1))
    const reader = await readerOf(log, name)
    const batches = await pollSome(reader)
    for (const batch of batches) {
      for (let i = 0; i < batch.count; i++) assert.ok(Number.isInteger(batch.timestampMs?.[i]))
    }
    await reader.close()
  })

  test('readers are independent of each other', [], async ({ log, topic, put }) => {
    const name = await topic(1)
    await put(numbered(name, 0, 'a', 10))
    const [one, two] = [await readerOf(log, name), await readerOf(log, name)]
    const first = await read(one, 7)
    assert.deepEqual(valuesOf(await read(two, 3)), valuesOf(first).slice(0, 3))
    assert.deepEqual(valuesOf(await read(one, 3)), ['a-7', 'a-8', 'a-9'])
    assert.deepEqual(valuesOf(await read(two, 1)), ['a-3'])
    await one.close()
    await two.close()
  })

  test('positions and batches agree about the next offset', [], async ({ log, topic, put }) => {
    const name = await topic(1)
    await put(numbered(name, 0, 'a', 4))
    const reader = await readerOf(log, name)
    await read(reader, 2)
    const [half] = reader.positions()
    const batches = await pollSome(reader)
    const last = batches[batches.length - 1]!
    assert.ok(half !== undefined && batches[0]!.baseOffset >= half.offset)
    assert.equal(reader.positions()[0]!.offset, last.nextOffset)
    assert.ok(last.nextOffset > offset(last.baseOffset + BigInt(last.offsetDelta[last.count - 1]!)))
    await reader.close()
  })
}

export function encoded(keys: readonly string[], values: readonly string[]): EncodedRecords {
  const valueStart = new Int32Array(values.length)
  const valueEnd = new Int32Array(values.length)
  const lead = Buffer.from('bytes before')
  const parts: Buffer[] = [lead]
  let length = lead.length
  for (const [i, value] of values.entries()) {
    const bytes = Buffer.from(value)
    valueStart[i] = length
    valueEnd[i] = length + bytes.length
    parts.push(bytes, Buffer.of(10))
    length += bytes.length + 1
  }
  return { kind: 'encoded', count: values.length, bytes: Buffer.concat(parts), valueStart, valueEnd, keys }
}

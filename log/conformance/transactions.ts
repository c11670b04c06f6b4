/** Transactions, fencing, and what survives a crash: I1, I4 and I5 as the log keeps them. */
import assert from 'node:assert/strict'
import { isWeirError } from '../../kernel/index.js'
import {
  assertIncreasing,
  flatten,
  limits,
  numbered,
  read,
  readAll,
  readerOf,
  record,
  rejectsWith,
  until,
  valuesOf,
} from './harness.js'
import type { Suite } from './suite.js'

export function transactionTests({ test }: Suite): void {
  test('a transaction writes to several partitions and topics at once', ['transactions'], async ({ log, topic }) => {
    const [one, two] = [await topic(3), await topic(1)]
    const committer = await log.committer('slot-0')
    const first = await committer.commit([numbered(one, 0, 'a', 2), numbered(one, 2, 'b', 1), numbered(two, 0, 'c', 3)])
    await committer.commit([])
    const second = await committer.commit([numbered(two, 0, 'd', 1), { topic: one, partition: 1, records: [] }])
    assert.deepEqual(valuesOf(await readAll(log, one)), ['a-0', 'a-1', 'b-0'])
    assert.deepEqual(valuesOf(await readAll(log, two)), ['c-0', 'c-1', 'c-2', 'd-0'])
    // A commit says where its records lie.
    const firstOf = [...(await readAll(log, one)), ...(await readAll(log, two))].filter(({ value }) =>
      /-0$/.test(String(value)),
    )
    assert.deepEqual(
      firstOf.map(({ offset }) => offset),
      [first[0], first[1], first[2], second[0]],
    )
  })

  test(
    'a transaction that names an unknown partition writes nothing',
    ['transactions'],
    async ({ log, topic, put }) => {
      const name = await topic(1)
      for (const wrong of [numbered(name, 1, 'x', 1), numbered('conformance-no-such-topic', 0, 'x', 1)]) {
        const committer = await log.committer('slot-0')
        await rejectsWith('UNKNOWN_TOPIC', () => committer.commit([numbered(name, 0, 'lost', 2), wrong]))
      }
      await put(numbered(name, 0, 'kept', 1))
      assert.deepEqual(valuesOf(await readAll(log, name)), ['kept-0'])
    },
  )

  for (const how of ['commit', 'abort'] as const) {
    test(`an open transaction shows nothing until it ends; then ${how}`, ['openTransaction'], async context => {
      const { log, topic, openTransaction } = context
      const name = await topic(3)
      const reader = await readerOf(log, name)
      assert.ok(openTransaction !== undefined)
      const open = await openTransaction('slot-open', [numbered(name, 0, 'open', 2), numbered(name, 2, 'open', 3)])
      // Not a proof, but many chances: nothing may come while it is open.
      for (let i = 0; i < 20; i++) assert.deepEqual(flatten(await reader.poll(limits())), [])
      await open.end(how)
      const log2 = how === 'abort' ? await context.reopen() : log
      const committer = await log2.committer('slot-other')
      await committer.commit([0, 1, 2].map(partition => numbered(name, partition, 'after', 1)))
      const values = valuesOf(await readAll(log2, name)).sort()
      const after = ['after-0', 'after-0', 'after-0']
      assert.deepEqual(values, how === 'abort' ? after : [...after, 'open-0', 'open-0', 'open-1', 'open-1', 'open-2'])
      await reader.close()
    })
  }

  test('the newer committer fences the older one', ['fencing'], async ({ log, topic }) => {
    const name = await topic(2)
    const older = await log.committer('slot-0')
    await older.commit([numbered(name, 0, 'older', 1)])
    const newer = await log.committer('slot-0')
    const other = await log.committer('slot-1')
    await rejectsWith('SLOT_FENCED', () => older.commit([numbered(name, 0, 'never', 1), numbered(name, 1, 'never', 1)]))
    await newer.commit([numbered(name, 0, 'newer', 1)])
    await other.commit([numbered(name, 1, 'other', 1)])
    await assert.rejects(older.commit([numbered(name, 0, 'never', 1)]))
    assert.deepEqual(valuesOf(await readAll(log, name)), ['older-0', 'newer-0', 'other-0'])
  })

  test('of overlapping committers, each commit shows as a whole or not at all', ['fencing'], async ({ log, topic }) => {
    const name = await topic(2)
    const outcomes = new Map<string, boolean>()
    let current = await log.committer('slot-0')
    for (let round = 0; round < 12; round++) {
      const value = `round-${round}`
      const both = [0, 1].map(partition => ({ topic: name, partition, records: [record('k', value)] }))
      const committing = current.commit(both).then(
        () => outcomes.set(value, true),
        error => {
          assert.ok(isWeirError(error), `${error}`)
          // an error other than fencing leaves the outcome open
          if (error.code === 'SLOT_FENCED') outcomes.set(value, false)
        },
      )
      const next = log.committer('slot-0')
      if (round % 2 === 0) await committing
      current = await next
      await committing
    }
    await current.commit([0, 1].map(partition => ({ topic: name, partition, records: [record('k', 'last')] })))
    const records = await readAll(log, name)
    const [left, right] = [0, 1].map(partition => valuesOf(records.filter(read => read.partition === partition)))
    assert.deepEqual(left, right)
    for (const [value, committed] of outcomes) assert.equal(left!.includes(value), committed, value)
    assert.equal(left![left!.length - 1], 'last')
  })

  test('a fenced commit that was under way never shows later', ['fencing', 'openTransaction'], async context => {
    const { log, topic, openTransaction } = context
    const name = await topic(1)
    assert.ok(openTransaction !== undefined)
    const open = await openTransaction('slot-0', [numbered(name, 0, 'under-way', 2)])
    const newer = log.committer('slot-0')
    await open.end('commit')
    const live = await newer
    // I4: whatever the older transaction became, it became it before the newer committer had its turn.
    const before = await readAll(log, name)
    assert.ok(before.length === 0 || before.length === 2, `${before.length} of 2 records`)
    await live.commit([numbered(name, 0, 'newer', 1)])
    assert.deepEqual(valuesOf(await readAll(log, name)), [...valuesOf(before), 'newer-0'])
  })

  test('after an indefinite commit the committer is dead', ['indefiniteCommit'], async context => {
    const { topic, indefiniteCommit } = context
    const name = await topic(1)
    assert.ok(indefiniteCommit !== undefined)
    const { commit, again } = await indefiniteCommit('slot-0', [numbered(name, 0, 'open', 2)])
    await rejectsWith('COMMIT_INDEFINITE', commit)
    await assert.rejects(again)
    await assert.rejects(again)
    const log = await context.reopen()
    const live = await log.committer('slot-0')
    const before = await readAll(log, name)
    assert.ok(before.length === 0 || before.length === 2, `${before.length} of 2 records`)
    await live.commit([numbered(name, 0, 'after', 1)])
    assert.deepEqual(valuesOf(await readAll(log, name)), [...valuesOf(before), 'after-0'])
  })

  test('a closed committer commits nothing', ['transactions'], async ({ log, topic }) => {
    const name = await topic(1)
    const committer = await log.committer('slot-0')
    await committer.close()
    await assert.rejects(committer.commit([numbered(name, 0, 'a', 1)]))
    assert.deepEqual(await readAll(log, name), [])
  })

  test(
    'everything is there after opening again; offsets go on increasing',
    ['reopen', 'transactions'],
    async context => {
      const name = await context.topic(2)
      let log = context.log
      const expected: string[] = []
      let before: readonly unknown[] = []
      for (let round = 0; round < 4; round++) {
        const committer = await log.committer('slot-0')
        await committer.commit([numbered(name, round % 2, `r${round}`, 3)])
        expected.push(`r${round}-0`, `r${round}-1`, `r${round}-2`)
        log = await context.reopen()
        assert.equal(await log.partitionCount(name), 2)
        const records = await readAll(log, name)
        assert.deepEqual(valuesOf(records).sort(), [...expected].sort())
        assertIncreasing(records)
        for (const record of before)
          assert.ok(records.some(read => JSON.stringify(read.value) === JSON.stringify(record)))
        before = valuesOf(records)
      }
    },
  )

  test('a trimmed log is still trimmed after opening again', ['reopen', 'trim'], async context => {
    const name = await context.topic(1)
    await context.put(numbered(name, 0, 'a', 10))
    const all = await readAll(context.log, name)
    await context.trimmer!.trim({
      topic: name,
      partition: 0,
      offset: (await context.log.range({ topic: name, partition: 0 })).latest,
    })
    const log = await context.reopen()
    const { earliest, latest } = await log.range({ topic: name, partition: 0 })
    assert.equal(earliest, latest)
    assert.ok(earliest > all[9]!.offset)
    const committer = await log.committer('slot-0')
    await committer.commit([numbered(name, 0, 'b', 1)])
    const [record] = await readAll(log, name)
    assert.ok(record !== undefined && record.offset >= latest)
  })

  test('an unknown topic or partition is an error everywhere', [], async ({ log, topic }) => {
    const name = await topic(2)
    const missing = 'conformance-no-such-topic'
    const earliest = (await log.range({ topic: name, partition: 0 })).earliest
    await rejectsWith('UNKNOWN_TOPIC', () => log.partitionCount(missing))
    for (const at of [
      { topic: missing, partition: 0 },
      { topic: name, partition: 2 },
    ]) {
      await rejectsWith('UNKNOWN_TOPIC', () => log.range(at))
      await rejectsWith('UNKNOWN_TOPIC', () => log.reader([{ ...at, offset: earliest }]))
    }
  })

  test(
    'creating a topic again is nothing, with another partition count an error',
    ['createTopic'],
    async ({ log, topic, put }) => {
      const name = await topic(3)
      await put(numbered(name, 2, 'a', 1))
      await log.createTopic(name, 3)
      await rejectsWith('TOPIC_MISMATCH', () => log.createTopic(name, 4))
      assert.equal(await log.partitionCount(name), 3)
      assert.deepEqual(valuesOf(await readAll(log, name)), ['a-0'])
      await Promise.all([log.createTopic(`${name}-twice`, 2), log.createTopic(`${name}-twice`, 2)])
      assert.equal(await log.partitionCount(`${name}-twice`), 2)
    },
  )

  test(
    'a producer appends without a transaction and learns the offsets',
    ['producer'],
    async ({ log, topic, producer }) => {
      const name = await topic(2)
      assert.ok(producer !== undefined)
      const calls = Array.from({ length: 50 }, (_, i) =>
        producer.append([numbered(name, i % 2, `call-${i}`, 1 + (i % 3))]),
      )
      const offsets = await Promise.all(calls)
      await Promise.all([producer.sync(), producer.sync()])
      const records = await readAll(log, name)
      assertIncreasing(records)
      for (const [i, [first]] of offsets.entries()) {
        const found = records.find(read => read.partition === i % 2 && read.offset === first)
        assert.equal(found?.value, `call-${i}-0`)
      }
      assert.equal(
        records.length,
        Array.from({ length: 50 }, (_, i) => 1 + (i % 3)).reduce((a, b) => a + b),
      )
      await rejectsWith('UNKNOWN_TOPIC', () => producer.append([numbered(name, 0, 'x', 1), numbered(name, 7, 'x', 1)]))
      assert.equal((await readAll(log, name)).length, records.length)
    },
  )

  test(
    'a reader beside a committer sees each transaction once, in order',
    ['transactions', 'growth'],
    async ({ log, topic }) => {
      const name = await topic(2)
      const reader = await readerOf(log, name)
      const committer = await log.committer('slot-0')
      const rounds = 40
      const reading = read(reader, rounds * 4)
      for (let round = 0; round < rounds; round++) {
        await committer.commit([numbered(name, 0, `${round}`, 3), numbered(name, 1, `${round}`, 1)])
      }
      const records = await reading
      assertIncreasing(records)
      assert.deepEqual(
        valuesOf(records.filter(({ partition }) => partition === 0)),
        Array.from({ length: rounds }, (_, round) => [`${round}-0`, `${round}-1`, `${round}-2`]).flat(),
      )
      await until('the end', async () => (flatten(await reader.poll(limits())).length === 0 ? true : undefined))
      await reader.close()
    },
  )
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { offset } from '../port.js'
import { type DbBatch, type EmbeddedDb, keyspace } from './index.js'
import { entriesEnd, entryKey, lastOffsetIn } from './keys.js'
import { type Gate, limits, start, value, withTopic } from './opened-for-tests.js'

describe('damage to the embedded log', () => {
  async function damaged(damage: (gate: Gate) => Promise<void>): Promise<() => Promise<unknown>> {
    const made = await withTopic()
    for (const text of ['a', 'b', 'c']) await made.log.append([value(text)])
    await damage(made.gate)
    return async () => {
      try {
        const log = await made.reopen()
        return await (await log.reader([start()])).poll(limits)
      } finally {
        await made.close()
      }
    }
  }

  async function change(gate: Gate, fill: (batch: DbBatch, values: readonly Buffer[]) => void): Promise<void> {
    const entries = await gate.range({ gte: entryKey(1, 0, 0), lt: entriesEnd(1, 0), limit: 10 })
    assert.equal(entries.length, 3)
    const batch = gate.batch()
    fill(
      batch,
      entries.map(entry => entry.value),
    )
    await gate.db.write(batch, { sync: false })
  }

  it('a changed byte is found', async () => {
    const poll = await damaged(gate =>
      change(gate, (batch, values) => {
        values[1]![20]! ^= 1
        batch.put(entryKey(1, 0, 1), values[1]!)
      }),
    )
    await assert.rejects(poll, { code: 'LOG_CORRUPT' })
  })

  it('an entry in the place of another is found', async () => {
    const poll = await damaged(gate => change(gate, (batch, values) => batch.put(entryKey(1, 0, 1), values[2]!)))
    await assert.rejects(poll, { code: 'LOG_CORRUPT' })
  })

  it('a lost entry is found, at the beginning too', async () => {
    for (const lost of [0, 1]) {
      const poll = await damaged(gate => change(gate, batch => batch.delete(entryKey(1, 0, lost))))
      await assert.rejects(poll, { code: 'LOG_CORRUPT' })
    }
  })

  it('a newer format is refused', async () => {
    const poll = await damaged(gate => change(gate, batch => batch.put(Buffer.of(keyspace, 0x76), Buffer.of(2))))
    await assert.rejects(poll, { code: 'STATE_FORMAT' })
  })

  it('a topic that cannot be read is an error of its own', async () => {
    const poll = await damaged(gate => change(gate, batch => batch.put(Buffer.from('\u004ct' + 't'), Buffer.of(1))))
    await assert.rejects(poll, { code: 'LOG_CORRUPT' })
  })
})

describe('trimming the embedded log', () => {
  const entryCount = async (gate: EmbeddedDb): Promise<number> =>
    (await gate.range({ gte: entryKey(1, 0, 0), lt: entriesEnd(1, 0), limit: 10_000 })).length

  it('deletes entries, but not the one that holds the new beginning', async () => {
    const { log, gate, close } = await withTopic()
    for (let i = 0; i < 600; i++)
      await log.append([{ ...value('a'), records: Array(3).fill({ key: null, value: null }) }])
    await log.trim(start(0, 1_000)) // the middle of the entry 999..1001
    assert.equal(await entryCount(gate), 600 - 333)
    const [batch] = await (await log.reader([start(0, 1_000)])).poll(limits)
    assert.equal(batch?.baseOffset, 1_000n)
    await close()
  })

  it('a trim that was cut short keeps its bound, and the next one cleans up', async () => {
    const made = await withTopic()
    for (let i = 0; i < 10; i++) await made.log.append([value('a')])
    const write = made.gate.write.bind(made.gate)
    let writes = 0
    made.gate.write = (batch, options) =>
      ++writes === 2 ? Promise.reject(new Error('power cut')) : write(batch, options)
    await assert.rejects(made.log.trim(start(0, 10)))
    const log = await made.reopen()
    assert.deepEqual(await log.range(start()), { earliest: offset(10), latest: offset(10) })
    assert.equal(await entryCount(made.gate), 10)
    await log.append([value('b')])
    await log.trim(start(0, 11))
    assert.equal(await entryCount(made.gate), 0)
    await made.close()
  })
})

describe('keys of the embedded log', () => {
  it('sort by offset, up to 2^53', () => {
    const offsets = fc.maxSafeNat()
    fc.assert(
      fc.property(offsets, offsets, (a, b) => {
        const [left, right] = [entryKey(1, 2, a), entryKey(1, 2, b)]
        assert.equal(lastOffsetIn(left), a)
        assert.equal(Math.sign(Buffer.compare(left, right)), Math.sign(a - b))
      }),
    )
  })
})

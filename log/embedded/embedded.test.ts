import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { millis } from '../../kernel/index.js'
import { type LogUnderTest, logConformance } from '../conformance/index.js'
import { keyspace } from './index.js'
import { entriesEnd, entryKey, lastOffsetIn } from './keys.js'
import { limits, opened, start, value, withTopic } from './opened-for-tests.js'
import { writesWaitingMax } from './writer.js'

logConformance('embedded log', async (): Promise<LogUnderTest> => {
  const { log, gate, reopen, close } = await opened()
  return {
    log,
    producer: log,
    trimmer: log,
    reopen,
    async openTransaction(id, appends) {
      const committer = await log.committer(id)
      gate.hold()
      const committing = committer.commit(appends)
      committing.catch(() => {})
      return {
        async end(how) {
          gate.end(how === 'commit' ? 'release' : 'fail')
          if (how === 'commit') await committing
          else await assert.rejects(committing)
        },
      }
    },
    async indefiniteCommit(id, appends) {
      const committer = await log.committer(id)
      gate.failNext()
      return { commit: () => committer.commit(appends), again: () => committer.commit(appends) }
    },
    dispose: close,
  }
})

describe('writes of the embedded log', () => {
  it('a commit is synchronous, an append is not; what waits goes together and shares the sync', async () => {
    const { log, gate, close } = await withTopic(2)
    const committer = await log.committer('slot-0')
    gate.writes.length = 0
    await log.append([value('a')])
    await committer.commit([value('b'), value('c', 1)])
    assert.deepEqual(
      gate.writes.map(write => write.sync),
      [false, true],
    )
    gate.writes.length = 0
    gate.hold()
    const first = log.append([value('d')])
    await new Promise(resolve => setImmediate(resolve))
    const rest = Array.from({ length: 100 }, (_, i) => log.append([value(`${i}`, i % 2)]))
    const synced = [log.sync(), log.sync(), committer.commit([value('e')])]
    gate.end('release')
    await Promise.all([first, ...rest, ...synced])
    // d alone; then everything that waited, as one entry a partition
    assert.deepEqual(gate.writes, [
      { sync: false, operations: 1 },
      { sync: true, operations: 2 },
    ])
    await close()
  })

  it('sync writes only when something is not synced yet', async () => {
    const { log, gate, close } = await withTopic()
    await log.sync()
    assert.equal(gate.writes.length, 0)
    await log.append([value('a')])
    await Promise.all([log.sync(), log.sync()])
    await log.sync()
    assert.deepEqual(gate.writes, [
      { sync: false, operations: 1 },
      { sync: true, operations: 1 },
    ])
    await close()
  })

  it('a trim reads keys alone, in pages, and looks at nothing twice', async () => {
    const { log, gate, close } = await withTopic()
    for (let i = 0; i < 30; i++) await log.append(Array.from({ length: 100 }, () => value('x')))
    for (let i = 0; i < 2_000; i++) await log.append([value('y')])
    gate.ranges.length = 0
    gate.writes.length = 0
    await log.trim(start(0, 4_500))
    // 30 entries of a hundred, and 1,500 of one
    assert.deepEqual(gate.writes, [
      { sync: true, operations: 1 },
      { sync: false, operations: 1_024 },
      { sync: false, operations: 506 },
    ])
    assert.ok(gate.ranges.every(range => range.keysOnly === true))
    gate.ranges.length = 0
    await log.trim(start(0, 4_600))
    assert.deepEqual(
      gate.ranges.map(({ gte, lt }) => [lastOffsetIn(gte), lastOffsetIn(lt)]),
      [[4_500, 4_600]],
    )
    const left = await gate.db.range({ gte: entryKey(1, 0, 0), lt: entriesEnd(1, 0), limit: 9_999 })
    assert.equal(left.length, 400)
    assert.deepEqual(gate.compacted, [])
    await close()
  })

  it('the space of what was trimmed is asked back each so many records', async () => {
    const { log, gate, close } = await withTopic()
    const many = {
      topic: 't',
      partition: 0,
      records: Array.from({ length: 60_000 }, () => ({ key: null, value: null })),
    }
    for (let i = 0; i < 6; i++) await log.append([many])
    for (const at of [100_000, 262_143, 262_144, 300_000, 360_000]) await log.trim(start(0, at))
    assert.deepEqual(
      gate.compacted.map(([gte, lt]) => [lastOffsetIn(gte), lastOffsetIn(lt)]),
      [[0, 262_144]],
    )
    await close()
  })

  it('replay commits without a sync', async () => {
    const { log, gate, close } = await withTopic(1, { syncCommits: false })
    const committer = await log.committer('slot-0')
    await committer.commit([value('a')])
    assert.equal(gate.writes[gate.writes.length - 1]?.sync, false)
    await close()
  })

  it('after a failed write nothing is written and nothing of it is read', async () => {
    const { log, gate, close } = await withTopic()
    const reader = await log.reader([start()])
    const committer = await log.committer('slot-0')
    await log.append([value('before')])
    gate.failNext()
    const failing = [log.append([value('x')]), committer.commit([value('y')])]
    for (const write of failing) await assert.rejects(write, { code: 'COMMIT_INDEFINITE' })
    await assert.rejects(log.append([value('z')]), { code: 'BACKEND_FAILED' })
    await assert.rejects(log.committer('slot-0'), { code: 'BACKEND_FAILED' })
    await assert.rejects(committer.commit([value('y')]), { code: 'COMMIT_INDEFINITE' })
    const batches = await reader.poll(limits)
    assert.deepEqual([batches.length, batches[0]?.count, (await log.range(start())).latest], [1, 1, 1n])
    await close()
  })

  it('calls that wait are bounded', async () => {
    const { log, gate, close } = await withTopic()
    gate.hold()
    const first = log.append([value('first')])
    await new Promise(resolve => setImmediate(resolve))
    const waiting = Array.from({ length: writesWaitingMax }, () => log.append([value('x')]))
    await assert.rejects(log.append([value('one more')]), { code: 'QUEUE_FULL' })
    gate.end('release')
    await Promise.all([first, ...waiting])
    assert.equal((await log.range(start())).latest, BigInt(writesWaitingMax + 1))
    await close()
  })

  it('its keys begin with its own byte, and others in the database stay', async () => {
    const { log, gate, close } = await withTopic()
    const others = gate.batch()
    for (const byte of [0, keyspace - 1, keyspace + 1, 0xff]) others.put(Buffer.of(byte, 0x62), Buffer.of(1))
    await gate.db.write(others, { sync: false })
    await log.append([value('a')])
    await (await log.committer('slot-0')).commit([value('b')])
    await log.trim(start(0, 1))
    await log.sync()
    const all = await gate.range({ gte: Buffer.of(0), lt: Buffer.of(0xff, 0xff), limit: 100 })
    const foreign = all.filter(entry => entry.key[0] !== keyspace)
    assert.deepEqual(
      foreign.map(entry => entry.key[0]),
      [0, keyspace - 1, keyspace + 1, 0xff],
    )
    assert.ok(all.length > foreign.length + 3)
    await close()
  })

  it('appends of one record each are polled as one batch', async () => {
    const { log, close } = await withTopic()
    for (let i = 0; i < 30; i++) await log.append([value(`${i}`)])
    const [batch, ...others] = await (await log.reader([start(0, 3)])).poll(limits)
    assert.deepEqual([batch?.count, batch?.baseOffset, batch?.nextOffset, others.length], [27, 3n, 30n, 0])
    await close()
  })

  it('a poll sees all partitions of a transaction or none', async () => {
    const { log, close } = await withTopic(3)
    const committer = await log.committer('slot-0')
    const reader = await log.reader([start(0), start(1), start(2)])
    let writing = true
    const writer = (async () => {
      for (let i = 0; i < 60; i++) await committer.commit([value(`${i}`), value(`${i}`, 1), value(`${i}`, 2)])
      writing = false
    })()
    while (writing) {
      await reader.poll({ ...limits, waitMsMax: millis(5) })
      assert.equal(new Set(reader.positions().map(position => position.offset)).size, 1)
    }
    await writer
    await close()
  })
})

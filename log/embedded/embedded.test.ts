import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import { millis } from '../../kernel/index.js'
import { type LogUnderTest, logConformance } from '../conformance/index.js'
import { type Append, offset, type PollLimits } from '../port.js'
import { type DbBatch, type EmbeddedDb, EmbeddedLog, keyspace } from './index.js'
import { entriesEnd, entryKey, lastOffsetIn } from './keys.js'
import { openRocksForTests, type RocksForTests } from './rocks-for-tests.js'
import { writesWaitingMax } from './writer.js'

const directories: string[] = []

after(async () => {
  for (const directory of directories) await rm(directory, { recursive: true, force: true })
})

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'weir-log-'))
  directories.push(directory)
  return directory
}

/** A database whose writes can be held, failed and counted. */
class Gate implements EmbeddedDb {
  readonly db: RocksForTests
  readonly writes: { sync: boolean; operations: number }[] = []
  #held: Promise<'release' | 'fail'> | undefined
  #end: (how: 'release' | 'fail') => void = () => {}

  constructor(db: RocksForTests) {
    this.db = db
  }

  hold(): void {
    this.#held = new Promise(resolve => {
      this.#end = resolve
    })
  }

  end(how: 'release' | 'fail'): void {
    this.#held = undefined
    this.#end(how)
  }

  /** The next write fails, and is not written. */
  failNext(): void {
    this.hold()
    this.#end('fail')
  }

  range(options: Parameters<EmbeddedDb['range']>[0]): ReturnType<EmbeddedDb['range']> {
    return this.db.range(options)
  }

  batch(): DbBatch {
    return this.db.batch()
  }

  async write(batch: DbBatch, options: { readonly sync: boolean }): Promise<void> {
    this.writes.push({ sync: options.sync, operations: batch.operations })
    if ((await this.#held) === 'fail') {
      this.#held = undefined
      throw new Error('no space left on device')
    }
    await this.db.write(batch, options)
  }
}

interface Opened {
  readonly log: EmbeddedLog
  /** Of the log that is open now. */
  readonly gate: Gate
  readonly reopen: () => Promise<EmbeddedLog>
  readonly close: () => Promise<void>
}

async function opened(options: { syncCommits?: boolean } = {}): Promise<Opened> {
  const directory = await temporary()
  let gate = new Gate(await openRocksForTests(directory))
  let log = await EmbeddedLog.open({ db: gate, ...options })
  const close = async (): Promise<void> => {
    await log.close()
    await gate.db.close()
  }
  return {
    log,
    get gate() {
      return gate
    },
    async reopen() {
      await close()
      gate = new Gate(await openRocksForTests(directory))
      log = await EmbeddedLog.open({ db: gate })
      return log
    },
    close,
  }
}

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

const value = (text: string, partition = 0): Append => ({
  topic: 't',
  partition,
  records: [{ key: null, value: Buffer.from(text) }],
})
const limits: PollLimits = { recordsMax: 1_000, bytesMax: 1 << 20, waitMsMax: millis(0) }
const start = (partition = 0, at = 0) => ({ topic: 't', partition, offset: offset(at) })

async function withTopic(partitions = 1, options: { syncCommits?: boolean } = {}): Promise<Opened> {
  const made = await opened(options)
  await made.log.createTopic('t', partitions)
  made.gate.writes.length = 0
  return made
}

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

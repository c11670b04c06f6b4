/** The decision view under look-ups that overlap: none may miss a decision that was in the log before it was made. */
import assert from 'node:assert/strict'
import { describe, it, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { millis, systemClock } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { offset, type RecordBatch } from '../../log/index.js'
import { MemoryDisk, type StateBackend } from '../../state/index.js'
import { DecisionView } from './view.js'

const lookUps = 40

/** Answers late, as a disk does, so that a fold is under way while others ask. */
function slow(backend: StateBackend): StateBackend {
  return {
    getMany: async keys => {
      await sleep(3)
      return await backend.getMany(keys)
    },
    range: options => backend.range(options),
    snapshot: range => backend.snapshot(range),
    batch: () => backend.batch(),
    write: async (batch, options) => {
      await sleep(3)
      await backend.write(batch, options)
    },
    close: () => backend.close(),
  }
}

test('a look-up during a fold sees what the fold is about to write', async () => {
  const disk = new MemoryDisk().open()
  const log = await EmbeddedLog.open({ db: disk, clock: systemClock })
  await log.createTopic('decisions', 1)
  const view = await DecisionView.open(log, slow(disk), 'decisions')
  for (let round = 0; round < 5; round++) {
    const id = `t${round}`
    const value = Buffer.from(JSON.stringify({ transaction_id: id, customer_id: 'c' }))
    await log.append([{ topic: 'decisions', partition: 0, records: [{ key: Buffer.from('c'), value }] }])
    const asked = Array.from({ length: lookUps }, async (_, i) => {
      await sleep(i % 10)
      return (await view.find(id, i % 2 === 0 ? 'c' : undefined)).kind
    })
    assert.deepEqual(await Promise.all(asked), Array<string>(lookUps).fill('found'))
  }
  await view.close()
  await log.close()
})

test('a view that nobody asks does not fall behind for long', async () => {
  const disk = new MemoryDisk().open()
  let writes = 0
  const counting: StateBackend = {
    ...slow(disk),
    write: async (batch, options) => {
      await disk.write(batch, options)
      writes++
    },
  }
  const log = await EmbeddedLog.open({ db: disk, clock: systemClock })
  await log.createTopic('decisions', 1)
  const view = await DecisionView.open(log, counting, 'decisions')
  const records = Array.from({ length: 5_000 }, (_, i) => ({
    key: Buffer.from('c'),
    value: Buffer.from(JSON.stringify({ transaction_id: `t${i}`, customer_id: 'c' })),
  }))
  await log.append([{ topic: 'decisions', partition: 0, records }])
  view.onCommitted(100)
  await sleep(20)
  assert.equal(writes, 0)
  view.onCommitted(4_900)
  // In steps: whoever waits for a decision meanwhile waits for one step.
  const steps = Math.ceil(5_000 / 256)
  for (let tries = 0; writes < steps && tries < 500; tries++) await sleep(10)
  assert.equal(writes, steps)
  await view.close()
  await log.close()
})

describe('a view whose log is trimmed', () => {
  const partition = { topic: 'decisions', partition: 0 }
  const decision = (transaction_id: string, customer_id: string, n: number) => ({
    key: Buffer.from(customer_id),
    value: Buffer.from(JSON.stringify({ transaction_id, customer_id, n })),
  })

  async function open(records: readonly ReturnType<typeof decision>[]) {
    const disk = new MemoryDisk()
    const backend = disk.open()
    const log = await EmbeddedLog.open({ db: backend, clock: systemClock })
    await log.createTopic('decisions', 1)
    for (const record of records) await log.append([{ ...partition, records: [record] }])
    const view = await DecisionView.open(log, backend, 'decisions')
    const batchFrom = async (from: number): Promise<RecordBatch> => {
      const reader = await log.reader([{ ...partition, offset: offset(from) }])
      const [batch] = await reader.poll({ recordsMax: 100, bytesMax: 1 << 20, waitMsMax: millis(0) })
      await reader.close()
      return batch!
    }
    const kinds = async (ids: readonly (readonly [string, string?])[]): Promise<string[]> =>
      await Promise.all(ids.map(async ([id, customer]) => (await view.find(id, customer)).kind))
    return { disk, log, view, batchFrom, kinds }
  }

  it('forgets what is about to go, and nothing else', async () => {
    const { log, view, batchFrom, kinds, disk } = await open([
      decision('a', 'c', 0),
      decision('b', 'c', 1),
      decision('a', 'd', 2),
      decision('e', 'c', 3),
    ])
    assert.deepEqual(await kinds([['a'], ['b'], ['e']]), ['ambiguous', 'found', 'found'])
    const before = disk.entries
    await view.forget(await batchFrom(0), 2)
    assert.equal(disk.entries, before - 2)
    assert.deepEqual(await kinds([['a', 'c'], ['a'], ['b'], ['e']]), ['unknown', 'found', 'unknown', 'found'])
    await log.trim({ ...partition, offset: offset(2) })
    assert.deepEqual(await kinds([['a', 'c'], ['a'], ['b'], ['e']]), ['unknown', 'found', 'unknown', 'found'])
    await view.close()
  })

  it('keeps the entry of an id that was decided again', async () => {
    const { log, view, batchFrom } = await open([decision('a', 'c', 0), decision('b', 'c', 1), decision('a', 'c', 2)])
    await view.forget(await batchFrom(0), 2)
    await log.trim({ ...partition, offset: offset(2) })
    const found = await view.find('a', 'c')
    assert.equal(found.kind === 'found' && (JSON.parse(found.decision.toString()) as { n: number }).n, 2)
    await view.close()
  })

  it('does not know a decision that was trimmed without it', async () => {
    const { log, view, kinds } = await open([decision('a', 'c', 0), decision('b', 'c', 1)])
    await log.trim({ ...partition, offset: offset(1) })
    assert.deepEqual(await kinds([['a', 'c'], ['a'], ['b', 'c']]), ['unknown', 'unknown', 'found'])
    await view.close()
  })

  it('folds what nobody has asked for yet before it forgets', async () => {
    const { log, view, batchFrom, disk } = await open([])
    for (let n = 0; n < 3; n++) await log.append([{ ...partition, records: [decision(`t${n}`, 'c', n)] }])
    const before = disk.entries
    await view.forget(await batchFrom(0), 2)
    assert.equal(disk.entries, before + 2, 'one entry, and the position of the fold')
    assert.equal((await view.find('t0', 'c')).kind, 'unknown')
    assert.equal((await view.find('t2', 'c')).kind, 'found')
    await view.close()
  })
})

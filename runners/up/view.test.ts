/** The decision view under look-ups that overlap: none may miss a decision that was in the log before it was made. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
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
  view.onCommitted(1_000)
  await sleep(20)
  assert.equal(writes, 0)
  view.onCommitted(4_000)
  for (let tries = 0; writes < 2 && tries < 500; tries++) await sleep(10)
  assert.equal(writes, 2)
  await view.close()
  await log.close()
})

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

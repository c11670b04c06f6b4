/**
 * How a topology is tested: by the real slot over a log in memory, with a clock that only you move. `send` returns when all
 * is committed, so nothing waits and nothing polls. In a project of your own this file is NAME.test.ts.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { TopologyDriver } from '../testing/index.js'
import { sessions, type Visit } from './own-topology.js'

const minute = 60_000
const noon = Date.UTC(2024, 0, 1, 12)
const visits = (visitor: string, ...atMinutes: number[]): Visit[] =>
  atMinutes.map(at => ({ visitor, atMs: noon + at * minute }))

it('a session ends half an hour after its last visit, and no sooner', async () => {
  await using driver = await TopologyDriver.start(sessions, { nowMs: noon })
  await driver.send('visits', visits('anna', 0, 10, 29))
  assert.deepEqual(await driver.read('sessions'), [])
  // somebody else's visit moves time on: 5 minutes of disorder are waited for
  await driver.send('visits', visits('ben', 63))
  assert.deepEqual(await driver.read('sessions'), [])
  await driver.send('visits', visits('ben', 65))
  const anna = { visitor: 'anna', visits: 3, fromMs: noon, toMs: noon + 29 * minute }
  assert.deepEqual(await driver.read('sessions'), [anna])
})

it('a visit in the wrong order belongs to its session all the same', async () => {
  await using driver = await TopologyDriver.start(sessions, { nowMs: noon })
  await driver.send('visits', [...visits('anna', 20, 17, 4), ...visits('ben', 120)])
  const [session] = await driver.read('sessions')
  assert.deepEqual(session, { visitor: 'anna', visits: 3, fromMs: noon + 4 * minute, toMs: noon + 20 * minute })
})

it('a crash loses nothing: state is folded again from what was committed', async () => {
  await using driver = await TopologyDriver.start(sessions, { nowMs: noon })
  await driver.send('visits', visits('anna', 0, 10))
  await driver.crash()
  await driver.send('visits', [...visits('anna', 20), ...visits('ben', 120)])
  assert.deepEqual((await driver.read('sessions')).length, 1)
  assert.equal(((await driver.read('sessions'))[0] as { visits: number }).visits, 3)
})

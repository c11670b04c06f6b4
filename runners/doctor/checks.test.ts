import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { systemClock, WeirError } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { openRocksDb } from '../../state/index.js'
import { finding } from './check.js'
import { checkClock, checkOwner, lookInside } from './data-dir.js'
import { checkNode } from './machine.js'

describe('checks', () => {
  it('know which Node.js will do, as scripts/node-version.mjs', () => {
    const usable = (version: string): boolean => checkNode(version).status === 'ok'
    assert.deepEqual(['20.19.0', '20.20.1', '22.2.0', '23.0.0', '24.1.0'].filter(usable).length, 5)
    assert.deepEqual(['18.20.0', '20.18.9', '21.7.3', '22.1.0'].filter(usable), [])
  })

  it('compare the clock with the newest record', () => {
    const now = Date.UTC(2026, 5, 1)
    const statusOf = (nowMs: number, newestMs: number | undefined): string => checkClock(nowMs, newestMs).status
    assert.equal(statusOf(now, undefined), 'ok')
    assert.equal(statusOf(now, now - 1), 'ok')
    assert.equal(statusOf(now, now + 60_000), 'ok')
    assert.equal(statusOf(now, now + 60_001), 'fail')
    assert.equal(statusOf(Date.UTC(1970, 0, 2), undefined), 'fail')
  })

  it('read when the newest record came in, from a directory that nobody has', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-doctor-test-'))
    after(() => rmSync(folder, { recursive: true, force: true }))
    assert.deepEqual(await lookInside(folder), { owner: 'nobody', newestMs: undefined })
    const backend = await openRocksDb(join(folder, 'db'))
    const log = await EmbeddedLog.open({ db: backend, clock: { ...systemClock, nowMs: () => 1_700_000_000_000 } })
    await log.createTopic('transactions', 1)
    await log.append([{ topic: 'transactions', partition: 0, records: [{ key: null, value: Buffer.from('{}') }] }])
    await log.close()
    const inUse = await lookInside(folder)
    assert.equal(inUse.owner, 'another process')
    assert.equal(checkOwner(folder, inUse, true).status, 'ok')
    assert.equal(checkOwner(folder, inUse, false).status, 'fail')
    await backend.close()
    assert.deepEqual(await lookInside(folder), { owner: 'nobody', newestMs: 1_700_000_000_000 })
  })

  it('that throw have failed, with the advice of their error', async () => {
    const known = await finding('x', () => {
      throw new WeirError('STATE_FORMAT', 'it is newer; really')
    })
    assert.deepEqual([known.status, known.what], ['fail', 'STATE_FORMAT: it is newer; really'])
    assert.match(known.advice, /Weir version/)
    const unknown = await finding('x', () => {
      throw new Error('odd')
    })
    assert.deepEqual([unknown.status, unknown.what], ['fail', 'odd'])
  })
})

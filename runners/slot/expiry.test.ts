/** Idle keys expire by event time; a key that is dated far behind the others does not expire as it is written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { days, eventTime, minutes } from '../../kernel/index.js'
import { TopologyDriver } from '../../testing/index.js'
import { json, toJson, topology } from '../../topology/index.js'

interface Payment {
  readonly id: string
  readonly customer: string
  readonly atMs: number
}

const now = Date.UTC(2024, 5, 1)

function deduped() {
  const app = topology('expiry')
  app
    .source(
      'payments',
      json<Payment>('payment', value => value as Payment),
      {
        eventTime: p => eventTime(p.atMs),
        outOfOrderness: minutes(10),
      },
    )
    .keyBy('by-customer', p => p.customer)
    .dedupe('dedupe', { idOf: p => p.id, fingerprintOf: [p => p.id], horizon: days(67) })
    .to(
      'firsts',
      toJson<Payment>('payment', p => p.customer),
    )
  return app
}

const payment = (id: string, customer: string, atMs: number): Payment => ({ id, customer, atMs })

test('a payment of ninety days ago is decided once, however often it comes', async () => {
  const driver = await TopologyDriver.start(deduped(), { nowMs: now })
  await driver.send('payments', [payment('fresh', 'other', now)])
  const old = payment('old', 'c', now - days(90))
  for (let i = 0; i < 4; i++) await driver.send('payments', [old])
  await driver.crash()
  await driver.send('payments', [old])
  assert.equal((await driver.read('firsts')).length, 2)
  assert.equal(driver.counts.get('duplicates'), 4)
  await driver.close()
})

test('a key that nobody touches for longer than its horizon is forgotten', async () => {
  const driver = await TopologyDriver.start(deduped(), { nowMs: now })
  const first = payment('a', 'c', now)
  await driver.send('payments', [first])
  driver.advance(days(68))
  await driver.send('payments', [payment('later', 'other', now + days(68))])
  await driver.send('payments', [first])
  assert.equal((await driver.read('firsts')).length, 3)
  await driver.close()
})

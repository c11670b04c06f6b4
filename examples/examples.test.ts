import assert from 'node:assert/strict'
import { it } from 'node:test'
import { TopologyDriver } from '../testing/index.js'
import { spendingAlert } from './spending-alert.js'

const hour = 3_600_000
const start = Date.UTC(2024, 0, 1)

it('spending-alert tells whose spending jumps, and of nobody else', async () => {
  await using driver = await TopologyDriver.start(spendingAlert, { nowMs: start + 48 * hour })
  const payment = (customer: string, hours: number, cents: number) => ({ customer, cents, atMs: start + hours * hour })
  await driver.send('payments', [
    ...[0, 2, 4, 6].flatMap(at => [payment('anna', at, 1_000), payment('ben', at, 1_000)]),
    payment('anna', 8, 20_000),
    payment('ben', 8, 1_100),
  ])
  const alerts = (await driver.read('alerts')) as Record<string, unknown>[]
  assert.equal(alerts.length, 1)
  assert.deepEqual(alerts[0], {
    customer: 'anna',
    cents: 20_000,
    atMs: start + 8 * hour,
    count_1day: 5,
    sum_1hour: 20_000,
    mean_1day: 4_800,
  })
  // a crash forgets nothing: the day's history is folded again
  await driver.crash()
  await driver.send('payments', [payment('ben', 9, 30_000)])
  assert.deepEqual(
    ((await driver.read('alerts')) as { customer: string; count_1day: number }[]).map(alert => [
      alert.customer,
      alert.count_1day,
    ]),
    [
      ['anna', 5],
      ['ben', 6],
    ],
  )
})

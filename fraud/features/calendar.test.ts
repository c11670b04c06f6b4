import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eventTime } from '../../kernel/index.js'
import { amountInMajorUnits, isNight, isWeekend } from './calendar.js'

const at = (iso: string) => eventTime(Date.parse(iso))

test('the weekend is Saturday and Sunday, to the millisecond', () => {
  assert.equal(isWeekend(at('2018-04-06T23:59:59.999Z')), 0)
  assert.equal(isWeekend(at('2018-04-07T00:00:00.000Z')), 1)
  assert.equal(isWeekend(at('2018-04-08T23:59:59.999Z')), 1)
  assert.equal(isWeekend(at('2018-04-09T00:00:00.000Z')), 0)
  assert.equal(isWeekend(at('1970-01-01T00:00:00.000Z')), 0)
})

test('the night is hours 0 to 6, to the millisecond', () => {
  assert.equal(isNight(at('2018-04-01T00:00:00.000Z')), 1)
  assert.equal(isNight(at('2018-04-01T06:59:59.999Z')), 1)
  assert.equal(isNight(at('2018-04-01T07:00:00.000Z')), 0)
  assert.equal(isNight(at('2018-03-31T23:59:59.999Z')), 0)
})

test('both agree with Date at every time', () => {
  fc.assert(
    fc.property(fc.integer({ min: -4e12, max: 8e12 }), ms => {
      const date = new Date(ms)
      assert.equal(isWeekend(eventTime(ms)), date.getUTCDay() % 6 === 0 ? 1 : 0)
      assert.equal(isNight(eventTime(ms)), date.getUTCHours() <= 6 ? 1 : 0)
    }),
    { seed: 1 },
  )
})

test('amounts are divided by what the currency has', () => {
  assert.equal(amountInMajorUnits(5716, 'EUR'), 57.16)
  assert.equal(amountInMajorUnits(5716, 'JPY'), 5716)
  assert.equal(amountInMajorUnits(5716, 'KWD'), 5.716)
  assert.equal(amountInMajorUnits(1e15, 'EUR'), 1e13)
  assert.ok(Number.isNaN(amountInMajorUnits(1, 'XXX')))
})

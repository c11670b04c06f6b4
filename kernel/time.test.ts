import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  beginningOfTime,
  days,
  eventTime,
  formatEventTime,
  hours,
  millis,
  minus,
  minutes,
  plus,
  seconds,
  systemClock,
} from './index.js'

describe('time', () => {
  it('counts whole milliseconds in every unit', () => {
    assert.deepEqual(
      [millis(7), seconds(2), minutes(2), hours(2), days(2)],
      [7, 2_000, 120_000, 7_200_000, 172_800_000],
    )
  })

  it('adds and subtracts exactly at both ends of the allowed years', () => {
    const end = eventTime(Date.UTC(9999, 11, 31, 23, 59, 59, 999))
    assert.equal(plus(minus(end, days(37)), days(37)), end)
    assert.equal(minus(eventTime(0), days(1)), -86_400_000)
  })

  it('has a beginning before every event time, which stays before', () => {
    assert.ok(beginningOfTime < eventTime(Date.UTC(1, 0, 1)))
    assert.equal(plus(beginningOfTime, days(1)), beginningOfTime)
  })

  it('writes one form of time, in UTC with milliseconds', () => {
    assert.equal(formatEventTime(eventTime(0)), '1970-01-01T00:00:00.000Z')
    assert.equal(formatEventTime(eventTime(1_709_251_199_007)), '2024-02-29T23:59:59.007Z')
    assert.equal(formatEventTime(eventTime(Date.UTC(9999, 11, 31, 23, 59, 59, 999))), '9999-12-31T23:59:59.999Z')
  })

  it('has a wall clock that sleeps', async () => {
    const before = systemClock.nowMs()
    await systemClock.sleep(millis(1))
    assert.ok(Number.isInteger(before) && before > Date.UTC(2024, 0, 1))
  })
})

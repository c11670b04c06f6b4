import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  amountMinorMax,
  idProblem,
  notANumber,
  outOfRange,
  parseAmount,
  TimeParser,
  tooManyDecimals,
} from './fields.js'

const amount = (text: string, decimals = 2): number =>
  parseAmount(Buffer.from(text), 0, Buffer.byteLength(text), decimals)

test('amounts', () => {
  const cases: [string, number, number][] = [
    ['0', 2, 0],
    ['57.16', 2, 5716],
    ['57.1', 2, 5710],
    ['146.00', 2, 14600],
    ['007.50', 2, 750],
    ['0.29', 2, 29],
    ['1.115', 3, 1115],
    ['42', 0, 42],
    ['42.0', 0, tooManyDecimals],
    ['57.160', 2, tooManyDecimals],
    ['9999999999999.99', 2, 999_999_999_999_999],
    ['10000000000000', 2, amountMinorMax],
    ['10000000000000.00', 2, amountMinorMax],
    ['10000000000000.01', 2, outOfRange],
    ['9'.repeat(40), 2, outOfRange],
    ['', 2, notANumber],
    ['-1', 2, notANumber],
    ['+1', 2, notANumber],
    ['.5', 2, notANumber],
    ['5.', 2, notANumber],
    ['1e2', 2, notANumber],
    ['1,5', 2, notANumber],
    [' 1', 2, notANumber],
    ['1.5.5', 2, notANumber],
    ['NaN', 2, notANumber],
    ['Infinity', 2, notANumber],
    ['99999999999999999x', 2, notANumber],
  ]
  for (const [text, decimals, minor] of cases) assert.equal(amount(text, decimals), minor, `${text} with ${decimals}`)
})

test('amounts are exact up to the limit', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, 10n ** 15n), fc.constantFrom(0, 2, 3, 4), (minor, decimals) => {
      const digits = String(minor).padStart(decimals + 1, '0')
      const cut = digits.length - decimals
      const text = decimals === 0 ? digits : `${digits.slice(0, cut)}.${digits.slice(cut)}`
      assert.equal(BigInt(amount(text, decimals)), minor)
    }),
  )
})

const handbook = (text: string): number => new TimeParser().handbook(Buffer.from(text), 0, Buffer.byteLength(text))
const iso = (text: string): number => new TimeParser().iso(Buffer.from(text), 0, Buffer.byteLength(text))

test('handbook times', () => {
  assert.equal(handbook('2018-04-01T00:00:31Z'), Date.UTC(2018, 3, 1, 0, 0, 31))
  assert.equal(handbook('2018-04-01 00:00:31'), Date.UTC(2018, 3, 1, 0, 0, 31))
  assert.equal(handbook('1970-01-01 00:00:00'), 0)
  assert.equal(handbook('2099-12-31T23:59:59Z'), Date.UTC(2100, 0, 1) - 1000)
  assert.equal(handbook('2000-02-29 12:00:00'), Date.UTC(2000, 1, 29, 12))
  const refused = [
    '',
    '2018-04-01',
    '2018-04-01T00:00:31z',
    '2018-04-01T00:00:31+00:00',
    '2018-04-01T00:00:31.000Z',
    '2018-04-01_00:00:31',
    '2018/04/01 00:00:31',
    '2018-04-01 24:00:00',
    '2018-04-01 23:60:00',
    '2018-04-01 23:59:60',
    '2018-02-29 00:00:00',
    '2018-13-01 00:00:00',
    '2018-00-01 00:00:00',
    '2018-04-00 00:00:00',
    '2018-04-31 00:00:00',
    '0001-01-01 00:00:00',
    '1969-12-31 23:59:59',
    '2100-01-01 00:00:00',
    '9999-12-31 23:59:59',
    '20x8-04-01 00:00:00',
  ]
  for (const text of refused) assert.equal(handbook(text), -1, text)
})

test('one parser, many times: every real second formats back to itself', () => {
  const times = new TimeParser()
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_102_444_799 }), seconds => {
      const text = new Date(seconds * 1000).toISOString()
      const plain = Buffer.from(`${text.slice(0, 19)}Z`)
      assert.equal(times.handbook(plain, 0, plain.length), seconds * 1000)
      assert.equal(times.iso(Buffer.from(text), 0, text.length), seconds * 1000)
    }),
  )
})

test('ISO times', () => {
  const at = Date.UTC(2018, 3, 1, 12, 30, 15)
  assert.equal(iso('2018-04-01T12:30:15Z'), at)
  assert.equal(iso('2018-04-01T12:30:15.007Z'), at + 7)
  assert.equal(iso('2018-04-01T12:30:15.5Z'), at + 500)
  assert.equal(iso('2018-04-01T12:30:15.123456789Z'), at + 123)
  assert.equal(iso('2018-04-01T14:30:15+02:00'), at)
  assert.equal(iso('2018-04-01T14:30:15+0200'), at)
  assert.equal(iso('2018-04-01T07:00:15.25-05:30'), at + 250)
  assert.equal(iso('2018-04-01T14:30:15+02'), at)
  const refused = [
    '2018-04-01T12:30:15',
    '2018-04-01 12:30:15Z',
    '2018-04-01T12:30:15.Z',
    '2018-04-01T12:30:15.1234567890Z',
    '2018-04-01T12:30:15+24:00',
    '2018-04-01T12:30:15+02:60',
    '2018-04-01T12:30:15+2',
    '2018-04-01T12:30:15Zx',
    '1970-01-01T00:00:00+01:00',
    '2099-12-31T23:59:59-01:00',
  ]
  for (const text of refused) assert.equal(iso(text), -1, text)
})

test('identifiers count code points', () => {
  assert.equal(idProblem('a'), undefined)
  assert.equal(idProblem('😀'.repeat(64)), undefined)
  assert.match(idProblem('😀'.repeat(65))!, /longer/)
  assert.match(idProblem('')!, /empty/)
  for (const control of ['\0', '\t', '\x1f', '\x7f', '\x85']) assert.match(idProblem(`a${control}`)!, /control/)
})

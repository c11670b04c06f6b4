import assert from 'node:assert/strict'
import { test } from 'node:test'
import { minorUnitDigits, minorUnitsPerMajor } from './currency.js'

test('minor units follow ISO 4217', () => {
  const expected: readonly [string, number][] = [
    ['JPY', 0],
    ['KRW', 0],
    ['ISK', 0],
    ['EUR', 2],
    ['USD', 2],
    ['HUF', 2],
    ['KWD', 3],
    ['TND', 3],
    ['CLF', 4],
  ]
  for (const [code, digits] of expected) {
    assert.equal(minorUnitDigits(code), digits, code)
    assert.equal(minorUnitsPerMajor(code), 10 ** digits, code)
  }
})

test('an unknown code has no digits: wrong case, metals, nothing, names of Object.prototype', () => {
  for (const code of ['eur', 'XAU', '', 'EURO', 'constructor', '__proto__']) {
    assert.equal(minorUnitDigits(code), undefined, code)
    assert.ok(Number.isNaN(minorUnitsPerMajor(code)), code)
  }
})

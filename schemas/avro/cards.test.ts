import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { cardTokeniser, maskCards, passesLuhn } from './cards.js'

test('Luhn', () => {
  for (const card of ['4111111111111111', '378282246310005', '6011 0009 9013 9424']) assert.ok(passesLuhn(card))
  assert.ok(!passesLuhn('4111111111111112'))
  assert.ok(!passesLuhn(''))
})

test('a card becomes a token, however it is written; other identifiers stay', () => {
  const tokenise = cardTokeniser('key')
  const token = `tok_${createHmac('sha256', 'key').update('4111111111111111').digest('hex').slice(0, 24)}`
  for (const card of ['4111111111111111', '4111 1111 1111 1111', '4111-1111-1111-1111']) {
    assert.equal(tokenise(card), token)
  }
  assert.notEqual(cardTokeniser('other')('4111111111111111'), token)
  for (const id of ['card-17', '4111111111111112', '0', token]) assert.equal(tokenise(id), id)
})

test('masks keep the last four and everything around', () => {
  const cases: [string, string][] = [
    ['4111111111111111', '************1111'],
    ['{"card_id":"4111111111111111","n":1}', '{"card_id":"************1111","n":1}'],
    ['4111 1111 1111 1111', '**** **** **** 1111'],
    ['4111-1111-1111-1111.', '****-****-****-1111.'],
    ['3782 822463 10005', '**** ****** *0005'],
    ['17 4111111111111111 5', '17 ************1111 5'],
    ['4111111111111111,378282246310005', '************1111,***********0005'],
    ['4111111111111111 4111111111111111', '************1111 ************1111'],
    ['4111111111111112', '4111111111111112'],
    ['4111  1111  1111  1111', '4111  1111  1111  1111'],
    ['2018-04-01T00:00:31Z', '2018-04-01T00:00:31Z'],
    ['00004111111111111111111', '00004111111111111111111'],
  ]
  for (const [text, masked] of cases) assert.equal(maskCards(text), masked)
})

test('a masked text shows no card number', () => {
  const card = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 12, maxLength: 18 }).map(digits => {
    const body = digits.join('')
    for (let check = 0; check < 10; check++) if (passesLuhn(body + check)) return body + check
    throw new Error('no check digit')
  })
  fc.assert(
    fc.property(card, fc.constantFrom('', 'id=', '"', ',', 'x'), (number, before) => {
      const masked = maskCards(`${before}${number}"`)
      assert.ok(!masked.includes(number))
      assert.ok(masked.endsWith(`*${number.slice(-4)}"`))
    }),
  )
})

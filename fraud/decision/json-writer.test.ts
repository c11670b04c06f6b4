import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AssertionError, eventTime } from '../../kernel/index.js'
import { fragment, JsonWriter, numberBytes, textBytesMax } from './json-writer.js'

function written(write: (writer: JsonWriter) => void): string {
  const writer = new JsonWriter(8)
  writer.reserve(100_000)
  write(writer)
  return writer.bytes.toString('utf8', 0, writer.length)
}

const numberText = (value: number) => written(writer => writer.number(value))

test('numbers are those of JSON.stringify', () => {
  const any = fc.double({ noNaN: true, noDefaultInfinity: true })
  const decimals = fc
    .tuple(fc.maxSafeInteger(), fc.integer({ min: 0, max: 6 }))
    .map(([whole, digits]) => whole / 10 ** digits)
  const cents = fc.integer({ min: -200_000_000, max: 200_000_000 }).map(n => n / 100)
  const nearCents = fc.integer({ min: 0, max: 100_000 }).map(n => (n / 100) * (1 + Number.EPSILON))
  const floats = fc.float({ noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(fc.oneof(any, decimals, cents, nearCents, floats, fc.integer(), fc.maxSafeInteger()), value => {
      assert.equal(numberText(value), JSON.stringify(value))
      assert.ok(numberText(value).length <= numberBytes)
    }),
    { seed: 2, numRuns: 5_000 },
  )
})

test('numbers at the edges of the fast paths', () => {
  const edges = [0, -0, 0.01, 0.1, 0.005, 0.001, 1e-7, 0.29, 1.005, 57.16, 999_999.99, 1e6, 1e6 + 0.5, 1e6 + 0.01]
  const large = [2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 1e15, 1e21, 1.7976931348623157e308, 5e-324, 4.35, 99.995]
  for (const value of [...edges, ...large]) {
    assert.equal(numberText(value), JSON.stringify(value))
    assert.equal(numberText(-value), JSON.stringify(-value))
  }
  for (const value of [Number.NaN, Infinity, -Infinity]) assert.throws(() => numberText(value), AssertionError)
})

test('texts are those of JSON.stringify: quotes, control characters, lone surrogates, any code unit', () => {
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 })
  const low = fc.array(fc.integer({ min: 0, max: 0x9f }), { maxLength: 40 })
  const texts = fc.oneof(units, low).map(codes => String.fromCharCode(...codes))
  const whole = fc.string({ unit: 'grapheme' })
  fc.assert(
    fc.property(fc.oneof(texts, whole), text => {
      const json = written(writer => writer.text(text))
      assert.equal(json, JSON.stringify(text))
      assert.ok(Buffer.byteLength(json) <= textBytesMax(text))
    }),
    { seed: 3, numRuns: 2_000 },
  )
  for (const text of ['', '"', '\\', '\0', '\u007f', '\ud800', '\udc00x', 'é', '😀', '\u2028', '</script>']) {
    assert.equal(
      written(writer => writer.text(text)),
      JSON.stringify(text),
    )
  }
})

test('times are those of toISOString, in any order of days', () => {
  const writer = new JsonWriter(64)
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: 0, max: 4_102_444_800_000 }), fc.integer({ min: -9e14, max: 9e14 })), ms => {
      writer.length = 0
      writer.reserve(100)
      writer.time(eventTime(ms))
      assert.equal(writer.bytes.toString('latin1', 0, writer.length), JSON.stringify(new Date(ms)))
    }),
    { seed: 4, numRuns: 3_000 },
  )
})

test('growing keeps what is written', () => {
  const writer = new JsonWriter(4)
  for (let i = 0; i < 1_000; i++) {
    writer.reserve(3)
    writer.raw(fragment('abc'))
  }
  assert.equal(writer.bytes.toString('latin1', 0, writer.length), 'abc'.repeat(1_000))
})

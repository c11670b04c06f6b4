/** Transactions and labels come back from their bytes exactly as they went in. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ByteReader, ByteWriter, eventTime } from '../../kernel/index.js'
import { labelCodec, transactionCodec } from './compact.js'

/** Plain objects: what decodes has a prototype. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true })
/** Any UTF-16, lone surrogates included. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.constantFrom('a', '\ud83d', '\ude00', 'é', '\uffff'), { maxLength: 6 }).map(units => units.join('')),
)
const orNone = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null })
const time = fc.integer({ min: -(2 ** 45), max: 2 ** 45 }).map(eventTime)

const transaction = record({
  transaction_id: text,
  event_time: time,
  customer_id: text,
  terminal_id: text,
  amount_minor: fc.integer({ min: 0, max: 10 ** 15 }),
  currency: fc.constantFrom('EUR', 'JPY', 'KWD'),
  card_id: orNone(text),
  merchant_id: orNone(text),
  merchant_category: orNone(text),
  device_id: orNone(text),
  ip_address: orNone(text),
  email: orNone(text),
  country: orNone(text),
  channel: orNone(text),
  metadata: orNone(fc.array(fc.tuple(text, text)).map(pairs => new Map(pairs))),
  inline_label: orNone(fc.constantFrom('fraud' as const, 'legitimate' as const)),
})

const label = record({
  transaction_id: text,
  customer_id: text,
  terminal_id: text,
  event_time: time,
  label: fc.constantFrom('fraud' as const, 'legitimate' as const),
  label_source: fc.constantFrom('chargeback' as const, 'manual_review' as const, 'automated' as const),
  available_at: time,
  analyst: orNone(text),
})

function comesBack<T>(codec: { encode(v: T, into: ByteWriter): void; decode(from: ByteReader): T }, value: T): void {
  const into = new ByteWriter()
  codec.encode(value, into)
  const bytes = into.take()
  const from = new ByteReader(bytes)
  const back = codec.decode(from)
  assert.deepEqual(back, value)
  assert.deepEqual(Object.keys(back as object), Object.keys(value as object), 'one shape')
  assert.equal(from.remaining, 0)
  codec.encode(back, into)
  assert.deepEqual(into.take(), bytes, 'equal values have equal bytes')
}

describe('compact records', () => {
  it('transactions come back', () => {
    fc.assert(fc.property(transaction, value => comesBack(transactionCodec, value)))
  })

  it('labels come back', () => {
    fc.assert(fc.property(label, value => comesBack(labelCodec, value)))
  })

  it('a value that no version knows is refused', () => {
    const into = new ByteWriter()
    const [one] = fc.sample(label, 1)
    labelCodec.encode({ ...one!, label: 'unknown' as 'fraud' }, into)
    assert.throws(() => labelCodec.decode(new ByteReader(into.take())), RangeError)
  })
})

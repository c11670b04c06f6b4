import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RecordDecoder, RecordError } from './record-error.js'
import { labelJson, transactionCsv, transactionJson } from './transaction.js'

const options = { cardKey: 'test' }
const full = {
  transaction_id: 't-1',
  event_time: '2018-04-01T02:00:31.5+02:00',
  customer_id: '596',
  terminal_id: '3156',
  amount_minor: 5716,
  currency: 'EUR',
}
const at = Date.UTC(2018, 3, 1, 0, 0, 31, 500)

function decode<T>(decoder: RecordDecoder<T>, value: unknown): T | RecordError {
  const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  return decoder.decode(bytes, 0, bytes.length)
}

function ok<T>(result: T | RecordError): T {
  assert.ok(!(result instanceof RecordError), result instanceof RecordError ? result.message : '')
  return result
}

const codeOf = (result: unknown): string => (result instanceof RecordError ? result.code : 'accepted')

test('a Transaction with nothing optional, and with everything', () => {
  const decoder = transactionJson(options)
  const plain = ok(decode(decoder, full))
  assert.equal(plain.event_time, at)
  assert.equal(plain.amount_minor, 5716)
  assert.equal(plain.card_id, null)
  assert.equal(plain.metadata, null)
  assert.equal(plain.inline_label, null)
  const rich = ok(
    decode(decoder, {
      ...full,
      event_time: at,
      card_id: 'c',
      email: '',
      country: 'DE',
      metadata: { a: 'ü' },
      extra: [1],
      more: 2,
    }),
  )
  assert.equal(rich.event_time, at)
  assert.equal(rich.card_id, 'c')
  assert.equal(rich.email, '')
  assert.deepEqual([...rich.metadata!], [['a', 'ü']])
  assert.equal(decoder.unknownFields, 2)
  assert.deepEqual(Object.keys(plain), Object.keys(rich))
})

test('a card number is a token before anything sees it', () => {
  const token = ok(decode(transactionJson(options), { ...full, card_id: '4111 1111 1111 1111' })).card_id
  assert.match(token!, /^tok_[0-9a-f]{24}$/)
})

test('every bad Transaction has its code', () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ transaction_id: 1 }, 'INVALID_ID'],
    [{ customer_id: '' }, 'INVALID_ID'],
    [{ terminal_id: undefined }, 'MISSING_FIELD'],
    [{ event_time: '2018-04-01T00:00:31' }, 'INVALID_EVENT_TIME'],
    [{ event_time: '1522540831000' }, 'INVALID_EVENT_TIME'],
    [{ event_time: -1 }, 'INVALID_EVENT_TIME'],
    [{ event_time: 1.5 }, 'INVALID_EVENT_TIME'],
    [{ event_time: 4_102_444_800_000 }, 'INVALID_EVENT_TIME'],
    [{ amount_minor: -1 }, 'INVALID_AMOUNT'],
    [{ amount_minor: 1.5 }, 'INVALID_AMOUNT'],
    [{ amount_minor: '5' }, 'INVALID_AMOUNT'],
    [{ amount_minor: 1_000_000_000_000_001 }, 'INVALID_AMOUNT'],
    [{ currency: 'XXX' }, 'INVALID_CURRENCY'],
    [{ currency: 978 }, 'INVALID_CURRENCY'],
    [{ currency: null }, 'MISSING_FIELD'],
    [{ card_id: 4111 }, 'INVALID_ID'],
    [{ email: 5 }, 'INVALID_FIELD'],
    [{ metadata: { a: 1 } }, 'INVALID_FIELD'],
    [{ metadata: 'a' }, 'INVALID_FIELD'],
    [{ metadata: null, amount_minor: 0 }, 'accepted'],
  ]
  for (const [change, code] of cases) {
    assert.equal(codeOf(decode(transactionJson(options), { ...full, ...change })), code, JSON.stringify(change))
  }
})

test('CSV under the same names', () => {
  const decoder = transactionCsv(
    'transaction_id,event_time,customer_id,terminal_id,amount_minor,currency,metadata,card_id',
    options,
  )
  const record = ok(decode(decoder, `t-1,${at},596,3156,5716,EUR,"{""a"":""b""}",`))
  assert.equal(record.event_time, at)
  assert.deepEqual([...record.metadata!], [['a', 'b']])
  assert.equal(record.card_id, null)
  assert.equal(ok(decode(decoder, 't-1,2018-04-01T00:00:31.5Z,596,3156,5716,EUR,,')).event_time, at)
  assert.equal(codeOf(decode(decoder, 't-1,2018-04-01T00:00:31.5Z,596,3156,57.16,EUR,,')), 'INVALID_AMOUNT')
  assert.equal(codeOf(decode(decoder, 't-1,2018-04-01T00:00:31.5Z,596,3156,57,EUR,{},')), 'accepted')
  assert.equal(codeOf(decode(decoder, 't-1,2018-04-01T00:00:31.5Z,596,3156,57,EUR,[],')), 'INVALID_FIELD')
})

test('a Label, and bad ones', () => {
  const label = {
    transaction_id: 't-1',
    customer_id: '596',
    terminal_id: '3156',
    event_time: at,
    label: 'fraud',
    label_source: 'chargeback',
    available_at: '2018-04-08T00:00:31.500Z',
  }
  const record = ok(decode(labelJson(), label))
  assert.equal(record.available_at - record.event_time, 7 * 86_400_000)
  assert.equal(record.analyst, null)
  assert.equal(codeOf(decode(labelJson(), { ...label, label: 'maybe' })), 'INVALID_LABEL')
  assert.equal(codeOf(decode(labelJson(), { ...label, label: undefined })), 'MISSING_FIELD')
  assert.equal(codeOf(decode(labelJson(), { ...label, label_source: 'rumour' })), 'INVALID_FIELD')
  assert.equal(codeOf(decode(labelJson(), { ...label, available_at: 'soon' })), 'INVALID_EVENT_TIME')
})

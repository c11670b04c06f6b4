import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isWeirError } from '../../kernel/index.js'
import { handbookCsv, handbookNdjson } from './handbook.js'
import { isBlankLine } from './lines.js'
import { type RecordDecoder, RecordError } from './record-error.js'
import type { ArrivedTransaction } from './types.js'

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud,tx_fraud_scenario'

function decode(decoder: RecordDecoder<ArrivedTransaction>, line: string | Buffer): ArrivedTransaction | RecordError {
  const bytes = Buffer.concat([Buffer.from('before\n'), Buffer.from(line as string), Buffer.from('\nafter,1,2')])
  return decoder.decode(bytes, 7, bytes.length - 10)
}

function ok(result: ArrivedTransaction | RecordError): ArrivedTransaction {
  assert.ok(!(result instanceof RecordError), result instanceof RecordError ? result.message : '')
  return result
}

function refused(result: ArrivedTransaction | RecordError, code: string): RecordError {
  assert.ok(result instanceof RecordError, 'refused')
  assert.equal(result.code, code, result.message)
  return result
}

const first = {
  transaction_id: '0',
  event_time: Date.UTC(2018, 3, 1, 0, 0, 31),
  customer_id: '596',
  terminal_id: '3156',
  amount_minor: 5716,
  currency: 'EUR',
  card_id: null,
  merchant_id: null,
  merchant_category: null,
  device_id: null,
  ip_address: null,
  email: null,
  country: null,
  channel: null,
  metadata: null,
  inline_label: 'legitimate',
}

test('a line of CSV', () => {
  assert.deepEqual(decode(handbookCsv(header), '0,2018-04-01T00:00:31Z,596,3156,57.16,0,0'), first)
})

test('CSV: quotes, other columns, other order, other case, a byte order mark and a line end', () => {
  const decoder = handbookCsv('\ufeffx,TX_Amount,"Terminal_ID",customer_id,Tx_DateTime,TRANSACTION_ID\r\n')
  const record = ok(decode(decoder, '"a,""b""\u00fc",0.5,"T,1","C""é",2018-04-01 00:00:31,"x y"'))
  assert.equal(record.terminal_id, 'T,1')
  assert.equal(record.customer_id, 'C"é')
  assert.equal(record.transaction_id, 'x y')
  assert.equal(record.amount_minor, 50)
  assert.equal(record.inline_label, null)
})

test('CSV: every bad line has its code', () => {
  const decoder = handbookCsv(header)
  const cases: [string | Buffer, string][] = [
    ['', 'MALFORMED_RECORD'],
    ['garbage', 'MALFORMED_RECORD'],
    ['\0\0\0', 'MALFORMED_RECORD'],
    ['0,2018-04-01T00:00:31Z,596,3156,57.16,0', 'MALFORMED_RECORD'],
    ['0,2018-04-01T00:00:31Z,596,3156,57.16,0,0,0', 'MALFORMED_RECORD'],
    ['"0,2018-04-01T00:00:31Z,596,3156,57.16,0,0', 'MALFORMED_RECORD'],
    ['"0"x,2018-04-01T00:00:31Z,596,3156,57.16,0,0', 'MALFORMED_RECORD'],
    ['a"b,2018-04-01T00:00:31Z,596,3156,57.16,0,0', 'MALFORMED_RECORD'],
    [',2018-04-01T00:00:31Z,596,3156,57.16,0,0', 'MISSING_FIELD'],
    ['0,,596,3156,57.16,0,0', 'MISSING_FIELD'],
    ['0,2018-04-01T00:00:31Z,,3156,57.16,0,0', 'MISSING_FIELD'],
    ['0,2018-04-01T00:00:31Z,596,,57.16,0,0', 'MISSING_FIELD'],
    ['0,2018-04-01T00:00:31Z,596,3156,,0,0', 'MISSING_FIELD'],
    ['a\0b,2018-04-01T00:00:31Z,596,3156,57.16,0,0', 'INVALID_ID'],
    ['0,2018-04-01T00:00:31Z,a\tb,3156,57.16,0,0', 'INVALID_ID'],
    [`0,2018-04-01T00:00:31Z,596,${'x'.repeat(65)},57.16,0,0`, 'INVALID_ID'],
    ['0,2018-04-01T00:00:31Z,596,3156,-57.16,0,0', 'INVALID_AMOUNT'],
    ['0,2018-04-01T00:00:31Z,596,3156,NaN,0,0', 'INVALID_AMOUNT'],
    ['0,2018-04-01T00:00:31Z,596,3156,57.161,0,0', 'INVALID_AMOUNT'],
    ['0,2018-04-01T00:00:31Z,596,3156,1e5,0,0', 'INVALID_AMOUNT'],
    ['0,2018-04-01T00:00:31Z,596,3156,10000000000000.01,0,0', 'INVALID_AMOUNT'],
    ['0,2018-02-30T00:00:31Z,596,3156,57.16,0,0', 'INVALID_EVENT_TIME'],
    ['0,0001-01-01T00:00:31Z,596,3156,57.16,0,0', 'INVALID_EVENT_TIME'],
    ['0,9999-01-01T00:00:31Z,596,3156,57.16,0,0', 'INVALID_EVENT_TIME'],
    ['0,1522540831,596,3156,57.16,0,0', 'INVALID_EVENT_TIME'],
    ['0,2018-04-01T00:00:31Z,596,3156,57.16,2,0', 'INVALID_LABEL'],
    ['0,2018-04-01T00:00:31Z,596,3156,57.16,01,0', 'INVALID_LABEL'],
    ['0,2018-04-01T00:00:31Z,596,3156,57.16,true,0', 'INVALID_LABEL'],
    [Buffer.from('0,2018-04-01T00:00:31Z,5\xff96,3156,57.16,0,0', 'latin1'), 'INVALID_ENCODING'],
    [Buffer.from('0,2018-04-01T00:00:31Z,596,3156,57.16,0,\xc0\x80', 'latin1'), 'INVALID_ENCODING'],
    [`0,2018-04-01T00:00:31Z,596,3156,57.16,0,${'x'.repeat(65_536)}`, 'RECORD_TOO_LARGE'],
  ]
  for (const [line, code] of cases) refused(decode(decoder, line), code)
  // and none of them leaves a trace in the next
  assert.deepEqual(decode(decoder, '0,2018-04-01T00:00:31Z,596,3156,57.16,0,0'), first)
})

test('CSV: tx_fraud is 0, 1 or empty; ids may have 64 characters of any language', () => {
  const decoder = handbookCsv(header)
  const long = '字'.repeat(64)
  assert.equal(ok(decode(decoder, `${long},2018-04-01T00:00:31Z,596,3156,57.16,1,0`)).transaction_id, long)
  assert.equal(ok(decode(decoder, '0,2018-04-01T00:00:31Z,596,3156,57.16,1,0')).inline_label, 'fraud')
  assert.equal(ok(decode(decoder, '0,2018-04-01T00:00:31Z,596,3156,57.16,,0')).inline_label, null)
})

test('messages name the field and never echo a card number', () => {
  const card = '4111111111111111'
  const error = refused(decode(handbookCsv(header), `0,${card},596,3156,57.16,0,0`), 'INVALID_EVENT_TIME')
  assert.match(error.message, /tx_datetime/)
  assert.ok(!error.message.includes(card))
})

test('headers that cannot be read', () => {
  const cases: [string, RegExp][] = [
    ['', /transaction_id, tx_datetime/],
    ['transaction_id,tx_datetime,customer_id,terminal_id', /lacks tx_amount/],
    [`${header},CUSTOMER_ID`, /"customer_id" twice/],
    ['"transaction_id', /no CSV/],
    [`${header}\r0,2018-04-01 00:00:31,596,3156,57.16,0,0\r`, /bare CR/],
  ]
  for (const [line, message] of cases) {
    assert.throws(
      () => handbookCsv(line),
      error => isWeirError(error, 'INPUT_UNREADABLE') && message.test(error.message),
      line,
    )
  }
  assert.throws(
    () => handbookCsv(header, { currency: 'eur' }),
    error => isWeirError(error, 'INVALID_CURRENCY'),
  )
})

test('amounts have the decimals of the currency', () => {
  const line = (amount: string): string => `0,2018-04-01T00:00:31Z,596,3156,${amount},0,0`
  const yen = handbookCsv(header, { currency: 'JPY' })
  assert.equal(ok(decode(yen, line('57'))).amount_minor, 57)
  refused(decode(yen, line('57.0')), 'INVALID_AMOUNT')
  const dinar = handbookCsv(header, { currency: 'KWD' })
  assert.equal(ok(decode(dinar, line('57.125'))).amount_minor, 57_125)
  assert.equal(ok(decode(dinar, line('57.1'))).amount_minor, 57_100)
})

test('the fast path and the general path agree on every line', () => {
  const decoder = handbookCsv(header)
  const piece = fc.constantFrom(
    '0',
    '596',
    'a b',
    '57.16',
    '57.165',
    '',
    '-1',
    '2018-04-01T00:00:31Z',
    '2018-02-30 00:00:00',
  )
  const line = fc.array(fc.oneof(piece, fc.constantFrom('é', '\t', '"', '1')), { minLength: 6, maxLength: 8 })
  fc.assert(
    fc.property(line, fields => {
      const text = fields.join(',')
      // quoting every field gives the same record, and only the general path reads quotes
      const quoted = fields.map(field => `"${field.replaceAll('"', '""')}"`).join(',')
      const plain = decode(decoder, text)
      if (!text.includes('"')) assert.deepEqual(plain, decode(decoder, quoted))
    }),
    { numRuns: 2_000 },
  )
})

const json = (fields: string): string => `{${fields}}`
const base =
  '"transaction_id":0,"tx_datetime":"2018-04-01T00:00:31Z","customer_id":596,"terminal_id":"3156","tx_amount":57.16'

test('a line of NDJSON gives the record of the CSV line', () => {
  const decoder = handbookNdjson()
  assert.deepEqual(decode(decoder, json(`${base},"tx_fraud":0,"tx_fraud_scenario":{"deep":[1,{}]}`)), first)
  assert.equal(decoder.unknownFields, 1)
  assert.deepEqual(decode(decoder, json(`${base.toUpperCase()},"TX_FRAUD":"0"`)), first)
  assert.deepEqual(decode(decoder, ` { "tx_fraud" : 0 , ${base.replace(':57.16', ' : "57.16"')} } \r`), first)
})

test('NDJSON: numbers keep their text', () => {
  const record = ok(
    decode(
      handbookNdjson(),
      json(
        '"transaction_id":9007199254740993,"tx_datetime":"2018-04-01 00:00:31","customer_id":18446744073709551617,"terminal_id":0,"tx_amount":0.29',
      ),
    ),
  )
  assert.equal(record.transaction_id, '9007199254740993')
  assert.equal(record.customer_id, '18446744073709551617')
  assert.equal(record.amount_minor, 29)
})

test('NDJSON: every bad line has its code', () => {
  const decoder = handbookNdjson()
  const changed = (from: string, to: string): string => json(base.replace(from, to))
  const cases: [string | Buffer, string][] = [
    ['', 'MALFORMED_RECORD'],
    ['[]', 'MALFORMED_RECORD'],
    ['null', 'MALFORMED_RECORD'],
    [json(`${base},`), 'MALFORMED_RECORD'],
    [`${json(base)}x`, 'MALFORMED_RECORD'],
    [json(base).slice(0, -1), 'MALFORMED_RECORD'],
    [json(`${base},"x":01`), 'MALFORMED_RECORD'],
    [json(`${base},"x":NaN`), 'MALFORMED_RECORD'],
    [json(`${base},"x":"a\0b"`), 'MALFORMED_RECORD'],
    [json(`${base},"x":"\\q"`), 'MALFORMED_RECORD'],
    [json(`${base},"x":${'['.repeat(40)}${']'.repeat(40)}`), 'MALFORMED_RECORD'],
    [json(`${base},"customer_id":596`), 'MALFORMED_RECORD'],
    [json(`${base},"CUSTOMER_ID":596`), 'MALFORMED_RECORD'],
    [changed('"customer_id":596,', ''), 'MISSING_FIELD'],
    [changed('596', 'null'), 'MISSING_FIELD'],
    [changed('596', '596.0'), 'INVALID_ID'],
    [changed('596', '1e3'), 'INVALID_ID'],
    [changed('596', '-1'), 'INVALID_ID'],
    [changed('596', '-0'), 'INVALID_ID'],
    [changed('596', 'true'), 'INVALID_ID'],
    [changed('596', '{"a":1}'), 'INVALID_ID'],
    [changed('596', '["596"]'), 'INVALID_ID'],
    [changed('596', '""'), 'INVALID_ID'],
    [changed('596', '"a\\u0000b"'), 'INVALID_ID'],
    [changed('596', '9'.repeat(65)), 'INVALID_ID'],
    [changed('596', '"\\ud800"'), 'INVALID_ENCODING'],
    [Buffer.from(changed('596', '"\xff"'), 'latin1'), 'INVALID_ENCODING'],
    [Buffer.from(json(`${base},"x":"\xed\xa0\x80"`), 'latin1'), 'INVALID_ENCODING'],
    [changed('57.16', '-57.16'), 'INVALID_AMOUNT'],
    [changed('57.16', '1e2'), 'INVALID_AMOUNT'],
    [changed('57.16', '57.161'), 'INVALID_AMOUNT'],
    [changed('57.16', '"Infinity"'), 'INVALID_AMOUNT'],
    [changed('57.16', '[57.16]'), 'INVALID_AMOUNT'],
    [changed('"2018-04-01T00:00:31Z"', '1522540831000'), 'INVALID_EVENT_TIME'],
    [changed('2018-04-01', '2018-04-31'), 'INVALID_EVENT_TIME'],
    [changed('2018-04-01T00:00:31Z', '2018-04-01T00:00:31\u0130'), 'INVALID_EVENT_TIME'],
    [json(`${base},"tx_fraud":2`), 'INVALID_LABEL'],
    [json(`${base},"tx_fraud":1.0`), 'INVALID_LABEL'],
    [json(`${base},"tx_fraud":true`), 'INVALID_LABEL'],
    [json(`${base},"x":"${'x'.repeat(65_536)}"`), 'RECORD_TOO_LARGE'],
  ]
  for (const [line, code] of cases) refused(decode(decoder, line), code)
  assert.equal(ok(decode(decoder, json(base))).inline_label, null)
})

test('NDJSON: __proto__ is a name like any other, and nothing is polluted', () => {
  const record = ok(decode(handbookNdjson(), json(`"__proto__":{"polluted":1},"constructor":{},${base}`)))
  assert.equal(record.customer_id, '596')
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
})

test('no bytes make a decoder throw', () => {
  const csv = handbookCsv(header)
  const ndjson = handbookNdjson()
  const good = Buffer.from(json(`${base},"tx_fraud":"0"`))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(good.length), (noise, at) => {
      decode(csv, Buffer.from(noise))
      decode(ndjson, Buffer.from(noise))
      const spoilt = Buffer.concat([good.subarray(0, at), noise.subarray(0, 3), good.subarray(at)])
      const result = decode(ndjson, spoilt)
      if (result instanceof RecordError) assert.notEqual(result.message, '')
    }),
    { numRuns: 2_000 },
  )
})

test('blank lines', () => {
  for (const line of ['', ' ', '\t \r']) assert.ok(isBlankLine(Buffer.from(line), 0, line.length))
  assert.ok(!isBlankLine(Buffer.from(' ,'), 0, 2))
})

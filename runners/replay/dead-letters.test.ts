/**
 * Malformed lines of every kind: each is a line of OUTPUT.dead-letter.ndjson, exactly as the contract says, and costs no
 * other line anything.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type DeadLetterLine, replayContent } from './testing/run.js'

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'
const good = '1,2024-01-01T00:00:00Z,c1,t1,10.00,0'
const goodJson = {
  transaction_id: '1',
  tx_datetime: '2024-01-01T00:00:00Z',
  customer_id: 'c1',
  terminal_id: 't1',
  tx_amount: 10,
  tx_fraud: 0,
}

const notADate = 'tx_datetime is not a real date YYYY-MM-DDThh:mm:ssZ from 1970 to 2099'
const notAnAmount = 'tx_amount is not a plain decimal of 0 or more'
const tooPrecise = 'tx_amount has more decimals than the currency, which has 2'
const tooMuch = 'tx_amount is more than 10^15 minor units'
const notALabel = 'tx_fraud is neither 0 nor 1 nor empty'
const notAnInteger = (name: string): string => `${name} is a number but no non-negative integer`

/** A line, its code, its message. */
type Case = readonly [line: string | Buffer, code: string, message: string]

const time = (at: string): string => good.replace('2024-01-01T00:00:00Z', at)
const amount = (text: string): string => good.replace('10.00', text)
const id = (text: string | Buffer): Buffer => Buffer.concat([Buffer.from(text), Buffer.from(good.slice(1))])

const csvCases: readonly Case[] = [
  ['hello', 'MALFORMED_RECORD', 'the line has 1 fields where the header has 6'],
  [good.slice(0, -2), 'MALFORMED_RECORD', 'the line has 5 fields where the header has 6'],
  [`${good},`, 'MALFORMED_RECORD', 'the line has 7 fields where the header has 6'],
  [`"${good}`, 'MALFORMED_RECORD', 'quoted field 1 does not end on its line'],
  [`"1"x${good.slice(1)}`, 'MALFORMED_RECORD', 'field 1 goes on after its closing quote'],
  [`1"${good.slice(1)}`, 'MALFORMED_RECORD', 'field 1 holds a quote but is not quoted'],
  [id(''), 'MISSING_FIELD', 'transaction_id is missing'],
  [time(''), 'MISSING_FIELD', 'tx_datetime is missing'],
  [good.replace('c1', ''), 'MISSING_FIELD', 'customer_id is missing'],
  [good.replace('t1', '""'), 'MISSING_FIELD', 'terminal_id is missing'],
  [amount(''), 'MISSING_FIELD', 'tx_amount is missing'],
  [id('x'.repeat(65)), 'INVALID_ID', 'transaction_id is longer than 64 characters'],
  [good.replace('c1', 'ü'.repeat(65)), 'INVALID_ID', 'customer_id is longer than 64 characters'],
  [id('a\tb'), 'INVALID_ID', 'transaction_id holds a control character'],
  [id('a\u0000b'), 'INVALID_ID', 'transaction_id holds a control character'],
  [good.replace('t1', 'a\u0085b'), 'INVALID_ID', 'terminal_id holds a control character'],
  [id(Buffer.of(0xff, 0xfe)), 'INVALID_ENCODING', 'the record is not valid UTF-8'],
  [id(Buffer.of(0xc3)), 'INVALID_ENCODING', 'the record is not valid UTF-8'],
  ...['-1.00', '+1.00', 'NaN', 'Infinity', '1e3', '0x10', ' 1.00', '1,00'.replace(',', ';'), '1.', '.5', '१'].map(
    (text): Case => [amount(text), 'INVALID_AMOUNT', notAnAmount],
  ),
  [amount('1.001'), 'INVALID_AMOUNT', tooPrecise],
  [amount('1.000'), 'INVALID_AMOUNT', tooPrecise],
  [amount('10000000000000.01'), 'INVALID_AMOUNT', tooMuch],
  [amount('9'.repeat(40)), 'INVALID_AMOUNT', tooMuch],
  ...[
    '0001-01-01T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '2100-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
    '2024-02-30T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2024-00-10T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T23:59:60Z',
    '2024-01-01T00:00:00+00:00',
    '2024-01-01t00:00:00Z',
    '2024-01-01T00:00:00z',
    '2024-01-01T00:00:00.000Z',
    '2024-01-01',
    '20240101T000000Z',
    '1704067200000',
    'yesterday',
  ].map((text): Case => [time(text), 'INVALID_EVENT_TIME', notADate]),
  ...['2', '-1', 'true', '00', '01', ' 1'].map((text): Case => [good.replace(/0$/, text), 'INVALID_LABEL', notALabel]),
]

const json = (change: object): string => JSON.stringify({ ...goodJson, ...change })
/** With a value that JSON.stringify would not write. */
const jsonText = (field: string, text: string): string => json({ [field]: '@@' }).replace('"@@"', text)

const jsonCases: readonly Case[] = [
  ['hello', 'MALFORMED_RECORD', 'the record is not a JSON object'],
  ['[1]', 'MALFORMED_RECORD', 'the record is not a JSON object'],
  ['null', 'MALFORMED_RECORD', 'the record is not a JSON object'],
  ['{}', 'MISSING_FIELD', 'transaction_id is missing'],
  [json({}).slice(0, -1), 'MALFORMED_RECORD', 'the record is not valid JSON'],
  [`${json({})}{}`, 'MALFORMED_RECORD', 'something follows the JSON object'],
  [json({}).replace('{', '{"transaction_id":"2",'), 'MALFORMED_RECORD', 'transaction_id stands twice'],
  [json({}).replace('"1"', '"a\u0000b"'), 'MALFORMED_RECORD', 'the record is not valid JSON'],
  [json({ transaction_id: null }), 'MISSING_FIELD', 'transaction_id is missing'],
  [json({ transaction_id: '' }), 'INVALID_ID', 'transaction_id is empty'],
  [json({ customer_id: 'x'.repeat(65) }), 'INVALID_ID', 'customer_id is longer than 64 characters'],
  [json({ customer_id: 'a\u0000b' }), 'INVALID_ID', 'customer_id holds a control character'],
  [json({ customer_id: 'a\u007fb' }), 'INVALID_ID', 'customer_id holds a control character'],
  [jsonText('customer_id', '"\\ud800"'), 'INVALID_ENCODING', 'customer_id holds half of a surrogate pair'],
  [jsonText('customer_id', '1.0'), 'INVALID_ID', notAnInteger('customer_id')],
  [jsonText('terminal_id', '1e3'), 'INVALID_ID', notAnInteger('terminal_id')],
  [jsonText('transaction_id', '-1'), 'INVALID_ID', notAnInteger('transaction_id')],
  [jsonText('transaction_id', '-0'), 'INVALID_ID', notAnInteger('transaction_id')],
  [json({ customer_id: true }), 'INVALID_ID', 'customer_id is not a string'],
  [json({ customer_id: ['c1'] }), 'INVALID_ID', 'customer_id is not a string'],
  [json({ customer_id: { a: 1 } }), 'INVALID_ID', 'customer_id is not a string'],
  [jsonText('tx_amount', '-1'), 'INVALID_AMOUNT', notAnAmount],
  [jsonText('tx_amount', '1e3'), 'INVALID_AMOUNT', notAnAmount],
  [jsonText('tx_amount', 'NaN'), 'MALFORMED_RECORD', 'the record is not valid JSON'],
  [jsonText('tx_amount', 'Infinity'), 'MALFORMED_RECORD', 'the record is not valid JSON'],
  [json({ tx_amount: 'NaN' }), 'INVALID_AMOUNT', notAnAmount],
  [jsonText('tx_amount', '1e999'), 'INVALID_AMOUNT', notAnAmount],
  [json({ tx_amount: 0.125 }), 'INVALID_AMOUNT', tooPrecise],
  [json({ tx_amount: 10_000_000_000_000.01 }), 'INVALID_AMOUNT', tooMuch],
  [json({ tx_amount: false }), 'INVALID_AMOUNT', notAnAmount],
  [json({ tx_datetime: 1_704_067_200_000 }), 'INVALID_EVENT_TIME', notADate],
  [json({ tx_fraud: 2 }), 'INVALID_LABEL', notALabel],
  [json({ tx_fraud: true }), 'INVALID_LABEL', notALabel],
  [jsonText('tx_fraud', '1.0'), 'INVALID_LABEL', notALabel],
]

/** Every case as a line of one file, good lines around; the good ones use the id that the bad ones did not claim. */
async function check(cases: readonly Case[], first: string | undefined, last: string, name: string): Promise<void> {
  const lines = [first, ...cases.map(([line]) => line), last].filter(line => line !== undefined)
  const content = Buffer.concat(lines.flatMap(line => [Buffer.from(line as string), Buffer.from('\n')]))
  const result = await replayContent(content, { name })
  const headerLines = first === undefined ? 0 : 1
  assert.deepEqual(
    result.deadLetters,
    cases.map(
      ([line, code, message], i): DeadLetterLine => ({
        line: headerLines + i + 1,
        code,
        message,
        raw: new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.from(line as string)),
      }),
    ),
  )
  assert.deepEqual(
    result.decisions.map(decision => [decision.transaction_id, decision.source.offset]),
    [['1', cases.length]],
  )
  assert.deepEqual(result.summary, {
    lines: cases.length + 1,
    blank_lines: 0,
    decisions: 1,
    duplicates: 0,
    conflicts: 0,
    dead_letters: cases.length,
  })
}

describe('dead letters', () => {
  it('CSV: every kind, with its line, code, message and bytes', () => check(csvCases, header, good, 'in.csv'))

  it('NDJSON: every kind', () => check(jsonCases, undefined, JSON.stringify(goodJson), 'in.ndjson'))

  it('of 65,536 bytes is a record, one byte more is too large, 10 MB are no trouble', async () => {
    const padded = (bytes: number): string => {
      const line = json({ pad: '' })
      return line.replace('"pad":""', `"pad":"${'x'.repeat(bytes - line.length)}"`)
    }
    const content = [padded(65_536), padded(65_537), padded(10_000_000), 'y'.repeat(10_000_000), json({})].join('\n')
    for (const [name, text] of [
      ['in.ndjson', content],
      ['crlf.ndjson', content.replaceAll('\n', '\r\n')],
    ] as const) {
      const result = await replayContent(text, { name })
      assert.deepEqual(
        result.deadLetters.map(({ line, code }) => [line, code]),
        [2, 3, 4].map(line => [line, 'RECORD_TOO_LARGE']),
      )
      for (const { raw } of result.deadLetters) assert.equal(raw.length, 4_096)
      assert.deepEqual([result.summary.decisions, result.summary.duplicates], [1, 1])
    }
  })

  it('raw is cut at 4,096 bytes, half a character and other invalid bytes being U+FFFD', async () => {
    const line = Buffer.concat([Buffer.of(0xff), Buffer.from(`${'x'.repeat(4_094)}üzz`)])
    const { deadLetters } = await replayContent(Buffer.concat([Buffer.from(`${header}\n`), line]))
    assert.equal(deadLetters[0]?.raw, `\ufffd${'x'.repeat(4_094)}\ufffd`)
  })

  it('card numbers are masked, also one that the cut goes through', async () => {
    const card = '4111111111111111'
    const spaced = '4111 1111 1111 1111'
    const cut = `${'x'.repeat(4_090 - card.length - 1)}|${card}|${card}`
    const lines = [`${card},bad`, `"${spaced}",bad`, `4111111111111112,bad`, cut]
    const { deadLetters } = await replayContent([header, ...lines].join('\n'))
    assert.deepEqual(
      deadLetters.map(({ raw }) => raw),
      [
        '************1111,bad',
        '"**** **** **** 1111",bad',
        '4111111111111112,bad',
        `${'x'.repeat(4_090 - card.length - 1)}|************1111|*****`,
      ],
    )
  })
})

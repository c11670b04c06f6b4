import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RecordError, transactionJson } from '../schemas/avro/index.js'
import { transactionSchema } from './schemas.js'
import { nowMs, transaction } from './testing/engine.js'
import { type Answer, startEdge } from './testing/server.js'

const { engine, post, send, url } = await startEdge()

/** The answer's errors as `pointer code`. */
function errorsOf(answer: Answer): string[] {
  const errors = answer.json?.errors as { pointer: string; code: string }[] | undefined
  return (errors ?? []).map(({ pointer, code }) => `${pointer} ${code}`)
}

const day = 86_400_000

describe('validation of a transaction', () => {
  it('lists every error of the body at once, as problem details', async () => {
    const answer = await post('/v1/decisions', {
      transaction_id: 'x'.repeat(65),
      event_time: '2025-02-30T00:00:00Z',
      customer_id: null,
      amount_minor: -1,
      currency: 'eur',
      card_id: 'a\u0000b',
      email: 7,
      metadata: { 'a/b': 1, ok: 'yes' },
    })
    assert.equal(answer.status, 400)
    assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8')
    assert.deepEqual(errorsOf(answer).sort(), [
      '/amount_minor INVALID_AMOUNT',
      '/card_id INVALID_ID',
      '/currency INVALID_CURRENCY',
      '/customer_id MISSING_FIELD',
      '/email INVALID_FIELD',
      '/event_time INVALID_EVENT_TIME',
      '/metadata/a~1b INVALID_FIELD',
      '/terminal_id MISSING_FIELD',
      '/transaction_id INVALID_ID',
    ])
    const { type, title, status, detail, instance, code } = answer.json ?? {}
    assert.deepEqual([type, status, code], ['urn:weir:error:INVALID_REQUEST', 400, 'INVALID_REQUEST'])
    assert.deepEqual([title, detail], ['The request is not valid', 'the request has 9 errors'])
    assert.match(String(instance), /^urn:weir:request:\S+$/)
  })

  it('finds what only the decoder sees', async () => {
    const text = JSON.stringify(transaction)
    for (const [body, expected] of [
      [text.replace('1250', '1250.0'), '/amount_minor INVALID_AMOUNT'],
      [text.replace('1250', '1e3'), '/amount_minor INVALID_AMOUNT'],
      [text.replace('{', '{"currency":"EUR",'), '/currency MALFORMED_RECORD'],
      [text.replace('"t-1"', '"\\ud800"'), '/transaction_id INVALID_ENCODING'],
      [text.replace('}', ',"metadata":{"a":"1","a":"2"}}'), '/metadata INVALID_FIELD'],
      [text.replace('}', `,"x":${'['.repeat(40)}${']'.repeat(40)}}`), ' MALFORMED_RECORD'],
    ] as const) {
      const answer = await post('/v1/decisions', body)
      assert.deepEqual([answer.status, errorsOf(answer)], [400, [expected]], body)
    }
  })

  it('takes event times from 1970 to a day ahead of its clock', async () => {
    for (const time of [
      0,
      '1970-01-01T00:00:00Z',
      nowMs + day,
      '2025-01-31T12:00:00.123456789+13:45',
      '2024-02-29T00:00:00-0130',
    ]) {
      assert.equal((await post('/v1/decisions', { ...transaction, event_time: time })).status, 200, String(time))
    }
    const bad = [
      nowMs + day + 1,
      -1,
      1.5,
      '1969-12-31T23:59:59Z',
      '9999-01-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
      '',
      'now',
    ]
    for (const time of [...bad, '2025-01-31', '2025-01-31T12:00:00', '2025-02-29T12:00:00Z', 1e300, true, [], {}]) {
      const answer = await post('/v1/decisions', { ...transaction, event_time: time })
      assert.deepEqual(errorsOf(answer), ['/event_time INVALID_EVENT_TIME'], String(time))
    }
  })

  it('takes amounts from 0 to 10^15', async () => {
    for (const amount of [0, 1e15]) {
      assert.equal((await post('/v1/decisions', { ...transaction, amount_minor: amount })).status, 200)
    }
    for (const amount of ['1e15', '-0', '1000000000000001', '1e400', '12.5', '"12"', 'true', '9'.repeat(400)]) {
      const answer = await post('/v1/decisions', JSON.stringify(transaction).replace('1250', amount))
      assert.deepEqual(errorsOf(answer), ['/amount_minor INVALID_AMOUNT'], amount)
    }
  })

  it('makes tokens of card numbers before anything sees them', async () => {
    await post('/v1/decisions', { ...transaction, card_id: '4111 1111 1111 1111' })
    assert.match(engine.transactions.at(-1)?.card_id ?? '', /^tok_[0-9a-f]{24}$/)
    await post('/v1/decisions', { ...transaction, card_id: 'card-7' })
    assert.equal(engine.transactions.at(-1)?.card_id, 'card-7')
  })

  it('ignores and counts unknown fields; names of the prototype are ordinary', async () => {
    const text = JSON.stringify(transaction).replace('{', '{"__proto__":{"card_id":1},"constructor":{},"more":[1],')
    assert.equal((await post('/v1/decisions', text)).status, 200)
    assert.equal(engine.transactions.at(-1)?.card_id, null)
    assert.equal(({} as Record<string, unknown>).card_id, undefined)
    const named = JSON.stringify(transaction).replace('}', ',"metadata":{"__proto__":"p","toString":"t"}}')
    assert.equal((await post('/v1/decisions', named)).status, 200)
    assert.deepEqual(
      [...(engine.transactions.at(-1)?.metadata ?? [])],
      [
        ['__proto__', 'p'],
        ['toString', 't'],
      ],
    )
    const hidden = `{"__proto__":${JSON.stringify(transaction)}}`
    assert.equal(errorsOf(await post('/v1/decisions', hidden)).length, 6)
    assert.match(await (await fetch(`${url}/metrics`)).text(), /^weir_http_unknown_fields_total 4$/m)
  })

  it('lists a bounded number of errors', async () => {
    const metadata = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`k${i}`, i]))
    const answer = await post('/v1/decisions', { ...transaction, metadata })
    assert.equal(errorsOf(answer).length, 32)
    assert.equal(answer.json?.detail, 'the request has 5000 errors, of which the first 32 are listed')
  })
})

describe('bodies', () => {
  it('that are no JSON object are answered 400', async () => {
    const odd = [
      '',
      '{',
      'null',
      '[]',
      '"x"',
      '1',
      '{"a":1}x',
      "{'a':1}",
      '\ufeff{}',
      '{"a":NaN}',
      '{"a":\u0000}',
      '\u0000',
    ]
    for (const body of [...odd, '['.repeat(60_000), '{"a":'.repeat(10_000)]) {
      const answer = await post('/v1/decisions', body)
      assert.deepEqual([answer.status, answer.json?.code], [400, 'MALFORMED_RECORD'], body.slice(0, 20))
      assert.deepEqual(errorsOf(answer), [' MALFORMED_RECORD'])
    }
  })

  it('that are not UTF-8 are answered 400', async () => {
    const bytes = Buffer.from(JSON.stringify({ ...transaction, email: 'x' })).map(byte => (byte === 0x78 ? 0xff : byte))
    const answer = await post('/v1/decisions', bytes)
    assert.deepEqual([answer.status, answer.json?.code], [400, 'INVALID_ENCODING'])
  })

  it('may have 65,536 bytes and not one more', async () => {
    const of = (bytes: number): string => {
      const empty = JSON.stringify({ ...transaction, metadata: { a: '' } })
      return JSON.stringify({ ...transaction, metadata: { a: 'x'.repeat(bytes - empty.length) } })
    }
    assert.equal((await post('/v1/decisions', of(65_536))).status, 200)
    const answer = await post('/v1/decisions', of(65_537))
    assert.deepEqual([answer.status, answer.json?.code], [413, 'RECORD_TOO_LARGE'])
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 40; i++) controller.enqueue(Buffer.alloc(2048, 32))
        controller.close()
      },
    })
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: stream, duplex: 'half' }
    assert.equal((await send('/v1/decisions', init as RequestInit)).status, 413)
  })

  it('are JSON by their content-type', async () => {
    for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8']) {
      assert.equal((await post('/v1/decisions', transaction, { 'content-type': type })).status, 200, type)
    }
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/jsonx',
      'application/json; charset=latin1',
      '*/*',
      'x',
    ]) {
      assert.equal((await post('/v1/decisions', transaction, { 'content-type': type })).status, 415, type)
    }
    assert.equal((await post('/v1/decisions', transaction, { 'content-encoding': 'gzip' })).status, 415)
    assert.equal((await send('/v1/decisions', { method: 'POST' })).status, 400)
  })
})

describe('the schema and the decoder', () => {
  it('have the currencies of ISO 4217', () => {
    const { enum: codes } = transactionSchema.properties.currency as { enum: string[] }
    assert.ok(codes.length > 150 && codes.includes('JPY') && codes.includes('KWD') && !codes.includes('XAU'))
  })

  it('agree on whatever a field holds: the edge takes what decodes, and refuses what does not', async () => {
    const decoder = transactionJson({ cardKey: 'k' })
    const times = fc.date({ min: new Date('1960-01-01'), max: new Date('2110-01-01'), noInvalidDate: true })
    const value = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 70 }),
      fc.integer(),
      fc.double(),
      fc.constantFrom(null, true, '', 'EUR', 'JPY', 'eur', 'XAU', '2025-02-30T00:00:00Z', '2024-02-29T23:59:60Z'),
      times.map(date => date.toISOString()),
      fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer()), { maxKeys: 3 }),
      fc.array(fc.string(), { maxLength: 2 }),
    )
    const changes = fc.dictionary(fc.constantFrom(...Object.keys(transactionSchema.properties)), value, {
      minKeys: 1,
      maxKeys: 3,
    })
    await fc.assert(
      fc.asyncProperty(changes, async change => {
        const body = Buffer.from(JSON.stringify({ ...transaction, ...change }))
        const decoded = decoder.decode(body, 0, body.length)
        const ahead = !(decoded instanceof RecordError) && decoded.event_time > nowMs + day
        const answer = await post('/v1/decisions', body)
        const fine = !(decoded instanceof RecordError) && !ahead
        assert.equal(
          answer.status,
          fine ? 200 : 400,
          `${answer.text} ${decoded instanceof RecordError ? decoded.message : ''}`,
        )
        if (!fine) {
          const fields = errorsOf(answer).map(error => error.split(/[/ ]/)[1] ?? '')
          assert.ok(fields.length > 0 && fields.every(field => Object.hasOwn(change, field)), answer.text)
        }
      }),
      { numRuns: 200, seed: 11 },
    )
  })

  it('survive any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.json().map(text => Buffer.from(text)),
        ),
        async bytes => {
          assert.equal((await post('/v1/decisions', Buffer.from(bytes))).status, 400)
          assert.equal((await post('/v1/labels', Buffer.from(bytes))).status, 400)
        },
      ),
      { numRuns: 80, seed: 12 },
    )
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WeirError } from '../kernel/index.js'
import { decision, label, pending, transaction } from './testing/engine.js'
import { startEdge } from './testing/server.js'

const { edge, engine, get, post } = await startEdge()
const asked = () => engine.transactions.at(-1)!

describe('POST /v1/decisions', () => {
  it('answers the line of the decision, byte for byte', async () => {
    const answer = await post('/v1/decisions', transaction)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8')
    assert.equal(answer.text, decision(asked()).toString())
    assert.equal(asked().event_time, Date.UTC(2025, 0, 31, 11, 59, 59, 250))
    assert.equal(engine.deadlinesMs.at(-1), 1000)
  })

  it('says in a header that the transaction was decided before', async () => {
    assert.equal((await post('/v1/decisions', transaction)).headers.get('weir-repeated'), null)
    const usual = engine.onDecide
    engine.onDecide = asked => ({ kind: 'decided', decision: decision(asked), repeated: true })
    const answer = await post('/v1/decisions', transaction)
    engine.onDecide = usual
    assert.deepEqual([answer.status, answer.headers.get('weir-repeated')], [200, 'true'])
  })

  it('has an alias', async () => {
    assert.equal((await post('/fraud/detect?deadline_ms=30000', transaction)).status, 200)
    assert.equal(engine.deadlinesMs.at(-1), 30_000)
  })

  it('leaves features out and explains on demand', async () => {
    const bare = await post('/v1/decisions?include_features=false', transaction)
    assert.deepEqual(
      [bare.json?.features, bare.json?.explanation, bare.json?.outcome],
      [undefined, undefined, 'approve'],
    )
    const told = await post('/v1/decisions?include_explanation=true&include_features=true', transaction)
    assert.deepEqual([typeof told.json?.features, told.json?.explanation], ['object', 'In words: approve.'])
  })

  it('answers 202 with the place to ask after the deadline', async () => {
    engine.onDecide = () => pending
    const answer = await post('/v1/decisions?deadline_ms=1', {
      ...transaction,
      transaction_id: 'ü/1',
      customer_id: 'c&2',
    })
    assert.equal(answer.status, 202)
    assert.equal(answer.headers.get('location'), '/v1/decisions/%C3%BC%2F1?customer_id=c%262')
    assert.equal(answer.headers.get('retry-after'), '1')
    assert.deepEqual(answer.json, {
      status: 'pending',
      transaction_id: 'ü/1',
      location: answer.headers.get('location'),
    })
    await get(answer.headers.get('location')!)
    assert.deepEqual(engine.finds.at(-1), ['ü/1', 'c&2'])
  })

  it('answers a provisional decision where the caller asked for one', async () => {
    engine.onDecide = () => pending
    for (const outcome of ['approve', 'review', 'decline']) {
      const answer = await post(`/v1/decisions?on_deadline=${outcome}&include_features=false`, transaction)
      const { status, json } = answer
      assert.deepEqual([status, json?.outcome, json?.provisional, json?.features], [200, outcome, true, undefined])
      assert.equal(json?.outcome_source, 'fallback')
    }
    assert.equal((await post('/v1/decisions?on_deadline=pending', transaction)).status, 202)
  })

  it('answers 422 when the id was used for another payment', async () => {
    engine.onDecide = () => ({ kind: 'conflict' })
    const answer = await post('/v1/decisions', transaction)
    assert.deepEqual([answer.status, answer.json?.code], [422, 'IDEMPOTENCY_MISMATCH'])
  })

  it('answers 400 for what the engine found wrong with the record, 422 for what broke in a step', async () => {
    for (const [code, status, shown] of [
      ['INVALID_AMOUNT', 400, 'INVALID_AMOUNT'],
      ['OPERATOR_EXCEPTION', 422, 'OPERATOR_EXCEPTION'],
      ['NO_SUCH_CODE', 422, 'OPERATOR_EXCEPTION'],
      ['toString', 422, 'OPERATOR_EXCEPTION'],
    ] as const) {
      engine.onDecide = () => ({ kind: 'rejected', code, message: 'refused' })
      const answer = await post('/v1/decisions', transaction)
      assert.deepEqual([answer.status, answer.json?.code, answer.json?.detail], [status, shown, 'refused'])
    }
  })

  it('tells trouble of the engine from a bug', async () => {
    for (const [error, status, code] of [
      [new WeirError('QUEUE_FULL', 'full'), 429, 'QUEUE_FULL'],
      [new WeirError('LOG_UNAVAILABLE', 'gone'), 503, 'LOG_UNAVAILABLE'],
      [new WeirError('BACKEND_FAILED', 'gone'), 503, 'LOG_UNAVAILABLE'],
      [new WeirError('USAGE', 'a bug'), 500, 'INTERNAL_ERROR'],
      [new TypeError('a bug'), 500, 'INTERNAL_ERROR'],
      ['a string', 500, 'INTERNAL_ERROR'],
      [undefined, 500, 'INTERNAL_ERROR'],
    ] as const) {
      engine.onDecide = () => {
        throw error
      }
      const answer = await post('/v1/decisions', transaction)
      assert.deepEqual([answer.status, answer.json?.code], [status, code])
      assert.equal(answer.headers.has('retry-after'), status !== 500)
      assert.doesNotMatch(answer.text, /a bug|gone/)
    }
  })

  it('lists errors of parameters and body together', async () => {
    const path = '/v1/decisions?deadline_ms=0&on_deadline=maybe&include_features=1&include_explanation='
    const answer = await post(path, { ...transaction, currency: 'EURO' })
    const errors = answer.json?.errors as { parameter?: string; pointer?: string; code: string }[]
    assert.equal(answer.status, 400)
    assert.deepEqual(
      errors.map(error => error.parameter ?? error.pointer),
      ['deadline_ms', 'on_deadline', 'include_features', 'include_explanation', '/currency'],
    )
  })

  it('takes only whole deadlines within the limits, each parameter once', async () => {
    const before = engine.transactions.length
    for (const value of ['30001', '-1', '1.5', '1e3', 'x', '', '%00', '5&deadline_ms=6']) {
      assert.equal((await post(`/v1/decisions?deadline_ms=${value}`, transaction)).status, 400, value)
    }
    assert.equal(engine.transactions.length, before)
  })
})

describe('GET /v1/decisions/:transaction_id', () => {
  it('finds the decision, in the shape asked for', async () => {
    engine.onFind = () => ({ kind: 'found', decision: decision(asked()) })
    assert.equal((await get('/v1/decisions/t-1')).text, decision(asked()).toString())
    assert.deepEqual(engine.finds.at(-1), ['t-1', undefined])
    const told = await get('/v1/decisions/t-1?customer_id=c-1&include_explanation=true&include_features=false')
    assert.deepEqual([told.json?.explanation, told.json?.features], ['In words: approve.', undefined])
    assert.deepEqual(engine.finds.at(-1), ['t-1', 'c-1'])
  })

  it('answers 404 and 409', async () => {
    engine.onFind = () => ({ kind: 'unknown' })
    assert.deepEqual((await get('/v1/decisions/t-1')).json?.code, 'NOT_FOUND')
    engine.onFind = () => ({ kind: 'ambiguous' })
    const several = await get('/v1/decisions/t-1')
    assert.deepEqual([several.status, several.json?.code], [409, 'AMBIGUOUS_ID'])
  })

  it('takes every id that a transaction can have, and refuses others', async () => {
    engine.onFind = () => ({ kind: 'unknown' })
    for (const id of ['a/b', '%', '.', 'x'.repeat(64), '😀'.repeat(64), '__proto__']) {
      assert.equal((await get(`/v1/decisions/${encodeURIComponent(id).replace(/^\.$/, '%2E%2E%2E')}`)).status, 404, id)
    }
    for (const id of ['', '%00', '%7F', '%C2%80', 'x'.repeat(65), 'x'.repeat(5000), '%zz', '%FF']) {
      assert.equal((await get(`/v1/decisions/${id}`)).status, 400, id.slice(0, 70))
    }
    assert.equal((await get(`/v1/decisions/t?customer_id=${'x'.repeat(65)}`)).status, 400)
    assert.equal((await get('/v1/decisions/t?customer_id=a&customer_id=b')).status, 400)
    assert.equal((await get('/v1/decisions/t?include_features=no')).status, 400)
  })
})

describe('POST /v1/labels', () => {
  it('answers 202 once the label is recorded', async () => {
    const answer = await post('/v1/labels', label)
    assert.deepEqual([answer.status, answer.json], [202, { status: 'recorded', transaction_id: 't-1' }])
    assert.deepEqual([engine.labels[0]?.label, engine.labels[0]?.analyst], ['fraud', null])
  })

  it('lists every error, and passes trouble on', async () => {
    const answer = await post('/v1/labels', {
      ...label,
      label: 'maybe',
      label_source: 1,
      available_at: 'soon',
      analyst: 7,
    })
    const errors = answer.json?.errors as { pointer: string; code: string }[]
    assert.deepEqual(
      errors.map(({ pointer, code }) => [pointer, code]),
      [
        ['/label', 'INVALID_LABEL'],
        ['/label_source', 'INVALID_FIELD'],
        ['/available_at', 'INVALID_EVENT_TIME'],
        ['/analyst', 'INVALID_FIELD'],
      ],
    )
    engine.onLabel = () => {
      throw new WeirError('LOG_UNAVAILABLE', 'gone')
    }
    assert.equal((await post('/v1/labels', label)).status, 503)
  })
})

describe('the edge', () => {
  it('closes twice without harm', async () => {
    await edge.close()
    await edge.close()
  })
})

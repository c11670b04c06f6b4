import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WeirError } from '../kernel/index.js'
import type { Authenticate } from './authenticate.js'
import { createLogger } from './index.js'
import { decision, label, transaction } from './testing/engine.js'
import { startEdge } from './testing/server.js'

const secrets = { transaction_id: 'secret-tx', customer_id: 'secret-customer', terminal_id: 'secret-terminal' }
const personal = {
  ...transaction,
  ...secrets,
  email: 'secret@example.org',
  ip_address: '198.51.100.7',
  card_id: '4111111111111111',
}

describe('logs and metrics', () => {
  it('name nothing personal, whatever goes wrong', async () => {
    const { engine, get, post, logged, edge, raw } = await startEdge()
    await post('/v1/decisions', personal, { 'x-request-id': 'secret-request' })
    await post('/v1/decisions', { ...personal, amount_minor: -1 })
    await post('/v1/decisions?secret=1', `${JSON.stringify(personal)}x`)
    await get('/v1/decisions/secret-tx?customer_id=secret-customer')
    await get('/secret/path')
    await raw('GET /secret%zz HTTP/1.1\r\nhost: secret\r\nconnection: close\r\n\r\n')
    engine.onDecide = () => {
      throw new WeirError('LOG_UNAVAILABLE', 'secret-tx was not taken')
    }
    await post('/v1/decisions', personal)
    engine.onDecide = () => {
      throw new TypeError('cannot read secret-tx')
    }
    await post('/v1/decisions', personal)
    engine.onLabel = () => {
      throw 'secret'
    }
    await post('/v1/labels', { ...label, ...secrets })
    const lines = logged.map(line => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(
      lines.filter(line => line.msg === 'failed').map(line => [line.code, line.route]),
      [
        ['LOG_UNAVAILABLE', '/v1/decisions'],
        ['INTERNAL_ERROR', '/v1/decisions'],
        ['INTERNAL_ERROR', '/v1/labels'],
      ],
    )
    assert.equal(lines.filter(line => line.msg === 'answered').length, 8)
    // Long enough that no figure happens to contain it.
    const told = /secret|411111|198\.51\.100/
    assert.doesNotMatch(logged.join(''), told)
    assert.doesNotMatch(await edge.registry.metrics(), told)
    assert.match(logged.join(''), /"name":"TypeError","at":\["at /)
  })

  it('have few lines under a storm of failures', async () => {
    const { engine, post, logged } = await startEdge()
    engine.onDecide = () => {
      throw new WeirError('LOG_UNAVAILABLE', 'gone')
    }
    for (let i = 0; i < 30; i++) await post('/v1/decisions', transaction)
    assert.equal(logged.filter(line => line.includes('"failed"')).length, 10)
  })

  it('are JSON, or short lines for a person', () => {
    const lines: string[] = []
    const to = { write: (line: string) => void lines.push(line) }
    createLogger({ to, plain: false }).info({ url: 'http://x' }, 'listening')
    createLogger({ to, plain: true }).warn({ url: 'http://x', n: 1 }, 'listening')
    createLogger({ to, plain: true, level: 'error' }).info('not shown')
    const { time, ...rest } = JSON.parse(lines[0]!) as Record<string, unknown>
    assert.deepEqual(rest, { level: 'info', url: 'http://x', msg: 'listening' })
    assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    assert.match(lines[1]!, /^\d\d:\d\d:\d\d warn {2}listening url=http:\/\/x n=1\n$/)
    assert.equal(lines.length, 2)
  })
})

describe('authentication', () => {
  it('is asked before the body is read, for what is below /v1 and its aliases', async () => {
    const asked: string[] = []
    const authenticate: Authenticate = ({ method, route, headers }) => {
      asked.push(`${method} ${route}`)
      if (headers.authorization === 'Bearer good') return { kind: 'allowed' }
      if (headers.authorization === 'Bearer small') return { kind: 'forbidden', detail: 'the key may only read' }
      return { kind: 'unauthenticated', detail: 'no key' }
    }
    const { engine, get, post } = await startEdge({ authenticate })
    for (const path of ['/v1/decisions', '/fraud/detect']) {
      const none = await post(path, 'not even JSON')
      assert.deepEqual(
        [none.status, none.json?.code, none.headers.get('www-authenticate')],
        [401, 'UNAUTHENTICATED', 'Bearer'],
      )
      const small = await post(path, transaction, { authorization: 'Bearer small' })
      assert.deepEqual([small.status, small.json?.code], [403, 'FORBIDDEN'])
      assert.equal((await post(path, transaction, { authorization: 'Bearer good' })).status, 200)
    }
    assert.equal(engine.transactions.length, 2)
    assert.equal((await get('/v1/decisions/t-1')).status, 401)
    assert.equal((await get('/v1/status')).status, 401)
    assert.equal((await post('/v1/labels', label)).status, 401)
    const before = asked.length
    for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/'])
      assert.equal((await get(path)).status, 200)
    assert.equal(asked.length, before)
    assert.ok(asked.includes('GET /v1/decisions/:transaction_id'))
  })

  it('that fails lets nobody in', async () => {
    const { post, engine } = await startEdge({ authenticate: () => Promise.reject(new Error('the key store is gone')) })
    assert.equal((await post('/v1/decisions', transaction)).status, 500)
    assert.equal(engine.transactions.length, 0)
  })
})

describe('the status page', async () => {
  const { engine, get, post } = await startEdge()

  it('loads nothing from elsewhere, and what it loads is there', async () => {
    const page = await get('/')
    assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'; script-src 'self'/)
    const links = [...page.text.matchAll(/(?:href|src)="([^"]+)"/g)].map(match => match[1]!)
    assert.ok(links.length >= 5)
    for (const link of links) if (!link.startsWith('data:')) assert.equal((await get(link)).status, 200, link)
    assert.doesNotMatch(page.text, /https?:\/\/|style="|<script>/)
  })

  it('is told the last decisions, newest first, without customers', async () => {
    for (let i = 0; i < 25; i++) await post('/v1/decisions', { ...personal, transaction_id: `t-${i}` })
    const { json, text } = await get('/v1/status')
    const recent = json!.recent as { transaction_id: string }[]
    assert.deepEqual(
      recent.map(one => one.transaction_id),
      Array.from({ length: 20 }, (_, i) => `t-${24 - i}`),
    )
    assert.deepEqual([json?.decisions_total, json?.ready, json?.facts], [25, true, { epoch: 41, app: 'fraud' }])
    assert.equal((json!.latency_ms as { of: number }).of, 25)
    assert.doesNotMatch(text, /secret/)
  })

  it('prefers what the engine decided however it came in', async () => {
    engine.health.recent = () => [decision({ ...engine.transactions[0]!, transaction_id: 'from-a-file' })]
    const { json } = await get('/v1/status')
    assert.deepEqual(
      (json!.recent as { transaction_id: string }[]).map(one => one.transaction_id),
      ['from-a-file'],
    )
  })
})

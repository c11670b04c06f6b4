import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WeirError } from '../kernel/index.js'
import { fakeEngine } from './testing/engine.js'
import { startEdge } from './testing/server.js'

const { get, engine, logged } = await startEdge()

describe('GET /v1/admin/state/{step}/{key}', () => {
  it('answers what the engine says, and asks for personal data only when it is told to', async () => {
    const asked: unknown[] = []
    engine.onInspect = (...args) => {
      asked.push(args)
      return { found: true, states: [] }
    }
    const answer = await get('/v1/admin/state/customer/c%2F1%20%C3%A9?other=1')
    assert.deepEqual([answer.status, answer.json], [200, { found: true, states: [] }])
    assert.equal(answer.headers.get('cache-control'), 'no-store')
    await get('/v1/admin/state/customer/c-1?show_pii=true')
    await get('/v1/admin/state/customer/c-1?show_pii=false')
    assert.deepEqual(asked, [
      ['customer', 'c/1 é', false],
      ['customer', 'c-1', true],
      ['customer', 'c-1', false],
    ])
  })

  it('refuses what is no key and no boolean, in problem details that echo nothing', async () => {
    const long = 'x'.repeat(65)
    for (const [path, name] of [
      [`/v1/admin/state/customer/${long}`, 'key'],
      [`/v1/admin/state/${long}/c-1`, 'step'],
      ['/v1/admin/state/customer/a%00b', 'key'],
      ['/v1/admin/state/customer/secret-1?show_pii=yes', 'show_pii'],
      ['/v1/admin/state/customer/secret-1?show_pii=true&show_pii=true', 'show_pii'],
    ] as const) {
      const { status, json, text } = await get(path)
      const errors = json?.errors as { parameter: string }[]
      assert.deepEqual([status, errors[0]?.parameter], [400, name], path)
      assert.ok(!text.includes('secret-1') && !text.includes(long))
    }
  })

  it('names the steps for one that keeps none, and says when it cannot look now', async () => {
    for (const [code, status, what] of [
      ['UNKNOWN_STEP', 404, 'those that do: customer'],
      ['NOT_READY', 503, 'slot 0 is recovering'],
      ['QUEUE_FULL', 429, '16 questions about state wait already'],
    ] as const) {
      engine.onInspect = () => {
        throw new WeirError(code, what)
      }
      const { status: got, json } = await get('/v1/admin/state/customer/c-1')
      assert.deepEqual([got, json?.code, json?.detail], [status, code, what])
    }
    engine.onInspect = () => {
      throw new WeirError('BACKEND_FAILED', "state of key 'secret-1' does not decode")
    }
    const failed = await get('/v1/admin/state/customer/secret-1')
    assert.equal(failed.status, 503)
    assert.ok(!failed.text.includes('secret-1'))
  })

  it('logs neither key nor step', () => {
    assert.ok(logged.some(line => line.includes('/v1/admin/state/:step/:key')))
    assert.equal(logged.filter(line => line.includes('secret-1') || line.includes('c-1"')).length, 0)
  })

  it('asks for credentials where the deployment does', async () => {
    const routes: string[] = []
    const guarded = await startEdge({
      authenticate: ({ route }) => {
        routes.push(route)
        return { kind: 'forbidden', detail: 'not for you' }
      },
    })
    assert.equal((await guarded.get('/v1/admin/state/customer/c-1')).status, 403)
    assert.deepEqual(routes, ['/v1/admin/state/:step/:key'])
  })

  it('is not there without the port', async () => {
    const { state: _, ...ports } = fakeEngine()
    const bare = await startEdge({ ports })
    assert.equal((await bare.get('/v1/admin/state/customer/c-1')).json?.code, 'NOT_FOUND')
  })
})

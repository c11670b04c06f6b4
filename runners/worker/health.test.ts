import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { systemClock, WeirError } from '../../kernel/index.js'
import { serveHealth, type WorkerView } from './health.js'
import type { StateQuestion } from './messages.js'

const asked: StateQuestion[] = []
let answer: () => Awaited<ReturnType<WorkerView['inspect']>>
const worker: WorkerView = {
  status: [],
  notReady: () => [],
  inspect: async question => {
    asked.push(question)
    return answer()
  },
}
const server = await serveHealth(worker, { host: '127.0.0.1', port: 0, memoryBudgetBytes: 1 << 30, clock: systemClock })
after(() => server.close())

async function get(path: string): Promise<readonly [status: number, body: Record<string, unknown>]> {
  const response = await fetch(server.url + path)
  assert.equal(response.headers.get('cache-control'), 'no-store')
  return [response.status, (await response.json()) as Record<string, unknown>]
}

describe("a worker's GET /v1/admin/state/{step}/{key}", () => {
  it('asks for the key, masked unless it is told otherwise', async () => {
    const found = {
      ...{ slot: 1, epoch: 7, step: 'customer', key: 'c', group: 3, found: false },
      ...{ resident: false, dirty: false, states: [], timers: [] },
    }
    answer = () => found
    assert.deepEqual(await get('/v1/admin/state/customer/c%2F1%20%C3%A9'), [200, found])
    assert.deepEqual(await get('/v1/admin/state/customer/c-1?show_pii=true'), [200, found])
    assert.deepEqual(asked, [
      { step: 'customer', key: 'c/1 é', showPii: false },
      { step: 'customer', key: 'c-1', showPii: true },
    ])
  })

  it('says why not, without the key', async () => {
    for (const [code, status] of [
      ['SLOT_ELSEWHERE', 404],
      ['UNKNOWN_STEP', 404],
      ['NOT_READY', 503],
      ['QUEUE_FULL', 429],
      ['BACKEND_FAILED', 503],
    ] as const) {
      answer = () => {
        throw new WeirError(code, 'why')
      }
      const [got, body] = await get('/v1/admin/state/customer/c-1')
      assert.deepEqual([got, body.status, body.code], [status, status, code])
      assert.equal(body.detail, code === 'BACKEND_FAILED' ? 'the state does not read' : 'why')
    }
    answer = () => {
      throw new Error('c-1 is secret')
    }
    const [status, body] = await get('/v1/admin/state/customer/c-1')
    assert.deepEqual([status, body.code], [500, 'INTERNAL_ERROR'])
    assert.ok(!JSON.stringify(body).includes('secret'))
  })

  it('refuses what is not valid, and lives on', async () => {
    const count = asked.length
    assert.equal((await get('/v1/admin/state/customer/%zz'))[0], 400)
    for (const query of ['yes', '', 'true&show_pii=false', 'false&show_pii=true', 'true&show_pii=true']) {
      assert.equal((await get(`/v1/admin/state/customer/c-1?show_pii=${query}`))[0], 400, query)
    }
    for (const path of ['//', '/v1/admin/state/customer', '/v1/admin/state/customer/', '/v1/admin/state/a/b/c']) {
      assert.equal((await get(path))[0], 404, path)
    }
    assert.equal((await fetch(`${server.url}/v1/admin/state/a/b`, { method: 'POST' })).status, 405)
    assert.equal(asked.length, count)
  })
})

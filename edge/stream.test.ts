import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { describe, it } from 'node:test'
import type { DecisionJson, StreamPort } from './index.js'
import { fakeEngine } from './testing/engine.js'
import { startEdge, type TestEdge } from './testing/server.js'

type Source = (signal: AbortSignal) => AsyncGenerator<DecisionJson>

interface Asked {
  readonly from: string
  readonly signal: AbortSignal
}

async function start(
  source: Source,
  limits: { readonly stalledMsMax?: number } = {},
): Promise<TestEdge & { asked: Asked[] }> {
  const asked: Asked[] = []
  const stream: StreamPort = {
    decisions: (from, signal) => {
      asked.push({ from, signal })
      return source(signal)
    },
  }
  return { ...(await startEdge({ ports: { ...fakeEngine(), stream }, limits })), asked }
}

/** The response as soon as its header is there. */
function open(edge: TestEdge, path = '/v1/stream/decisions'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => httpGet(edge.url + path, { agent: false }, resolve).on('error', reject))
}

const aborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort')
}

/** Decisions 0, 1, 2, … without end; `made` counts them. */
function endless(bytes: number): { source: Source; made: () => number } {
  let made = 0
  const filling = 'x'.repeat(bytes)
  return {
    made: () => made,
    source: async function* (signal) {
      while (!signal.aborted) yield Buffer.from(JSON.stringify({ n: made++, filling }))
    },
  }
}

const silent: Source = async function* (signal) {
  await aborted(signal)
  yield* []
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of message) text += chunk
  return text
}

describe('GET /v1/stream/decisions', () => {
  it('answers lines of JSON, as many as asked for, from where it was asked', async () => {
    const edge = await start(endless(0).source)
    const answer = await edge.get('/v1/stream/decisions?from=beginning&count=3')
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'application/x-ndjson'])
    assert.equal(answer.text, '{"n":0,"filling":""}\n{"n":1,"filling":""}\n{"n":2,"filling":""}\n')
    await edge.get('/v1/stream/decisions?count=1')
    assert.deepEqual(
      edge.asked.map(({ from, signal }) => [from, signal.aborted]),
      [
        ['beginning', true],
        ['end', true],
      ],
    )
    assert.equal((await edge.send('/v1/stream/decisions', { method: 'HEAD' })).status, 200)
    assert.equal(edge.asked.length, 2)
  })

  it('refuses parameters that are none, and is not there without a port', async () => {
    const edge = await start(endless(0).source)
    const bad = await edge.get('/v1/stream/decisions?from=middle&count=0')
    assert.equal(bad.status, 400)
    assert.deepEqual(
      (bad.json as unknown as { errors: { parameter: string }[] }).errors.map(error => error.parameter),
      ['from', 'count'],
    )
    assert.equal((await edge.get('/v1/stream/decisions?count=1&count=2')).status, 400)
    const { stream: _, ...others } = fakeEngine()
    assert.equal((await (await startEdge({ ports: others })).get('/v1/stream/decisions')).status, 404)
  })

  it('asks for no more than a client reads', async () => {
    const { source, made } = endless(64 << 10)
    const edge = await start(source)
    const response = await open(edge)
    // nothing is read: what fits into buffers on the way is made, and then no more
    let before = -1
    while (made() !== before) {
      before = made()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    assert.ok(before * (64 << 10) < 64 << 20, `${before} made without a reader`)
    response.resume()
    while (made() < before + 100) await once(response, 'data')
    response.destroy()
    await aborted(edge.asked[0]!.signal)
  })

  it('releases everything when the client goes away, also while there is nothing to say', async () => {
    const edge = await start(silent)
    const response = await open(edge)
    response.destroy()
    await aborted(edge.asked[0]!.signal)
  })

  it('ends, whole, when the edge closes', async () => {
    const edge = await start(silent)
    const response = await open(edge)
    const text = textOf(response)
    await edge.edge.close()
    assert.equal(await text, '')
    assert.equal(response.complete, true)
  })

  it('cuts off who takes nothing, and not who has nothing to take', async () => {
    const stalled = await start(endless(64 << 10).source, { stalledMsMax: 100 })
    const paused = await open(stalled)
    await aborted(stalled.asked[0]!.signal)
    await assert.rejects(textOf(paused))
    assert.equal(paused.complete, false)

    let say: () => void = () => {}
    const quiet = await start(
      async function* () {
        await new Promise<void>(resolve => {
          say = resolve
        })
        yield Buffer.from('{}')
      },
      { stalledMsMax: 50 },
    )
    const response = await open(quiet, '/v1/stream/decisions?count=1')
    await new Promise(resolve => setTimeout(resolve, 300))
    say()
    assert.equal(await textOf(response), '{}\n')
  })

  it('is cut short, not ended, when its source breaks', async () => {
    const edge = await start(async function* () {
      yield Buffer.from('{}')
      throw new Error('customer c-1 broke it')
    })
    await assert.rejects(textOf(await open(edge)))
    const warning = edge.logged.find(line => line.includes('a stream broke'))
    assert.ok(warning)
    assert.doesNotMatch(warning, /c-1/)
  })

  it('is refused with 429 past the bound, and passes when one has gone', async () => {
    const edge = await start(silent)
    const held = await Promise.all(Array.from({ length: 64 }, () => open(edge)))
    assert.equal((await edge.get('/v1/stream/decisions')).status, 429)
    held[0]!.destroy()
    await aborted(edge.asked[0]!.signal)
    for (const response of held) response.destroy()
  })
})

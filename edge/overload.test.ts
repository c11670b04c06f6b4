/** Slow, broken and too many clients, on bare sockets; the limits are small so that the tests are quick. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { describe, it } from 'node:test'
import { isWeirError } from '../kernel/index.js'
import type { DecideReply } from './index.js'
import { decision, fakeEngine, label, transaction } from './testing/engine.js'
import { closed, startEdge } from './testing/server.js'

const body = JSON.stringify(transaction)
const head = (length: number): string =>
  `POST /v1/decisions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n`
const request = `${head(body.length)}\r\n${body}`
const last = `${head(body.length)}connection: close\r\n\r\n${body}`
const statusesOf = (text: string): string[] => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(match => match[1]!)

/** An engine that holds its answers until `release`. */
function held() {
  const engine = fakeEngine()
  const waiting: (() => void)[] = []
  const arrivals: (() => void)[] = []
  engine.onDecide = asked =>
    new Promise<DecideReply>(resolve => {
      waiting.push(() => resolve({ kind: 'decided', decision: decision(asked), repeated: false }))
      for (const arrived of arrivals.splice(0)) arrived()
    })
  const arrived = async (count: number): Promise<void> => {
    while (waiting.length < count) await new Promise<void>(resolve => arrivals.push(resolve))
  }
  const release = (): void => {
    for (const answer of waiting.splice(0)) answer()
  }
  return { engine, arrived, release }
}

describe('overload', () => {
  it('is refused early with 429, and passes', async () => {
    const { engine, arrived, release } = held()
    const { get, post, raw, url } = await startEdge({ ports: engine, limits: { inFlightMax: 2 } })
    const first = [post('/v1/decisions', transaction), post('/v1/decisions', transaction)]
    await arrived(2)
    const refused = await post('/v1/decisions', transaction)
    assert.deepEqual([refused.status, refused.json?.code, refused.headers.get('retry-after')], [429, 'QUEUE_FULL', '1'])
    assert.equal((await post('/v1/labels', label)).status, 429)
    assert.equal((await get('/v1/decisions/t-1')).status, 429)
    // the answer does not wait for the body
    assert.deepEqual(statusesOf(await raw(`${head(60_000)}connection: close\r\n\r\n{`)), ['429'])
    for (const path of ['/healthz', '/readyz', '/metrics', '/v1/status', '/'])
      assert.equal((await get(path)).status, 200)
    assert.equal((await get('/v1/status')).json?.in_flight, 2)
    release()
    assert.deepEqual(
      (await Promise.all(first)).map(answer => answer.status),
      [200, 200],
    )
    const again = post('/v1/decisions', transaction)
    await arrived(1)
    release()
    assert.equal((await again).status, 200)
    const metrics = await (await fetch(`${url}/metrics`)).text()
    assert.match(metrics, /^weir_http_refused_total\{reason="overloaded"\} 4$/m)
    assert.match(metrics, /^weir_http_in_flight 0$/m)
    assert.match(metrics, /^weir_http_requests_total\{route="\/v1\/decisions",status="429"\} 2$/m)
  })

  it('holds also when bodies arrive after their turn was given', async () => {
    const { engine, arrived, release } = held()
    const { port, edge } = await startEdge({ ports: engine, limits: { inFlightMax: 1 } })
    const texts: string[][] = [[], []]
    const sockets = texts.map(text => connect(port, '127.0.0.1').on('data', chunk => text.push(String(chunk))))
    for (const socket of sockets) socket.write(`${head(body.length)}connection: close\r\n\r\n${body.slice(0, 9)}`)
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    const closes = sockets.map(socket => closed(socket))
    sockets[0]!.write(body.slice(9))
    await arrived(1)
    sockets[1]!.write(body.slice(9))
    await closes[1]
    release()
    await closes[0]
    assert.deepEqual(
      texts.map(text => statusesOf(text.join(''))),
      [['200'], ['429']],
    )
    await edge.close()
  })

  it('of connections is closed at once', async () => {
    const { port, edge } = await startEdge({ limits: { connectionsMax: 1 } })
    const one = connect(port, '127.0.0.1')
    await once(one, 'connect')
    one.write(request)
    assert.deepEqual(statusesOf(String((await once(one, 'data'))[0])), ['200'])
    const two = connect(port, '127.0.0.1').on('error', () => {})
    await closed(two)
    one.destroy()
    const metrics = await edge.registry.metrics()
    assert.match(metrics, /^weir_http_refused_total\{reason="connections"\} 1$/m)
  })
})

describe('readiness', () => {
  it('is asked before a request needs the engine', async () => {
    const { engine, get, post } = await startEdge()
    engine.reasons = ['replaying epoch 7', 'no model yet']
    for (const answer of [
      await post('/v1/decisions', transaction),
      await post('/v1/labels', label),
      await get('/v1/decisions/t'),
    ]) {
      assert.deepEqual([answer.status, answer.json?.code, answer.headers.get('retry-after')], [503, 'NOT_READY', '1'])
    }
    const ready = await get('/readyz')
    assert.deepEqual([ready.status, ready.json?.detail], [503, 'replaying epoch 7; no model yet'])
    assert.equal((await get('/healthz')).status, 200)
    assert.deepEqual((await get('/v1/status')).json?.reasons, ['replaying epoch 7', 'no model yet'])
    engine.reasons = []
    assert.equal((await post('/v1/decisions', transaction)).status, 200)
    assert.deepEqual((await get('/readyz')).json, { status: 'ready' })
  })
})

describe('slow and broken clients', async () => {
  const limits = { headersMsMax: 150, requestMsMax: 300, checkMs: 20, headerBytesMax: 2048 }
  const { engine, edge, raw, port } = await startEdge({ limits })

  it('that trickle a header, a body or nothing are cut off with 408', async () => {
    for (const text of ['', 'POST /v1/dec', `${head(500)}\r\n{"transaction_id":`]) {
      assert.deepEqual(statusesOf(await raw(text)), ['408'], text)
    }
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write(`${head(500)}\r\n`)
    const drip = setInterval(() => socket.write(' '), 30)
    await closed(socket)
    clearInterval(drip)
    assert.deepEqual(
      [engine.transactions.length, (await edge.registry.getSingleMetricAsString('weir_http_in_flight')).at(-1)],
      [0, '0'],
    )
    assert.match(await edge.registry.metrics(), /^weir_http_refused_total\{reason="slow"\} 4$/m)
  })

  it('that speak no HTTP are answered 400, with too large a header 431', async () => {
    const answers = [
      await raw('\u0016\u0003\u0001 hello\r\n\r\n'),
      await raw('GET / HTTP/1.1\r\n\r\n'),
      await raw(`POST /v1/decisions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`),
      await raw(
        `POST /v1/decisions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
      ),
      await raw(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(5000)}\r\n\r\n`),
    ]
    assert.deepEqual(answers.map(statusesOf), [['400'], ['400'], ['400'], ['400'], ['431']])
  })

  it('that hang up, at whatever point, leave nothing behind', async () => {
    for (const cut of [1, 30, head(body.length).length + 2, request.length - 1, request.length]) {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      await once(socket, 'connect')
      socket.write(request.slice(0, cut), () => socket.destroy())
      await closed(socket)
    }
    assert.deepEqual(statusesOf(await raw(last)), ['200'])
    assert.match(await edge.registry.metrics(), /^weir_http_in_flight 0$/m)
  })

  it('that half-close still get their answer', async () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    socket.on('data', chunk => (text += chunk))
    socket.end(request)
    await closed(socket)
    assert.deepEqual(statusesOf(text), ['200'])
  })

  it('that pipeline get their answers in order', async () => {
    const text = await raw(`${request}GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n${last}`)
    assert.deepEqual(statusesOf(text), ['200', '200', '200'])
    assert.ok(text.indexOf('decision_id') < text.indexOf('{"status":"ok"}'))
    assert.ok(text.indexOf('{"status":"ok"}') < text.lastIndexOf('decision_id'))
  })
})

describe('closing', () => {
  it('lets requests in flight finish, and takes no new ones', async () => {
    const { engine, arrived, release } = held()
    const { edge, post, port } = await startEdge({ ports: engine })
    const waiting = post('/v1/decisions', transaction)
    // a kept connection that is in use when the edge closes
    const kept = connect(port, '127.0.0.1')
    let text = ''
    kept.on('data', chunk => (text += chunk))
    kept.write(request)
    // and two on which no request is whole
    const idle = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all(idle.map(socket => once(socket, 'connect')))
    idle[1]!.write('POST /v1/de')
    await arrived(2)
    const closing = edge.close()
    kept.write(request)
    await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`))
    release()
    assert.equal((await waiting).status, 200)
    await closing
    assert.equal(statusesOf(text)[0], '200')
    assert.deepEqual(
      statusesOf(text)
        .slice(1)
        .filter(status => status !== '503'),
      [],
    )
    assert.equal(engine.transactions.length, 2)
  })

  it('cuts what does not finish in time', async () => {
    const { engine, arrived, release } = held()
    const { edge, port } = await startEdge({ ports: engine, limits: { closeMsMax: 50 } })
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write(request)
    await arrived(1)
    await edge.close()
    if (!socket.destroyed) await closed(socket)
    release()
  })
})

describe('listening', () => {
  it('says in one line that the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await assert.rejects(startEdge({ port }), error => {
      assert.ok(isWeirError(error, 'LISTEN_FAILED'))
      assert.match(
        error.message,
        /^LISTEN_FAILED: cannot listen on 127\.0\.0\.1:\d+ \(another program has the port\); /,
      )
      return true
    })
    other.close()
  })
})

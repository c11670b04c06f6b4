import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { type FaultProxy, startProxy } from './index.js'

/** A server that answers each line in capitals, a proxy before it, and a client. */
async function setUp(t: TestContext): Promise<{ proxy: FaultProxy; received: () => string; client: Client }> {
  let received = ''
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', chunk => {
      received += chunk.toString()
      socket.write(chunk.toString().toUpperCase())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await startProxy({ host: '127.0.0.1', port: (server.address() as { port: number }).port })
  const client = await connectTo(proxy)
  t.after(async () => {
    client.socket.destroy()
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { proxy, received: () => received, client }
}

interface Client {
  readonly socket: Socket
  /** Waits for the next bytes, or undefined when none come within 60 ms. */
  readonly next: () => Promise<string | undefined>
}

async function connectTo(proxy: FaultProxy): Promise<Client> {
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  const next = async (): Promise<string | undefined> => {
    try {
      const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(60) })) as [Buffer]
      return chunk.toString()
    } catch (error) {
      if ((error as Error).name === 'AbortError') return undefined
      throw error
    }
  }
  return { socket, next }
}

/** Unlike `once` no failure when an error comes first, which is how a reset is told. */
const closed = (socket: Socket): Promise<unknown> => new Promise(resolve => socket.once('close', resolve))

/** Waits, bounded, for what another process of the event loop brings about. */
async function eventually(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !condition(); tries++) await new Promise(resolve => setTimeout(resolve, 10))
  assert.ok(condition())
}

describe('the fault proxy', () => {
  it('passes bytes both ways, and the end of one direction without the other', async t => {
    const { client } = await setUp(t)
    client.socket.end('a')
    assert.deepEqual(await once(client.socket, 'data'), [Buffer.from('A')])
  })

  it('holds answers back: the server has the request, the client hears when the fault ends', async t => {
    const { proxy, received, client } = await setUp(t)
    proxy.set({ kind: 'hold', direction: 'down' })
    client.socket.write('a')
    await eventually(() => received() === 'a')
    assert.equal(await client.next(), undefined)
    const answer = once(client.socket, 'data')
    proxy.set({ kind: 'none' })
    assert.deepEqual(await answer, [Buffer.from('A')])
  })

  it('holds requests back: the server never sees one that is cut', async t => {
    const { proxy, received, client } = await setUp(t)
    proxy.set({ kind: 'hold', direction: 'up' })
    client.socket.write('a')
    assert.equal(await client.next(), undefined)
    const gone = closed(client.socket)
    proxy.cut()
    await gone
    proxy.set({ kind: 'none' })
    const later = await connectTo(proxy)
    t.after(() => later.socket.destroy())
    const answer = once(later.socket, 'data')
    later.socket.write('b')
    assert.deepEqual(await answer, [Buffer.from('B')])
    assert.equal(received(), 'b')
  })

  it('refuses new connections and leaves open ones alone', async t => {
    const { proxy, client } = await setUp(t)
    proxy.set({ kind: 'refuse' })
    const answer = once(client.socket, 'data')
    client.socket.write('a')
    assert.deepEqual(await answer, [Buffer.from('A')])
    const refused = connect(proxy.port, '127.0.0.1')
    refused.on('error', () => {})
    await closed(refused)
    assert.equal(proxy.openConnections(), 1)
  })

  it('delays in order', async t => {
    const { proxy, client } = await setUp(t)
    proxy.set({ kind: 'delay', ms: 200 })
    client.socket.write('a')
    assert.equal(await client.next(), undefined)
    proxy.set({ kind: 'none' })
    client.socket.write('b')
    let heard = ''
    client.socket.on('data', chunk => {
      heard += chunk.toString()
    })
    await eventually(() => heard.length === 2)
    assert.equal(heard, 'AB')
  })

  it('passes a reset of the server on', async t => {
    const proxy = await startProxy({ host: '127.0.0.1', port: 1 })
    t.after(() => proxy.close())
    const socket = connect(proxy.port, '127.0.0.1')
    socket.on('error', () => {})
    await closed(socket)
    await eventually(() => proxy.openConnections() === 0)
  })
})

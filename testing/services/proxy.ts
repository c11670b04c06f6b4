/** A TCP proxy on the loopback address that breaks what goes through it, when it is told to. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** What the proxy does to open and new connections, until it is told otherwise. */
export type Fault =
  | { readonly kind: 'none' }
  /** Resets what connects; open connections go on. */
  | { readonly kind: 'refuse' }
  /** Every byte arrives that much later, in order. */
  | { readonly kind: 'delay'; readonly ms: number }
  /**
   * Holds back what is sent towards the server (`up`), the client (`down`), or both: a broken network, in which nobody is
   * told anything. What was held back goes on when the fault ends, as it would by TCP's own repetition. `down` and then
   * `cut()` is a request that was carried out and never answered.
   */
  | { readonly kind: 'hold'; readonly direction: 'up' | 'down' | 'both' }

export interface FaultProxy {
  readonly port: number
  /** `127.0.0.1:PORT` */
  readonly address: string
  set(fault: Fault): void
  /** Resets every open connection, at both ends. What was held back is lost. */
  cut(): void
  readonly openConnections: () => number
  close(): Promise<void>
}

/** Of one direction of a connection; then its sender has to wait. */
const heldBytesMax = 1_048_576

/** @param port to listen on; 0 takes a free one */
export async function startProxy(target: { host: string; port: number }, port = 0): Promise<FaultProxy> {
  let fault: Fault = { kind: 'none' }
  const connections = new Set<Connection>()
  const server = createServer({ allowHalfOpen: true }, client => {
    if (fault.kind === 'refuse') {
      client.resetAndDestroy()
      return
    }
    const connection = new Connection(
      client,
      connect({ ...target, allowHalfOpen: true }),
      () => fault,
      () => connections.delete(connection),
    )
    connections.add(connection)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const bound = (server.address() as { port: number }).port
  const cut = (): void => {
    for (const connection of connections) connection.reset()
  }
  return {
    port: bound,
    address: `127.0.0.1:${bound}`,
    set: next => {
      fault = next
      for (const connection of connections) connection.onFaultChange()
    },
    cut,
    openConnections: () => connections.size,
    close: async () => {
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}

class Connection {
  readonly #sockets: readonly [client: Socket, server: Socket]
  readonly #lanes: readonly Lane[]
  readonly #onEnd: () => void
  #isReset = false

  constructor(client: Socket, server: Socket, fault: () => Fault, onEnd: () => void) {
    this.#sockets = [client, server]
    this.#onEnd = onEnd
    this.#lanes = [new Lane(client, server, 'up', fault), new Lane(server, client, 'down', fault)]
    for (const socket of this.#sockets) {
      socket.setNoDelay(true)
      // An error at one end is passed on as a reset at the other.
      socket.on('error', () => this.reset())
      socket.on('close', () => {
        if (this.#sockets.every(each => each.destroyed)) onEnd()
      })
    }
  }

  onFaultChange(): void {
    for (const lane of this.#lanes) lane.pump()
  }

  reset(): void {
    if (this.#isReset) return
    this.#isReset = true
    for (const lane of this.#lanes) lane.drop()
    for (const socket of this.#sockets) {
      // libuv cannot reset a socket that is being shut down: it leaves it open, and the event loop spinning.
      if (socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
    this.#onEnd()
  }
}

/** One direction of a connection: a queue of chunks, each with the time from which it may go on. */
class Lane {
  readonly #from: Socket
  readonly #to: Socket
  readonly #direction: 'up' | 'down'
  readonly #fault: () => Fault
  #queue: { readonly chunk: Buffer | 'end'; readonly dueMs: number }[] = []
  #queuedBytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, direction: 'up' | 'down', fault: () => Fault) {
    this.#from = from
    this.#to = to
    this.#direction = direction
    this.#fault = fault
    from.on('data', chunk => this.#take(chunk as Buffer))
    from.on('end', () => this.#take('end'))
    to.on('drain', () => this.pump())
  }

  drop(): void {
    clearTimeout(this.#timer)
    this.#queue = []
  }

  #take(chunk: Buffer | 'end'): void {
    const fault = this.#fault()
    const dueMs = performance.now() + (fault.kind === 'delay' ? fault.ms : 0)
    // In order, also when a delay has just become shorter.
    this.#queue.push({ chunk, dueMs: Math.max(dueMs, this.#queue.at(-1)?.dueMs ?? 0) })
    this.#queuedBytes += chunk.length
    if (this.#queuedBytes > heldBytesMax) this.#from.pause()
    this.pump()
  }

  /** Passes on what is due. */
  pump(): void {
    clearTimeout(this.#timer)
    const fault = this.#fault()
    if (fault.kind === 'hold' && (fault.direction === 'both' || fault.direction === this.#direction)) return
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if (this.#to.writableNeedDrain) return
      const waitMs = head.dueMs - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.#queue.shift()
      this.#queuedBytes -= head.chunk.length
      if (head.chunk === 'end') this.#to.end()
      else this.#to.write(head.chunk)
    }
    if (this.#from.isPaused()) this.#from.resume()
  }
}

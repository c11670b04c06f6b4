/**
 * An open-loop HTTP load: requests are due at even distances, whatever became of those before, and a latency runs from
 * that moment to the end of the answer (no coordinated omission). It takes a tenth of the CPU of node:http's client, since it
 * shares the machine with the server that it measures, and must not starve before it.
 *
 * Invariants: 1. a request is sent in the millisecond in which it is due, on a connection that waits for no answer; 2. what
 * finds none of the `connectionsMax` idle is counted as `unsent`, not left out in silence.
 */
import { connect, type Socket } from 'node:net'

/**
 * As a load balancer has a pool of them; all are opened, and used once, before the first request is due. A connection opened
 * while the server has no time for it would wait for seconds in the system's own queue, which says nothing about the server.
 */
const connectionsMax = 2_048
const connectionsAtOnce = 64

export interface Block {
  /** Latencies, ms. */
  readonly decided: readonly number[]
  /** Of answers 429 and 503. */
  readonly refused: readonly number[]
  /** Other answers, and connections that broke. */
  readonly other: number
  readonly unsent: number
  /** From the time that requests were sent in. */
  readonly perSecond: number
}

export interface LoadOptions {
  readonly url: string
  readonly rate: number
  readonly seconds: number
  readonly body: () => string
}

/** One keep-alive connection: one request at a time. */
class Connection {
  readonly #socket: Socket
  readonly #onAnswer: (connection: Connection, status: number) => void
  #received = ''
  dueAt = 0

  constructor(url: URL, onAnswer: (connection: Connection, status: number) => void) {
    this.#onAnswer = onAnswer
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', text => this.#take(String(text)))
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => this.#onAnswer(this, 0))
  }

  get open(): boolean {
    return !this.#socket.destroyed
  }

  send(request: string): void {
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.removeAllListeners('close')
    this.#socket.destroy()
  }

  #take(text: string): void {
    this.#received = this.#received === '' ? text : this.#received + text
    const head = this.#received.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#received.slice(0, head))
    if (length === null) return void this.#socket.destroy(new Error('an answer without a length'))
    if (this.#received.length < head + 4 + Number(length[1])) return
    const status = Number(this.#received.slice(9, 12))
    this.#received = ''
    this.#onAnswer(this, status)
  }
}

/** Sends `rate` requests a second at even distances and waits for all their answers. */
export async function openLoop({ url, rate, seconds, body }: LoadOptions): Promise<Block> {
  const target = new URL(url)
  const idle: Connection[] = []
  const decided: number[] = []
  const refused: number[] = []
  const busy = new Set<Connection>()
  let other = 0
  let unsent = 0
  const onAnswer = (connection: Connection, status: number): void => {
    if (!busy.delete(connection)) return
    const ms = performance.now() - connection.dueAt
    if (status === 200) decided.push(ms)
    else if (status === 429 || status === 503) refused.push(ms)
    else other++
    if (connection.open) idle.push(connection)
  }
  const take = (): Connection | undefined => {
    for (let last = idle.pop(); last !== undefined; last = idle.pop()) if (last.open) return last
    return undefined
  }
  const head = `POST ${target.pathname} HTTP/1.1\r\nhost: ${target.host}\r\ncontent-type: application/json\r\ncontent-length: `
  while (idle.length < connectionsMax) {
    for (let i = 0; i < connectionsAtOnce; i++) {
      const connection = new Connection(target, onAnswer)
      busy.add(connection)
      connection.send(`GET /healthz HTTP/1.1\r\nhost: ${target.host}\r\n\r\n`)
    }
    while (busy.size > 0) await new Promise(resolve => setTimeout(resolve, 1))
  }
  decided.length = 0
  const startedAt = performance.now()
  const total = rate * seconds
  for (let sent = 0; sent < total; ) {
    const dueNow = Math.min(total, 1 + Math.floor(((performance.now() - startedAt) * rate) / 1_000))
    for (; sent < dueNow; sent++) {
      const connection = take()
      if (connection === undefined) {
        unsent++
        continue
      }
      const text = body()
      connection.dueAt = startedAt + (sent * 1_000) / rate
      busy.add(connection)
      connection.send(`${head}${Buffer.byteLength(text)}\r\n\r\n${text}`)
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  const sentInS = (performance.now() - startedAt) / 1_000
  while (busy.size > 0) await new Promise(resolve => setTimeout(resolve, 5))
  for (const connection of idle) connection.close()
  return { decided, refused, other, unsent, perSecond: decided.length / sentInS }
}

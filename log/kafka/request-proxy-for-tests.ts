/** A TCP proxy before the brokers, for tests: it holds, cuts or answers requests of one kind. */
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import type { KafkaAddress } from './options.js'

/** Kafka's number of a request. */
export const requestKey = { produce: 0, fetch: 1, initProducerId: 22, addPartitions: 24, endTransaction: 26 } as const

/**
 * - `hold`: the request waits until `release`
 * - `cutBefore`: the connection breaks, and the broker never sees the request
 * - `cutAfter`: the broker gets it, and the connection breaks before the answer
 * - bytes: the broker never sees it, and the client gets these as the body of an answer
 */
export type Fault = 'hold' | 'cutBefore' | 'cutAfter' | Buffer

/** Body of an answer to EndTxn, in either version: throttle time, error, identity of the next transaction. */
export function endTransactionAnswer(errorCode: number): Buffer {
  const body = Buffer.alloc(17, 0xff)
  body.writeInt32BE(0, 0)
  body.writeInt16BE(errorCode, 4)
  body[16] = 0 // no tags
  return body
}

interface Rule {
  readonly key: number
  readonly fault: Fault
  readonly met: () => void
}

export class RequestProxy {
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  readonly #ports = new Map<string, number>()
  /** Requests of each kind that came by. */
  readonly seen = new Map<number, number>()
  #rule: Rule | undefined
  #refusing = false
  #held: (() => void)[] = []

  static async before(brokers: readonly string[]): Promise<RequestProxy> {
    const proxy = new RequestProxy()
    for (const broker of brokers) {
      const [host, port] = broker.split(':') as [string, string]
      const server = createServer(client => {
        if (proxy.#refusing) client.destroy()
        else proxy.#join(client, dial(Number(port), host))
      })
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      proxy.#servers.push(server)
      proxy.#ports.set(broker, (server.address() as { port: number }).port)
    }
    return proxy
  }

  /** For KafkaOptions.addressOf. */
  readonly addressOf = ({ host, port }: KafkaAddress): KafkaAddress => {
    const through = this.#ports.get(`${host}:${port}`)
    return through === undefined ? { host, port } : { host: '127.0.0.1', port: through }
  }

  /** The next request of this kind meets the fault; resolves when it does. */
  next(key: number, fault: Fault): Promise<void> {
    return new Promise(met => {
      this.#rule = { key, fault, met }
    })
  }

  /** What is held goes on to the broker. */
  release(): void {
    const held = this.#held
    this.#held = []
    for (const go of held) go()
  }

  /** Whether every connection breaks, new ones too. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing
    if (refusing) this.cutAll()
  }

  /** Every connection breaks. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    this.cutAll()
    await Promise.all(this.#servers.map(server => new Promise(resolve => server.close(resolve))))
  }

  #join(client: Socket, broker: Socket): void {
    let pending = Buffer.alloc(0)
    let muted = false
    const cut = (): void => {
      client.destroy()
      broker.destroy()
    }
    for (const socket of [client, broker]) {
      socket.setNoDelay(true)
      this.#sockets.add(socket)
      socket.on('error', cut)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        cut()
      })
    }
    broker.on('data', chunk => {
      if (muted) cut()
      else client.write(chunk)
    })
    client.on('data', chunk => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 6 && pending.length >= 4 + pending.readInt32BE(0)) {
        const end = 4 + pending.readInt32BE(0)
        const request = pending.subarray(0, end)
        pending = pending.subarray(end)
        const key = request.readInt16BE(4)
        this.seen.set(key, (this.seen.get(key) ?? 0) + 1)
        const rule = this.#rule
        if (rule?.key !== key) {
          broker.write(request)
          continue
        }
        this.#rule = undefined
        if (rule.fault === 'hold') this.#held.push(() => broker.write(request))
        else if (rule.fault === 'cutBefore') cut()
        else if (rule.fault === 'cutAfter') {
          muted = true
          broker.write(request)
        } else client.write(answerTo(request, rule.fault))
        rule.met()
      }
    })
  }
}

/** An answer's header is its length, the request's correlation id, and no tags. */
function answerTo(request: Buffer, body: Buffer): Buffer {
  const header = Buffer.alloc(9)
  header.writeInt32BE(5 + body.length, 0)
  request.copy(header, 4, 8, 12)
  return Buffer.concat([header, body])
}

/**
 * One HTTP request, and its answer whole. node:http and not fetch: connections are bounded and kept, and an answer that
 * goes on for hours (followed decisions) meets no time-out of its own.
 *
 * Invariants: every bound has a name (I6); whatever keeps an answer from coming is UNREACHABLE.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { messageOf, WeirError } from '../../kernel/index.js'

export interface HttpReply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  /** Begins with a slash. */
  readonly path: string
  /** JSON. */
  readonly body?: Uint8Array
  readonly signal?: AbortSignal
}

/** Longer than the longest deadline that a caller may ask for. */
const silenceMsMax = 40_000
const replyBytesMax = 4 << 20

export class HttpConnection {
  readonly #origin: string
  readonly #token: string | undefined
  readonly #agent: HttpAgent
  readonly #request: typeof httpRequest

  /** @param origin such as http://127.0.0.1:8080, without a path @param connectionsMax open at once */
  constructor(origin: string, token: string | undefined, connectionsMax: number) {
    const secure = origin.startsWith('https:')
    const options = { keepAlive: true, maxSockets: connectionsMax }
    this.#origin = origin
    this.#token = token
    this.#agent = secure ? new HttpsAgent(options) : new HttpAgent(options)
    this.#request = secure ? httpsRequest : httpRequest
  }

  /** @throws WeirError UNREACHABLE; the signal's reason once it is aborted */
  async send(request: HttpRequest): Promise<HttpReply> {
    const message = await this.open(request, silenceMsMax)
    try {
      return { status: message.statusCode ?? 0, headers: message.headers, body: await wholeOf(message) }
    } catch (error) {
      request.signal?.throwIfAborted()
      throw this.unreachable(error)
    }
  }

  /** The answer as soon as its header is there. @param silenceMs after which the connection is given up; 0: never */
  open({ method, path, body, signal }: HttpRequest, silenceMs: number): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = this.#request(
        `${this.#origin}${path}`,
        {
          method,
          agent: this.#agent,
          headers: {
            accept: 'application/json, application/x-ndjson',
            ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
            ...(body !== undefined && { 'content-type': 'application/json', 'content-length': body.byteLength }),
          },
          ...(signal && { signal }),
        },
        resolve,
      )
      if (silenceMs > 0) {
        outgoing.setTimeout(silenceMs, () => outgoing.destroy(new Error(`no answer within ${silenceMs / 1_000} s`)))
      }
      outgoing.on('error', error => reject(signal?.aborted ? signal.reason : this.unreachable(error)))
      outgoing.end(body)
    })
  }

  unreachable(cause: unknown): WeirError {
    return new WeirError('UNREACHABLE', `${this.#origin} does not answer: ${whyOf(cause)}`, { cause })
  }

  close(): void {
    this.#agent.destroy()
  }
}

async function wholeOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > replyBytesMax) throw new Error(`its answer is longer than ${replyBytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}

/** Several addresses of one name fail as an AggregateError without a message. */
function whyOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined
  return messageOf(first ?? error) || (code ?? 'unknown')
}

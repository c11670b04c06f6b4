/** A client of a running Weir: what the verbs that talk to one need of its HTTP (contract, HTTP). */
import { type ErrorCode, errorTable, isWeirError, WeirError } from '../../kernel/index.js'
import { HttpConnection, type HttpReply } from './http.js'
import { linesOf } from './lines.js'

export interface ClientOptions {
  /** Such as http://127.0.0.1:8080. */
  readonly url: string
  /** An API key or a JWT, where the deployment asks for one. */
  readonly token?: string | undefined
  /** Requests under way at once; further ones wait. Default 1. */
  readonly connectionsMax?: number
}

/** Why Weir did not do what it was asked for (RFC 9457). */
export interface Refusal {
  readonly status: number
  /** Of docs/errors.md; undefined where another version, or something in between, knows other codes. */
  readonly code: ErrorCode | undefined
  readonly detail: string
}

export type PostReply =
  | { readonly kind: 'accepted'; readonly reply: HttpReply }
  /** @see Refusal */
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly retryAfterMs: number | undefined }

export interface FollowOptions {
  /** `end`: what is decided after the request. */
  readonly from: 'beginning' | 'end'
  /** Ends after so many; undefined: never. */
  readonly count: number | undefined
  readonly signal: AbortSignal
}

export class WeirClient {
  readonly #http: HttpConnection

  /** @throws WeirError USAGE when the address is none */
  constructor(options: ClientOptions) {
    this.#http = new HttpConnection(originOf(options.url), options.token, options.connectionsMax ?? 1)
  }

  /** @param path such as /v1/decisions, with its query @throws WeirError UNREACHABLE */
  async post(path: string, body: Uint8Array): Promise<PostReply> {
    const reply = await this.#http.send({ method: 'POST', path, body })
    if (reply.status >= 200 && reply.status < 300) return { kind: 'accepted', reply }
    const after = Number(reply.headers['retry-after'] ?? Number.NaN)
    const retryAfterMs = Number.isFinite(after) && after >= 0 ? after * 1_000 : undefined
    return { kind: 'refused', refusal: refusalOf(reply), retryAfterMs }
  }

  /**
   * One decision, as JSON.
   * @param query such as `include_explanation=true`
   * @throws WeirError UNREACHABLE, NOT_FOUND, AMBIGUOUS_ID, and what else the server says
   */
  async decision(transactionId: string, customerId: string | undefined, query = ''): Promise<Buffer> {
    const customer = customerId === undefined ? [] : [`customer_id=${encodeURIComponent(customerId)}`]
    const parameters = [...customer, ...(query === '' ? [] : [query])]
    const path = `/v1/decisions/${encodeURIComponent(transactionId)}`
    return (await this.#get(parameters.length === 0 ? path : `${path}?${parameters.join('&')}`)).body
  }

  /**
   * What a step keeps of a key, as JSON (KeyState of /openapi.json). @param showPii keys and texts whole
   * @throws WeirError UNREACHABLE, UNKNOWN_STEP, SLOT_ELSEWHERE, NOT_READY, and what else the server says
   */
  async state(step: string, key: string, showPii: boolean): Promise<Buffer> {
    const path = `/v1/admin/state/${encodeURIComponent(step)}/${encodeURIComponent(key)}`
    return (await this.#get(showPii ? `${path}?show_pii=true` : path)).body
  }

  /**
   * Decisions as they are made, each a line of JSON without its end; read slowly and they come slowly.
   * Ends after `count`, when the server ends it, or when the signal is aborted.
   * @throws WeirError UNREACHABLE when the connection breaks
   */
  async *decisions({ from, count, signal }: FollowOptions): AsyncGenerator<Buffer, void, undefined> {
    const path = `/v1/stream/decisions?from=${from}${count === undefined ? '' : `&count=${count}`}`
    const message = await this.#http.open({ method: 'GET', path, signal }, 0)
    try {
      if (message.statusCode !== 200) {
        const chunks: Buffer[] = []
        for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk)
        throw errorOf(refusalOf({ status: message.statusCode ?? 0, headers: {}, body: Buffer.concat(chunks) }))
      }
      yield* linesOf(message as AsyncIterable<Buffer>)
    } catch (error) {
      if (signal.aborted) return
      throw isWeirError(error) ? error : this.#http.unreachable(error)
    } finally {
      message.destroy()
    }
  }

  /** True when a Weir answers at the address, ready or not; false when nothing or something else does. */
  async answers(signal: AbortSignal): Promise<boolean> {
    try {
      const { status, body } = await this.#http.send({ method: 'GET', path: '/healthz', signal })
      return status === 200 && (JSON.parse(body.toString('utf8')) as { status?: unknown }).status === 'ok'
    } catch {
      // not JSON, no HTTP, or nobody there: in any case no Weir
      return false
    }
  }

  close(): void {
    this.#http.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #get(path: string): Promise<HttpReply> {
    const reply = await this.#http.send({ method: 'GET', path })
    if (reply.status !== 200) throw errorOf(refusalOf(reply))
    return reply
  }
}

/** A refusal as an error of its own code, or UNREACHABLE when no Weir can have said it. */
export function errorOf({ status, code, detail }: Refusal): WeirError {
  return code === undefined
    ? new WeirError('UNREACHABLE', `the server answers ${status}: ${detail}`)
    : new WeirError(code, detail)
}

function refusalOf({ status, body }: HttpReply): Refusal {
  try {
    const { code, detail, errors } = JSON.parse(body.toString('utf8')) as Record<string, unknown>
    const known = typeof code === 'string' && Object.hasOwn(errorTable, code) ? (code as ErrorCode) : undefined
    const fields = Array.isArray(errors) ? errors.map(error => (error as { message?: unknown }).message) : []
    const what = [...(typeof detail === 'string' ? [detail] : []), ...fields.filter(text => typeof text === 'string')]
    if (known !== undefined || what.length > 0) return { status, code: known, detail: what.join('; ') }
  } catch {
    // no problem details: the status alone must do
  }
  return { status, code: undefined, detail: 'this is not how Weir answers' }
}

function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.pathname === '/' && parsed.search === '') {
    return parsed.origin
  }
  throw new WeirError('USAGE', `'${url}' is no address such as http://127.0.0.1:8080`)
}

/**
 * The port over the Confluent API of a registry (Confluent, Apicurio, Karapace).
 *
 * Our own hundred lines rather than the client of `@kafkajs/confluent-schema-registry`, which has no time-out, reports a
 * refused connection as status 400, and insists on one compatibility level (docs/decisions/0008-services-in-tests.md).
 * Tests hold it against that client.
 *
 * Invariants: every request ends within `requestMsMax` and is tried `attemptsMax` times (I6); credentials appear in no error.
 */
import { type Clock, messageOf, millis, WeirError } from '../../kernel/index.js'
import type { FoundSchema, SchemaRegistry } from './port.js'

export interface RegistryOptions {
  /** Base address; `https://USER:PASSWORD@…` is taken as credentials too. */
  readonly url: string
  /** Sent as basic authentication. */
  readonly credentials?: { readonly username: string; readonly password: string }
  readonly clock: Clock
  readonly requestMsMax?: number
  readonly attemptsMax?: number
  readonly pauseMs?: number
}

interface Reply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export class HttpSchemaRegistry implements SchemaRegistry {
  readonly #base: string
  /** Without credentials. */
  readonly #name: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #options: Required<Omit<RegistryOptions, 'credentials'>>

  /** @throws WeirError USAGE for what is no address */
  constructor(options: RegistryOptions) {
    this.#options = { requestMsMax: 5_000, attemptsMax: 3, pauseMs: 200, ...options }
    const url = parseUrl(options.url)
    const { username, password } = options.credentials ?? {
      username: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    }
    const basic = Buffer.from(`${username}:${password}`).toString('base64')
    this.#headers = {
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
      'content-type': 'application/vnd.schemaregistry.v1+json',
      ...(username === '' ? {} : { authorization: `Basic ${basic}` }),
    }
    url.username = ''
    url.password = ''
    this.#name = url.origin
    this.#base = url.href.replace(/\/$/, '')
  }

  async schemaOf(id: number): Promise<FoundSchema> {
    const { status, body } = await this.#request('GET', `/schemas/ids/${id}`)
    if (status === 404) return { kind: 'unknown' }
    if (status !== 200 || typeof body.schema !== 'string') throw this.#unexpected(`schema ${id}`, status, body)
    const type = body.schemaType ?? 'AVRO'
    return type === 'AVRO' ? { kind: 'avro', schema: body.schema } : { kind: 'other', type: String(type) }
  }

  async latest(subject: string): Promise<string | undefined> {
    const { status, body } = await this.#request('GET', `/subjects/${encodeURIComponent(subject)}/versions/latest`)
    if (status === 404) return undefined
    if (status !== 200 || typeof body.schema !== 'string') throw this.#unexpected(subject, status, body)
    return body.schema
  }

  async register(subject: string, schema: string): Promise<number> {
    const path = `/subjects/${encodeURIComponent(subject)}`
    const known = await this.#request('POST', path, { schema })
    if (known.status === 200 && typeof known.body.id === 'number') return known.body.id
    const { status, body } = await this.#request('POST', `${path}/versions`, { schema })
    if (status === 200 && typeof body.id === 'number') return body.id
    if (status === 409 || status === 422) {
      throw new WeirError('SCHEMA_CONFLICT', `the registry refuses our schema for ${subject}: ${saidBy(body)}`)
    }
    throw this.#unexpected(subject, status, body)
  }

  async #request(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Reply> {
    const { attemptsMax, pauseMs, requestMsMax, clock } = this.#options
    for (let attempt = 1; ; attempt++) {
      try {
        const reply = await fetch(this.#base + path, {
          method,
          headers: this.#headers,
          signal: AbortSignal.timeout(requestMsMax),
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        const text = await reply.text()
        if (reply.status >= 500 || reply.status === 429) throw new Error(`status ${reply.status}`)
        return { status: reply.status, body: parseBody(text) }
      } catch (error) {
        if (attempt === attemptsMax) {
          const why = messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error)
          throw new WeirError('REGISTRY_UNREACHABLE', `the schema registry at ${this.#name} does not answer: ${why}`, {
            cause: error,
          })
        }
        await clock.sleep(millis(pauseMs * attempt))
      }
    }
  }

  /** An answer that says nothing about a schema (401, 403, a proxy's page): as good as none. */
  #unexpected(what: string, status: number, body: Reply['body']): WeirError {
    const said = saidBy(body)
    return new WeirError(
      'REGISTRY_UNREACHABLE',
      `the schema registry at ${this.#name} answered ${status} for ${what}: ${said}`,
    )
  }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text)
  } catch {
    // Not the text itself, which may hold a password.
    throw new WeirError('USAGE', 'the address of the schema registry is no URL')
  }
}

function parseBody(text: string): Reply['body'] {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Reply['body']) : {}
  } catch {
    // Not JSON: an answer of something that is no registry, which its status and the missing fields show.
    return {}
  }
}

const saidCharactersMax = 500

const saidBy = (body: Reply['body']): string => String(body.message ?? 'no reason given').slice(0, saidCharactersMax)

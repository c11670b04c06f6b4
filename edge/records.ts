/**
 * Bodies as records. The schema (through the framework) is the first line, the decoder of schemas/avro the second; a record
 * passes when both accept it, so what the edge takes always decodes behind it. Card numbers are tokens from here on.
 *
 * When a body is refused, all its errors are looked for: those that the schema saw, then each other field alone before
 * the decoder, then what only the whole text shows (a name that stands twice, `1.0` for an integer).
 */
import type { FastifyRequest } from 'fastify'
import type { ErrorCode } from '../kernel/index.js'
import {
  type ArrivedTransaction,
  type Label,
  labelJson,
  type RecordDecoder,
  RecordError,
  type TransactionOptions,
  transactionJson,
} from '../schemas/avro/index.js'
import { aheadMsMax, fieldProblemsMax } from './limits.js'
import type { FieldProblem, Problem } from './problem.js'
import { fieldCode, labelSchema, type RecordSchema, transactionSchema } from './schemas.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The body as it came; null when there was none. */
    rawBody: Buffer | null
  }
}

/** What is wrong with a body, or what it says. */
export type Read<T> = { readonly record: T } | { readonly problem: Problem }

export interface RecordReader<T> {
  read(request: FastifyRequest): Read<T>
}

export interface RecordReaderOptions extends TransactionOptions {
  readonly nowMs: () => number
  /** Called with the number of unknown fields of a record that has some. */
  readonly onUnknownFields: (count: number) => void
}

export function transactionReader(options: RecordReaderOptions): RecordReader<ArrivedTransaction> {
  const whole = {
    transaction_id: 'x',
    event_time: 0,
    customer_id: 'x',
    terminal_id: 'x',
    amount_minor: 0,
    currency: 'EUR',
  }
  return new Reader(transactionSchema, transactionJson(options), whole, options)
}

export function labelReader(options: RecordReaderOptions): RecordReader<Label> {
  const ids = { transaction_id: 'x', customer_id: 'x', terminal_id: 'x' }
  const whole = { ...ids, event_time: 0, label: 'fraud', label_source: 'chargeback', available_at: 0 }
  return new Reader(labelSchema, labelJson(), whole, options)
}

type JsonObject = Readonly<Record<string, unknown>>

class Reader<T extends { readonly event_time: number }> implements RecordReader<T> {
  readonly #schema: RecordSchema
  readonly #decoder: RecordDecoder<T>
  /** A record without fault, in which one field after the other is replaced. */
  readonly #whole: JsonObject
  readonly #options: RecordReaderOptions
  #unknownFields = 0

  constructor(schema: RecordSchema, decoder: RecordDecoder<T>, whole: JsonObject, options: RecordReaderOptions) {
    this.#schema = schema
    this.#decoder = decoder
    this.#whole = whole
    this.#options = options
  }

  read(request: FastifyRequest): Read<T> {
    const bytes = request.rawBody
    if (bytes === null) return { problem: wholeBody('MALFORMED_RECORD', 'the request has no body') }
    const decoded = this.#decoder.decode(bytes, 0, bytes.length)
    this.#countUnknown()
    if (!(decoded instanceof RecordError) && request.validationError === undefined && !this.#isAhead(decoded)) {
      return { record: decoded }
    }
    return { problem: this.#problem(request, decoded) }
  }

  #isAhead(record: T): boolean {
    return record.event_time > this.#options.nowMs() + aheadMsMax
  }

  #countUnknown(): void {
    const count = this.#decoder.unknownFields - this.#unknownFields
    if (count === 0) return
    this.#unknownFields += count
    this.#options.onUnknownFields(count)
  }

  #problem(request: FastifyRequest, decoded: T | RecordError): Problem {
    const { body } = request
    const refused = decoded instanceof RecordError ? decoded : undefined
    if (!isObject(body)) {
      return wholeBody(refused?.code ?? 'MALFORMED_RECORD', refused?.message ?? 'the body is not a JSON object')
    }
    const problems = new Map<string, FieldProblem>()
    for (const error of request.validationError?.validation ?? []) this.#noteSchemaError(error, body, problems)
    const faulty = new Set([...problems.keys()].map(fieldOf))
    for (const name of Object.keys(this.#schema.properties)) {
      if (Object.hasOwn(body, name) && !faulty.has(name)) this.#probe(name, body[name], problems)
    }
    if (refused !== undefined) {
      const name = refused.message.split(' ', 1)[0]!
      if (!Object.hasOwn(this.#schema.properties, name)) return wholeBody(refused.code, refused.message)
      const pointer = `/${name}`
      if (![...problems.keys()].some(key => fieldOf(key) === name)) {
        problems.set(pointer, { pointer, code: refused.code, message: refused.message })
      }
    }
    return invalidRequest([...problems.values()])
  }

  #noteSchemaError(error: SchemaError, body: JsonObject, problems: Map<string, FieldProblem>): void {
    const missing = error.keyword === 'required' ? String(error.params?.missingProperty) : undefined
    const pointer = missing === undefined ? error.instancePath : `/${missing}`
    const [, name = '', below] = pointer.split('/')
    if (problems.has(pointer) || name === '') return
    if (missing !== undefined || body[name] === null) {
      problems.set(pointer, { pointer, code: 'MISSING_FIELD', message: `${name} is missing` })
      return
    }
    const message =
      below === undefined
        ? `${name} is not ${String(this.#schema.properties[name]?.description)}`
        : `a value in ${name} is not a string`
    problems.set(pointer, { pointer, code: fieldCode(name), message })
  }

  /** Puts one field before the decoder, in a record that has no other fault. */
  #probe(name: string, value: unknown, problems: Map<string, FieldProblem>): void {
    const bytes = Buffer.from(JSON.stringify({ ...this.#whole, [name]: value }))
    const decoded = this.#decoder.decode(bytes, 0, bytes.length)
    const pointer = `/${name}`
    if (decoded instanceof RecordError) {
      problems.set(pointer, { pointer, code: decoded.code, message: decoded.message })
    } else if (this.#isAhead(decoded)) {
      const message = `${name} is more than a day ahead of the clock here`
      problems.set(pointer, { pointer, code: 'INVALID_EVENT_TIME', message })
    }
  }
}

/** The field that a JSON pointer goes through. */
const fieldOf = (pointer: string): string | undefined => pointer.split('/', 2)[1]

interface SchemaError {
  readonly keyword: string
  readonly instancePath: string
  readonly params?: Readonly<Record<string, unknown>>
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What is wrong with a body as a whole: RFC 6901 points at it with ''. */
function wholeBody(code: ErrorCode, message: string): Problem {
  return { code, detail: message, errors: [{ pointer: '', code, message }] }
}

/** A 400 that lists its errors, at most `fieldProblemsMax` of them. */
export function invalidRequest(problems: readonly FieldProblem[]): Problem {
  const errors = problems.slice(0, fieldProblemsMax)
  const count = problems.length === 1 ? 'one error' : `${problems.length} errors`
  const left = problems.length > errors.length ? `, of which the first ${errors.length} are listed` : ''
  return { code: 'INVALID_REQUEST', detail: `the request has ${count}${left}`, errors }
}

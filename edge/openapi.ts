/**
 * The OpenAPI 3.1 document, made of the schemas that validate (edge/schemas.ts) and a table of what each operation answers.
 * A test holds every answer that the edge's tests see against it.
 */
import {
  decisionSchema,
  healthSchema,
  keyStateSchema,
  pendingSchema,
  problemSchema,
  recordedSchema,
  statusSchema,
} from './decision-schemas.js'
import { decideParameters, findParameters, stateParameters } from './parameters.js'
import { problemType } from './problem.js'
import { identifier, type JsonSchema, labelSchema, transactionSchema } from './schemas.js'
import { ndjsonType, streamParameters } from './stream-parameters.js'

const components: Readonly<Record<string, JsonSchema>> = {
  Transaction: transactionSchema,
  Label: labelSchema,
  Decision: decisionSchema,
  Pending: pendingSchema,
  Recorded: recordedSchema,
  Health: healthSchema,
  Status: statusSchema,
  KeyState: keyStateSchema,
  Problem: problemSchema,
}

const reference = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: JsonSchema, example?: unknown): JsonSchema => ({
  'application/json': example === undefined ? { schema } : { schema, example },
})
const text = (type: string): JsonSchema => ({ [type]: { schema: { type: 'string' } } })

const retryAfter: JsonSchema = { description: 'Seconds to wait.', schema: { type: 'integer', minimum: 1 } }

const problemTexts = {
  400: 'Not valid: every error is listed',
  401: 'No valid credentials',
  403: 'Valid credentials that do not allow this',
  404: 'Not found',
  405: 'Another method is meant',
  408: 'The request took too long to arrive',
  409: 'Several customers have this id: ask again with customer_id',
  410: 'Decided before, but that decision is past its retention',
  413: 'The body is longer than 64 KB',
  415: 'The body is not application/json in UTF-8 without compression',
  422: 'Same id and customer as before, but another amount, currency or terminal; or no step could process it',
  429: 'Too many requests wait',
  431: 'The header is too large',
  500: 'Weir failed; the log has the request id',
  503: 'Not ready, closing, or the log cannot be written',
} as const

type ProblemStatus = keyof typeof problemTexts

function problems(statuses: readonly ProblemStatus[]): Record<string, JsonSchema> {
  const content = { [problemType.split(';')[0]!]: { schema: reference('Problem') } }
  return Object.fromEntries(
    statuses.map(status => {
      const headers = status === 429 || status === 503 ? { headers: { 'Retry-After': retryAfter } } : {}
      return [String(status), { description: problemTexts[status], ...headers, content }]
    }),
  )
}

/** What any request may get, whatever it asks for. */
const always = [400, 408, 431, 500, 503] as const satisfies readonly ProblemStatus[]
const withBody = [...always, 401, 403, 413, 415, 429] as const satisfies readonly ProblemStatus[]

const parameters = (schemas: Readonly<Record<string, JsonSchema>>): JsonSchema[] =>
  Object.entries(schemas).map(([name, { description, ...schema }]) => ({ name, in: 'query', description, schema }))

const exampleIds = { transaction_id: 't-1', customer_id: 'c-1', terminal_id: 'terminal-1' }
const exampleTransaction = { ...exampleIds, event_time: '2025-01-31T12:00:00Z', amount_minor: 1250, currency: 'EUR' }
const exampleLabel = {
  ...exampleIds,
  event_time: '2025-01-31T12:00:00Z',
  label: 'fraud',
  label_source: 'chargeback',
  available_at: '2025-02-07T12:00:00Z',
}

const body = (name: string, example: unknown): JsonSchema => ({
  required: true,
  content: json(reference(name), example),
})

function decide(operationId: string): JsonSchema {
  return {
    operationId,
    summary: 'Decide on a transaction',
    description:
      'Waits for the decision, at most deadline_ms. Neither 200 nor 202 comes before the transaction is durable. The same ' +
      'transaction sent again gets its first decision again.',
    parameters: parameters(decideParameters),
    requestBody: body('Transaction', exampleTransaction),
    responses: {
      200: {
        description: 'The decision, or a provisional one after the deadline',
        headers: {
          'Weir-Repeated': {
            description: 'true when the transaction was decided before, and this is that first decision.',
            schema: { type: 'string', const: 'true' },
          },
        },
        content: json(reference('Decision')),
      },
      202: {
        description: 'Not decided within the deadline; it will be',
        headers: {
          Location: { description: 'Where the decision will be.', schema: { type: 'string' } },
          'Retry-After': retryAfter,
        },
        content: json(reference('Pending')),
      },
      ...problems([...withBody, 410, 422]),
    },
  }
}

/** A GET that needs nothing and answers `content`. */
function plain(
  operationId: string,
  summary: string,
  content: JsonSchema,
  more: readonly ProblemStatus[] = [],
): JsonSchema {
  return {
    operationId,
    summary,
    responses: { 200: { description: summary, content }, ...problems([...always, ...more]) },
  }
}

const paths: Readonly<Record<string, JsonSchema>> = {
  '/v1/decisions': { post: decide('decide') },
  '/fraud/detect': { post: { ...decide('detect'), description: 'An alias of /v1/decisions for callers of old.' } },
  '/v1/decisions/{transaction_id}': {
    get: {
      operationId: 'findDecision',
      summary: 'Look up a decision by transaction id',
      parameters: [
        { name: 'transaction_id', in: 'path', required: true, schema: identifier },
        ...parameters(findParameters),
      ],
      responses: {
        200: { description: 'The decision', content: json(reference('Decision')) },
        ...problems([...always, 401, 403, 404, 409, 429]),
      },
    },
  },
  '/v1/stream/decisions': {
    get: {
      operationId: 'followDecisions',
      summary: 'Decisions as they are made, one a line',
      description:
        'NDJSON: one Decision and a line feed each, in the order of the log, as fast as the client reads. The response ' +
        'ends after `count` or when the server closes. 404 where the deployment has no stream.',
      parameters: parameters(streamParameters),
      responses: {
        200: { description: 'Lines of Decision', content: { [ndjsonType]: { schema: reference('Decision') } } },
        ...problems([...always, 401, 403, 404, 429]),
      },
    },
  },
  '/v1/labels': {
    post: {
      operationId: 'recordLabel',
      summary: 'Record what became known about a transaction',
      requestBody: body('Label', exampleLabel),
      responses: { 202: { description: 'Recorded', content: json(reference('Recorded')) }, ...problems(withBody) },
    },
  },
  '/v1/status': { get: plain('status', 'Health, rates and last decisions', json(reference('Status')), [401, 403]) },
  '/v1/admin/state/{step}/{key}': {
    get: {
      operationId: 'inspectState',
      summary: 'What a step keeps of a key',
      description:
        'As of the last committed epoch; read between epochs, without a trace. `found` is false for a key without state. ' +
        '404 for a step that keeps none, and where the deployment keeps its state in workers: ask them.',
      parameters: [
        { name: 'step', in: 'path', required: true, schema: identifier },
        { name: 'key', in: 'path', required: true, schema: identifier },
        ...parameters(stateParameters),
      ],
      responses: {
        200: { description: 'The state of the key', content: json(reference('KeyState')) },
        ...problems([...always, 401, 403, 404, 429]),
      },
    },
  },
  '/healthz': { get: plain('healthz', 'The process lives', json(reference('Health'))) },
  '/readyz': { get: plain('readyz', 'Requests can be served', json(reference('Health'))) },
  '/metrics': { get: plain('metrics', 'Prometheus metrics', text('text/plain')) },
  '/openapi.json': { get: plain('openapi', 'This document', json({ type: 'object' })) },
  '/': { get: plain('page', 'The status page', text('text/html')) },
  '/console/{file}': {
    get: {
      ...plain('pageFile', 'A file of the status page', { ...text('text/css'), ...text('text/javascript') }, [404]),
      parameters: [{ name: 'file', in: 'path', required: true, schema: { type: 'string' } }],
    },
  },
}

const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key or a JWT, where the deployment asks for one.' },
}

export function openApiDocument(): JsonSchema {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Weir',
      version: '1',
      description: 'Fraud decisions over HTTP. Errors are problem details (RFC 9457) with a code of docs/errors.md.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    security: [{}, { bearer: [] }],
    paths,
    components: { schemas: components, securitySchemes },
  }
}

/**
 * What went wrong, as RFC 9457 problem details. One table says which status and title a code has over HTTP; everything that
 * the edge refuses goes through `sendProblem`.
 *
 * Invariant: no problem echoes a value that the client sent; it could be a card number.
 */
import type { FastifyReply } from 'fastify'
import type { ErrorCode } from '../kernel/index.js'
import { retryAfterSeconds } from './limits.js'

/** One error of a request: in its body (`pointer`, RFC 6901) or in its query or path (`parameter`). */
export interface FieldProblem {
  readonly pointer?: string
  readonly parameter?: string
  readonly code: ErrorCode
  readonly message: string
}

export interface Problem {
  readonly code: ErrorCode
  /** What happened, one sentence. */
  readonly detail: string
  readonly errors?: readonly FieldProblem[]
  /** In place of the status that the code has. */
  readonly status?: number
}

const statuses: Partial<Record<ErrorCode, readonly [status: number, title: string]>> = {
  INVALID_REQUEST: [400, 'The request is not valid'],
  MALFORMED_RECORD: [400, 'The body is not one JSON object'],
  INVALID_ENCODING: [400, 'The body is not valid UTF-8'],
  UNAUTHENTICATED: [401, 'Credentials are missing or not valid'],
  FORBIDDEN: [403, 'The credentials do not allow this'],
  NOT_FOUND: [404, 'There is nothing here'],
  UNKNOWN_STEP: [404, 'No step of this name keeps state'],
  METHOD_NOT_ALLOWED: [405, 'The resource has other methods'],
  REQUEST_TIMEOUT: [408, 'The request took too long to arrive'],
  AMBIGUOUS_ID: [409, 'Several customers have this transaction id'],
  DECISION_EXPIRED: [410, 'The decision is past its retention'],
  RECORD_TOO_LARGE: [413, 'The body is too large'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'The body is not application/json'],
  IDEMPOTENCY_MISMATCH: [422, 'The transaction id was used for another payment'],
  OPERATOR_EXCEPTION: [422, 'The record could not be processed'],
  QUEUE_FULL: [429, 'Too many requests wait'],
  INTERNAL_ERROR: [500, 'Weir failed'],
  NOT_READY: [503, 'Not ready'],
  LOG_UNAVAILABLE: [503, 'The log cannot be written'],
}

/** Engine trouble that passes by itself: the caller may try again. */
const unavailable: ReadonlySet<ErrorCode> = new Set([
  'BACKEND_FAILED',
  'SLOT_FENCED',
  'COMMIT_INDEFINITE',
  'EPOCH_FAILED',
])

/** The code under which an error of the engine is shown; null when it is our own bug. */
export function shownAs(code: ErrorCode): ErrorCode | null {
  if (statuses[code] !== undefined) return code
  return unavailable.has(code) ? 'LOG_UNAVAILABLE' : null
}

export const statusOf = (code: ErrorCode): number => statuses[code]?.[0] ?? 400
const titleOf = (code: ErrorCode): string => statuses[code]?.[1] ?? 'The record was refused'

export function problemJson(problem: Problem, requestId: string): string {
  const { code, detail, errors, status = statusOf(code) } = problem
  return JSON.stringify({
    type: `urn:weir:error:${code}`,
    title: titleOf(code),
    status,
    detail,
    instance: `urn:weir:request:${requestId}`,
    code,
    errors,
  })
}

export const problemType = 'application/problem+json; charset=utf-8'

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const status = problem.status ?? statusOf(problem.code)
  if (status === 429 || status === 503) reply.header('retry-after', retryAfterSeconds)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  return reply.code(status).header('content-type', problemType).send(problemJson(problem, reply.request.id))
}

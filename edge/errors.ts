/** What becomes of errors: those of the framework, of the engine, and our own bugs. Whatever it is, a problem is answered. */
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isWeirError } from '../kernel/index.js'
import type { EdgeContext } from './context.js'
import { describeError } from './logger.js'
import { type Problem, problemJson, problemType, sendProblem, shownAs, statusOf } from './problem.js'
import { statePath } from './state-routes.js'

/** Log lines about failed requests, at most; under a storm the metrics tell the rest. */
const linesPerSecondMax = 10

export function answerErrors(app: FastifyInstance, context: EdgeContext): void {
  const { logger, ports } = context
  let second = 0
  let lines = 0

  app.setErrorHandler((error, request, reply) => {
    // whatever is wrong with its body, what matters of a request without a route is that it has none
    if (request.is404) return answerNoRoute(request, reply)
    const problem = problemOf(error)
    if (statusOf(problem.code) >= 500) {
      const now = Math.floor(ports.nowMs() / 1000)
      if (now !== second) lines = 0
      second = now
      if (++lines <= linesPerSecondMax) {
        const { id, routeOptions } = request
        logger.error({ request: id, route: routeOptions.url, code: problem.code, err: describeError(error) }, 'failed')
      }
    }
    return sendProblem(reply, problem)
  })

  const answerNoRoute = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const allowed = allowedMethods(app, request.url)
    if (allowed.length === 0) return sendProblem(reply, { code: 'NOT_FOUND', detail: 'no resource has this path' })
    reply.header('allow', allowed.join(', '))
    return sendProblem(reply, { code: 'METHOD_NOT_ALLOWED', detail: `the methods here are ${allowed.join(', ')}` })
  }
  app.setNotFoundHandler(answerNoRoute)
}

/** @param error whatever was thrown */
function problemOf(error: unknown): Problem {
  if (isWeirError(error)) {
    const code = shownAs(error.code)
    if (code === 'QUEUE_FULL') return { code, detail: 'too many requests wait for the engine' }
    if (code === 'LOG_UNAVAILABLE') return { code, detail: 'the log does not take records now; send it again later' }
    if (code !== null) return { code, detail: 'the engine refused the request' }
    return ours
  }
  const { statusCode, code } = (error ?? {}) as Partial<FastifyError>
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return { code: 'RECORD_TOO_LARGE', detail: 'the body is longer than 65536 bytes' }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return { code: 'UNSUPPORTED_MEDIA_TYPE', detail: 'the content-type is not application/json in UTF-8' }
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return { code: 'INVALID_REQUEST', detail: 'the request is not valid HTTP' }
  }
  return ours
}

const ours: Problem = { code: 'INTERNAL_ERROR', detail: 'something failed here; the log has the request id' }

const askedMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

function allowedMethods(app: FastifyInstance, url: string): string[] {
  const path = url.split('?', 1)[0]!
  const found = askedMethods.filter(method => app.findRoute({ method, url: routeOf(path) }) !== null)
  return found.flatMap(method => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
}

/** The pattern that a path would match: two routes have parameters. */
function routeOf(path: string): string {
  if (/^\/v1\/admin\/state\/[^/]+\/[^/]+$/.test(path)) return statePath
  return /^\/v1\/decisions\/[^/]+$/.test(path) ? '/v1/decisions/:transaction_id' : path
}

/** A path that the router cannot read, such as `/%zz`. */
export function answerBadPath({ metrics }: EdgeContext) {
  return (_error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
    // the framework runs no hooks for these, so they are counted here
    metrics.refused('malformed_http')
    sendProblem(reply, { code: 'INVALID_REQUEST', detail: 'the path is not valid' })
  }
}

/** What the HTTP parser refuses, before there is a request. */
export function answerBadHttp({ metrics }: EdgeContext): (error: Error & { code?: string }, socket: Socket) => void {
  return (error, socket) => {
    if (socket.destroyed) return
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const { problem, reason, line } = badHttp(error.code)
    metrics.refused(reason)
    const body = problemJson(problem, 'none')
    const headers = `content-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`
    socket.end(`HTTP/1.1 ${line}\r\n${headers}\r\n\r\n${body}`, () => socket.destroy())
  }
}

function badHttp(code: string | undefined): {
  readonly problem: Problem
  readonly reason: 'slow' | 'malformed_http'
  readonly line: string
} {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        problem: { code: 'REQUEST_TIMEOUT', detail: 'the request did not arrive in time' },
        reason: 'slow',
        line: '408 Request Timeout',
      }
    case 'HPE_HEADER_OVERFLOW':
      return {
        problem: { code: 'INVALID_REQUEST', detail: 'the header is too large', status: 431 },
        reason: 'malformed_http',
        line: '431 Request Header Fields Too Large',
      }
    default:
      return {
        problem: { code: 'INVALID_REQUEST', detail: 'the request is not valid HTTP' },
        reason: 'malformed_http',
        line: '400 Bad Request',
      }
  }
}

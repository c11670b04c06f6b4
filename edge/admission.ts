/**
 * Who gets in: decided from a request's header, before its body is read. In this order: closing 503, credentials 401 and
 * 403, overload 429, readiness 503, a compressed body 415.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { assertNever } from '../kernel/index.js'
import type { Authenticate } from './authenticate.js'
import { type EdgeContext, overload, refuseOverload } from './context.js'
import { retryAfterSeconds } from './limits.js'
import { PausedReads } from './paused-reads.js'
import { problemJson, problemType, sendProblem } from './problem.js'

export interface Admission {
  /** True once the edge closes. */
  readonly closing: () => boolean
  readonly authenticate: Authenticate | undefined
}

/** Routes that need the engine; the others answer also when it cannot. */
const engineRoutes: ReadonlySet<string> = new Set([
  '/v1/decisions',
  '/fraud/detect',
  '/v1/labels',
  '/v1/decisions/:transaction_id',
])

export function admission(app: FastifyInstance, context: EdgeContext, { closing, authenticate }: Admission): void {
  const { metrics, inFlight } = context
  const { health } = context.ports

  app.addHook('onRequest', (_request, reply, done) => {
    if (!closing()) return done()
    metrics.refused('closing')
    sendProblem(reply, { code: 'NOT_READY', detail: 'this instance is closing' })
  })
  // a caller that was waiting when the edge began to close must not use the connection again
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing()) reply.header('connection', 'close')
    done(null, payload)
  })

  if (authenticate !== undefined) {
    app.addHook('onRequest', async (request, reply) => {
      const route = request.routeOptions.url
      if (route === undefined || !(engineRoutes.has(route) || route.startsWith('/v1/'))) return
      await refuseStrangers(authenticate, route, request, reply)
    })
  }

  app.addHook('onRequest', (request, reply, done) => {
    if (!engineRoutes.has(request.routeOptions.url ?? '')) return done()
    if (inFlight.full) {
      refuseOverload(context, reply)
      return
    }
    const reasons = health.notReady()
    if (reasons.length > 0) {
      metrics.refused('not_ready')
      sendProblem(reply, { code: 'NOT_READY', detail: reasons.join('; ') })
      return
    }
    const encoding = request.headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') {
      sendProblem(reply, { code: 'UNSUPPORTED_MEDIA_TYPE', detail: 'the body is compressed' })
      return
    }
    done()
  })
}

export type Refuse = (request: IncomingMessage, response: ServerResponse) => boolean

const decideRoutes: readonly string[] = ['/v1/decisions', '/fraud/detect']

/**
 * Overload once more, for decisions, before the framework has a request: refusing there takes 40 us, which at several times
 * what the engine can do leaves it no time for the requests that got in.
 */
export function refuseAtOnce(context: EdgeContext, closing: () => boolean): Refuse {
  const { metrics, inFlight } = context
  const paused = new PausedReads()
  let refused = 0
  return (request, response) => {
    if (request.method !== 'POST' || !inFlight.full || closing()) return false
    const url = request.url ?? ''
    const route = decideRoutes.find(
      path => url.startsWith(path) && (url.length === path.length || url[path.length] === '?'),
    )
    if (route === undefined) return false
    const startedAt = performance.now()
    metrics.refused('overloaded')
    const body = problemJson(overload(context), `refused-${(++refused).toString(36)}`)
    response.writeHead(429, {
      'content-type': problemType,
      'content-length': Buffer.byteLength(body),
      'retry-after': String(retryAfterSeconds),
    })
    response.end(body)
    paused.afterRefusal(request)
    metrics.answered(route, 429, (performance.now() - startedAt) / 1_000)
    return true
  }
}

async function refuseStrangers(
  authenticate: Authenticate,
  route: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply | undefined> {
  const answer = await authenticate({ method: request.method, route, headers: request.headers })
  switch (answer.kind) {
    case 'allowed':
      return undefined
    case 'unauthenticated':
      return sendProblem(reply, { code: 'UNAUTHENTICATED', detail: answer.detail })
    case 'forbidden':
      return sendProblem(reply, { code: 'FORBIDDEN', detail: answer.detail })
    default:
      return assertNever(answer)
  }
}

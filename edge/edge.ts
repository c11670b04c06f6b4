/**
 * The HTTP edge: one Fastify server over the ports. Created, then `listen`, then `close`; it holds no state but what is in
 * flight, so that closing loses nothing that was not answered.
 *
 * Invariants:
 * 1. Whatever is sent, the answer is one of those in /openapi.json; a 500 is a bug here or behind the ports.
 * 2. Everything that a client can hold has a bound in EdgeLimits (I6).
 * 3. Neither logs nor metrics hold ids, cards, addresses or bodies.
 */
import { createServer } from 'node:http'
import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify'
import { messageOf, WeirError } from '../kernel/index.js'
import { recordBytesMax, type TransactionOptions } from '../schemas/avro/index.js'
import { admission, type Refuse, refuseAtOnce } from './admission.js'
import type { Authenticate } from './authenticate.js'
import { Connections } from './connections.js'
import type { EdgeContext } from './context.js'
import { decisionRoutes } from './decision-routes.js'
import { answerBadHttp, answerBadPath, answerErrors } from './errors.js'
import { InFlight } from './in-flight.js'
import { defaultLimits, type EdgeLimits } from './limits.js'
import { createLogger, frameworkLogger, type Logger } from './logger.js'
import { EdgeMetrics, Registry } from './metrics.js'
import type { EdgePorts } from './ports.js'
import { Recent } from './recent.js'
import { stateRoutes } from './state-routes.js'
import { statusRoutes } from './status-routes.js'
import { streamRoutes } from './stream-routes.js'

export interface EdgeOptions {
  readonly ports: EdgePorts
  /** The key of card tokens; the same in every process of a deployment. */
  readonly cardKey: TransactionOptions['cardKey']
  /** 127.0.0.1 by default. */
  readonly host?: string
  /** 8080 by default; 0 takes a free one. */
  readonly port?: number
  readonly limits?: Partial<EdgeLimits>
  /** Without it everybody is allowed. */
  readonly authenticate?: Authenticate
  readonly logger?: Logger
  /** Where metrics are registered; a runner may add the engine's. A new one by default. */
  readonly registry?: Registry
}

export interface Edge {
  readonly registry: Registry
  /** @throws WeirError LISTEN_FAILED, such as when the port is taken */
  listen(): Promise<{ readonly url: string }>
  /** Stops accepting, lets requests in flight finish for at most `closeMsMax`, then cuts. Safe to call again. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export async function createEdge(options: EdgeOptions): Promise<Edge> {
  const { ports, cardKey, host = '127.0.0.1', port = 8080, authenticate } = options
  const limits: EdgeLimits = { ...defaultLimits, ...options.limits }
  const logger = options.logger ?? createLogger()
  const inFlight = new InFlight({ max: limits.inFlightMax, queueMsMax: limits.queueMsMax, nowMs: ports.nowMs })
  const metrics = new EdgeMetrics(options.registry ?? new Registry(), () => inFlight.count)
  const context: EdgeContext = { ports, logger, metrics, inFlight, recent: new Recent() }
  let closed: Promise<void> | undefined

  const closing = (): boolean => closed !== undefined
  // Whoever must show credentials hears of the load only after that.
  const app = server(context, limits, authenticate === undefined ? refuseAtOnce(context, closing) : () => false)
  admission(app, context, { closing, authenticate })
  bodies(app)
  answerErrors(app, context)
  observe(app, context)
  decisionRoutes(app, context, { cardKey, nowMs: ports.nowMs, onUnknownFields: metrics.unknownFields })
  statusRoutes(app, context)
  if (ports.stream !== undefined) streamRoutes(app, context, ports.stream)
  if (ports.state !== undefined) stateRoutes(app, ports.state)
  await app.ready()

  const listen = async (): Promise<{ readonly url: string }> => {
    try {
      const url = await app.listen({ host, port })
      logger.info({ url }, 'listening')
      return { url }
    } catch (error) {
      throw new WeirError('LISTEN_FAILED', `cannot listen on ${host}:${port} (${whyNot(error)})`, { cause: error })
    }
  }
  const connections = new Connections(app.server)
  const close = (): Promise<void> => (closed ??= connections.closeWithin(limits.closeMsMax, () => app.close(), logger))
  return { registry: metrics.registry, listen, close, [Symbol.asyncDispose]: close }
}

/** @param refuse answers a request before the framework sees it, or returns false */
function server(context: EdgeContext, limits: EdgeLimits, refuse: Refuse): FastifyInstance {
  // ids of requests are ours: one that a client sent could be personal data
  const prefix = context.ports.nowMs().toString(36)
  let requests = 0
  const app = fastify({
    loggerInstance: frameworkLogger(context.logger) as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // the parent itself: a child logger for each request costs more than everything it would say
    childLoggerFactory: parent => parent,
    genReqId: () => `${prefix}-${(++requests).toString(36)}`,
    bodyLimit: recordBytesMax,
    serverFactory: handler => {
      const options = {
        requestTimeout: limits.requestMsMax,
        keepAliveTimeout: limits.idleMsMax,
        headersTimeout: limits.headersMsMax,
        connectionsCheckingInterval: limits.checkMs,
        maxHeaderSize: limits.headerBytesMax,
      }
      const server = createServer(options, (request, response) => {
        if (!refuse(request, response)) handler(request, response)
      })
      return server.setTimeout(limits.stalledMsMax)
    },
    // an id of 64 characters, percent-encoded as UTF-8
    routerOptions: { maxParamLength: 64 * 12 },
    ajv: {
      customOptions: {
        coerceTypes: false,
        useDefaults: false,
        removeAdditional: false,
        allErrors: true,
        strictTypes: false,
      },
    },
    schemaErrorFormatter: () => new Error('the body does not have its schema'),
    return503OnClosing: false,
    frameworkErrors: answerBadPath(context),
    clientErrorHandler: answerBadHttp(context),
  })
  app.server.maxConnections = limits.connectionsMax
  app.server.on('drop', () => context.metrics.refused('connections'))
  return app
}

const jsonInUtf8 = /^application\/json(?![^;\s])(?!.*charset=(?!"?utf-8))/i

/** Bodies are kept as bytes for the decoder, and parsed for the schema; what is no JSON is left for the decoder to name. */
function bodies(app: FastifyInstance): void {
  app.decorateRequest('rawBody', null)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(jsonInUtf8, { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer
    request.rawBody = bytes
    try {
      done(null, JSON.parse(bytes.toString()))
    } catch {
      done(null, undefined)
    }
  })
}

/** Metrics of each answer, and at level debug a line. */
function observe(app: FastifyInstance, { metrics, logger }: EdgeContext): void {
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'other'
    metrics.answered(route, reply.statusCode, reply.elapsedTime / 1000)
    if (logger.isLevelEnabled('debug')) {
      const { statusCode: status, elapsedTime } = reply
      logger.debug({ request: request.id, route, status, ms: Math.round(elapsedTime * 100) / 100 }, 'answered')
    }
    done()
  })
}

function whyNot(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return 'another program has the port'
  if (code === 'EACCES') return 'no permission for the port'
  return code ?? messageOf(error)
}

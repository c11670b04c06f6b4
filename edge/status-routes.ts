/** The routes that tell how Weir is: health, readiness, metrics, the OpenAPI document, the status page and its data. */
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { repositoryFile } from '../kernel/index.js'
import type { EdgeContext } from './context.js'
import { recentMax } from './limits.js'
import { openApiDocument } from './openapi.js'
import { sendProblem } from './problem.js'

const html = 'text/html; charset=utf-8'
/** The page and what it loads: small, read once. */
const pageFiles = [
  ['/', 'index.html', html],
  ['/console/status.mjs', 'status.mjs', 'text/javascript; charset=utf-8'],
  ['/console/style.css', 'style.css', 'text/css; charset=utf-8'],
] as const

const pageHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

export function statusRoutes(app: FastifyInstance, context: EdgeContext): void {
  const { ports, metrics, inFlight, recent } = context
  const startedMs = ports.nowMs()

  app.get('/healthz', (_, reply) => reply.send({ status: 'ok' }))

  app.get('/readyz', (_, reply) => {
    const reasons = ports.health.notReady()
    if (reasons.length === 0) return reply.send({ status: 'ready' })
    return sendProblem(reply, { code: 'NOT_READY', detail: reasons.join('; ') })
  })

  app.get('/metrics', async (_, reply) =>
    reply.header('content-type', metrics.registry.contentType).send(await metrics.registry.metrics()),
  )

  const openApi = JSON.stringify(openApiDocument())
  app.get('/openapi.json', (_, reply) => reply.header('content-type', 'application/json; charset=utf-8').send(openApi))

  app.get('/v1/status', (_, reply) => {
    const reasons = ports.health.notReady()
    const nowMs = ports.nowMs()
    const lines = ports.health.recent?.().slice(0, recentMax) ?? recent.lines()
    return reply.header('cache-control', 'no-store').send({
      ready: reasons.length === 0,
      reasons,
      now_ms: nowMs,
      up_ms: nowMs - startedMs,
      in_flight: inFlight.count,
      in_flight_max: inFlight.bound,
      requests_total: metrics.requestsTotal,
      decisions_total: recent.decisionsTotal,
      refused_total: metrics.refusedTotal,
      latency_ms: recent.latencyMs(),
      facts: ports.health.status(),
      recent: lines.map(summary),
    })
  })

  for (const [url, file, type] of pageFiles) {
    const content = readFileSync(repositoryFile(`console/${file}`))
    app.get(url, (_, reply) => reply.headers(pageHeaders).header('content-type', type).send(content))
  }
}

/** Of a decision what the page lists: enough to look it up, and nothing of the customer. */
function summary(line: Buffer): Record<string, unknown> {
  const decision = JSON.parse(line.toString()) as Record<string, unknown>
  const { transaction_id, decided_at, outcome, outcome_source, score, risk_level, provisional } = decision
  return { transaction_id, decided_at, outcome, outcome_source, score, risk_level, provisional }
}

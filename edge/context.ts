import type { FastifyReply } from 'fastify'
import type { InFlight } from './in-flight.js'
import type { Logger } from './logger.js'
import type { EdgeMetrics } from './metrics.js'
import type { EdgePorts } from './ports.js'
import { sendProblem } from './problem.js'
import type { Recent } from './recent.js'

/** What the routes of one edge share. */
export interface EdgeContext {
  readonly ports: EdgePorts
  readonly logger: Logger
  readonly metrics: EdgeMetrics
  readonly inFlight: InFlight
  readonly recent: Recent
}

/** Answers 429, and counts it. */
export function refuseOverload({ metrics, inFlight }: EdgeContext, reply: FastifyReply): FastifyReply {
  metrics.refused('overloaded')
  return sendProblem(reply, { code: 'QUEUE_FULL', detail: `${inFlight.max} requests wait already` })
}

import type { FastifyReply } from 'fastify'
import type { InFlight } from './in-flight.js'
import type { Logger } from './logger.js'
import type { EdgeMetrics } from './metrics.js'
import type { EdgePorts } from './ports.js'
import { type Problem, sendProblem } from './problem.js'
import type { Recent } from './recent.js'

/** What the routes of one edge share. */
export interface EdgeContext {
  readonly ports: EdgePorts
  readonly logger: Logger
  readonly metrics: EdgeMetrics
  readonly inFlight: InFlight
  readonly recent: Recent
}

export const overload = ({ inFlight }: EdgeContext): Problem => ({
  code: 'QUEUE_FULL',
  detail: `${inFlight.count} requests wait already`,
})

/** Answers 429, and counts it. */
export function refuseOverload(context: EdgeContext, reply: FastifyReply): FastifyReply {
  context.metrics.refused('overloaded')
  return sendProblem(reply, overload(context))
}

/** Looking inside: what a step keeps of a key. Read-only; who asks for personal data says so; nothing of it is logged. */
import type { FastifyInstance } from 'fastify'
import { type ErrorCode, isWeirError } from '../kernel/index.js'
import { type Query, readIdentifier, readStateParameters } from './parameters.js'
import type { StatePort } from './ports.js'
import { type FieldProblem, sendProblem } from './problem.js'
import { invalidRequest } from './records.js'

export const statePath = '/v1/admin/state/:step/:key'

/** Errors whose own words go to the caller: they hold names of steps and states of slots, nothing that was sent. */
const told: ReadonlySet<ErrorCode> = new Set(['UNKNOWN_STEP', 'NOT_READY', 'QUEUE_FULL'])

export function stateRoutes(app: FastifyInstance, port: StatePort): void {
  app.get(statePath, async (request, reply) => {
    const problems: FieldProblem[] = []
    const asked = request.params as { readonly step: string; readonly key: string }
    const step = readIdentifier(asked.step, 'step', problems)
    const key = readIdentifier(asked.key, 'key', problems)
    const options = readStateParameters(request.query as Query, problems)
    if (step === undefined || key === undefined || problems.length > 0) {
      return sendProblem(reply, invalidRequest(problems))
    }
    try {
      const state = await port.inspect(step, key, options)
      return reply.header('cache-control', 'no-store').send(state)
    } catch (error) {
      if (!isWeirError(error) || !told.has(error.code)) throw error
      return sendProblem(reply, { code: error.code, detail: error.what })
    }
  })
}

/**
 * The routes that ask the engine: decide, find, label. Each request holds a place in flight while it waits for the engine;
 * the place is taken after the body is there, so that clients which send slowly hold none.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { assertNever, type ErrorCode, errorTable } from '../kernel/index.js'
import type { Transaction } from '../schemas/avro/index.js'
import { type EdgeContext, refuseOverload } from './context.js'
import { decisionBody } from './decision-body.js'
import { retryAfterSeconds } from './limits.js'
import {
  type DecideParameters,
  type Query,
  readDecideParameters,
  readIdentifier,
  readShape,
  type Shape,
} from './parameters.js'
import type { DecideReply, DecisionJson } from './ports.js'
import { type FieldProblem, sendProblem, statusOf } from './problem.js'
import {
  invalidRequest,
  labelReader,
  type Read,
  type RecordReader,
  type RecordReaderOptions,
  transactionReader,
} from './records.js'
import { labelSchema, transactionSchema } from './schemas.js'

const jsonType = 'application/json; charset=utf-8'

export function decisionRoutes(app: FastifyInstance, context: EdgeContext, readers: RecordReaderOptions): void {
  const transactions = transactionReader(readers)
  const labels = labelReader(readers)
  const { decisions } = context.ports

  const decide = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const problems: FieldProblem[] = []
    const parameters = readDecideParameters(request.query as Query, problems)
    const record = accept(transactions, request, reply, problems)
    if (record === undefined) return reply
    if (!context.inFlight.enter()) return refuseOverload(context, reply)
    try {
      const answer = await decisions.decide(record, parameters.deadlineMs)
      if (answer.kind === 'pending' && parameters.onDeadline !== 'pending') {
        const provisional = await decisions.provisional(record, parameters.onDeadline, answer)
        return sendDecision(context, reply, provisional, parameters)
      }
      return answerDecide(context, reply, record, answer, parameters)
    } finally {
      context.inFlight.leave()
    }
  }
  const withTransaction = { schema: { body: transactionSchema }, attachValidation: true }
  app.post('/v1/decisions', withTransaction, decide)
  app.post('/fraud/detect', withTransaction, decide)

  app.post('/v1/labels', { schema: { body: labelSchema }, attachValidation: true }, async (request, reply) => {
    const record = accept(labels, request, reply, [])
    if (record === undefined) return reply
    if (!context.inFlight.enter()) return refuseOverload(context, reply)
    try {
      await decisions.label(record)
    } finally {
      context.inFlight.leave()
    }
    reply.code(202)
    return sendJson(reply, JSON.stringify({ status: 'recorded', transaction_id: record.transaction_id }))
  })

  app.get('/v1/decisions/:transaction_id', async (request, reply) => {
    const problems: FieldProblem[] = []
    const query = request.query as Query
    const id = readIdentifier((request.params as Query).transaction_id, 'transaction_id', problems)
    const customer =
      query.customer_id === undefined ? undefined : readIdentifier(query.customer_id, 'customer_id', problems)
    const shape = readShape(query, problems)
    if (id === undefined || problems.length > 0) return sendProblem(reply, invalidRequest(problems))
    if (!context.inFlight.enter()) return refuseOverload(context, reply)
    try {
      const found = await decisions.find(id, customer)
      switch (found.kind) {
        case 'found':
          return sendJson(reply, decisionBody(found.decision, shape, context.ports.explain))
        case 'ambiguous':
          return sendProblem(reply, {
            code: 'AMBIGUOUS_ID',
            detail: 'several customers have a transaction of this id; ask again with customer_id',
          })
        case 'unknown':
          return sendProblem(reply, { code: 'NOT_FOUND', detail: 'no decision has this transaction id' })
        default:
          return assertNever(found)
      }
    } finally {
      context.inFlight.leave()
    }
  })
}

/** The record of a request's body; undefined when it, or a parameter, was refused and the answer is sent. */
function accept<T>(
  reader: RecordReader<T>,
  request: FastifyRequest,
  reply: FastifyReply,
  problems: readonly FieldProblem[],
): T | undefined {
  const read: Read<T> = reader.read(request)
  if ('record' in read && problems.length === 0) return read.record
  const found = 'record' in read ? [] : (read.problem.errors ?? [])
  const whole = problems.length === 0 && 'problem' in read ? read.problem : invalidRequest([...problems, ...found])
  sendProblem(reply, whole)
  return undefined
}

function answerDecide(
  context: EdgeContext,
  reply: FastifyReply,
  transaction: Transaction,
  answer: DecideReply,
  parameters: DecideParameters,
): FastifyReply {
  switch (answer.kind) {
    case 'decided':
      if (answer.repeated) reply.header('weir-repeated', 'true')
      return sendDecision(context, reply, answer.decision, parameters)
    case 'conflict':
      return sendProblem(reply, {
        code: 'IDEMPOTENCY_MISMATCH',
        detail: 'this customer has used the transaction_id for another amount, currency or terminal',
      })
    case 'expired':
      return sendProblem(reply, {
        code: 'DECISION_EXPIRED',
        detail: 'this transaction_id was decided before, and the decision is past its retention',
      })
    case 'rejected': {
      const code = isErrorCode(answer.code) ? answer.code : 'OPERATOR_EXCEPTION'
      const status = errorTable[code].domain === 'data' ? 400 : statusOf('OPERATOR_EXCEPTION')
      return sendProblem(reply, { code, detail: answer.message, status })
    }
    case 'pending':
      return sendPending(reply, transaction)
    default:
      return assertNever(answer)
  }
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorTable, code)

function sendDecision(context: EdgeContext, reply: FastifyReply, line: DecisionJson, shape: Shape): FastifyReply {
  context.recent.note(line, reply.elapsedTime)
  return sendJson(reply, decisionBody(line, shape, context.ports.explain))
}

function sendPending(reply: FastifyReply, transaction: Transaction): FastifyReply {
  const { transaction_id, customer_id } = transaction
  const location = `/v1/decisions/${encodeURIComponent(transaction_id)}?customer_id=${encodeURIComponent(customer_id)}`
  reply.code(202).header('location', location).header('retry-after', retryAfterSeconds)
  return sendJson(reply, JSON.stringify({ status: 'pending', transaction_id, location }))
}

function sendJson(reply: FastifyReply, body: Buffer | string): FastifyReply {
  return reply.header('content-type', jsonType).send(body)
}

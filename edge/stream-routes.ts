/**
 * Decisions as they are made, as lines of JSON (NDJSON), for as long as the client reads.
 *
 * Invariants: 1. a client that reads slowly makes the stream slow, and holds one poll of the log (I6); one that takes
 * nothing for `stalledMsMax` is cut off, while a stream on which there is nothing to say stays; 2. a client that goes away,
 * and the closing of the edge, release everything; 3. at most `streamsMax` are open.
 */
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance } from 'fastify'
import type { EdgeContext } from './context.js'
import { describeError } from './logger.js'
import type { Query } from './parameters.js'
import type { DecisionJson, StreamPort } from './ports.js'
import { type FieldProblem, sendProblem } from './problem.js'
import { invalidRequest } from './records.js'
import { ndjsonType, readStreamParameters } from './stream-parameters.js'

const streamsMax = 64
/** A peer that vanished without a word is noticed although there is nothing to send. */
const keepAliveMs = 30_000
const newline = Buffer.from('\n')

export function streamRoutes(app: FastifyInstance, context: EdgeContext, port: StreamPort): void {
  const open = new Set<AbortController>()
  app.addHook('preClose', done => {
    for (const controller of open) controller.abort()
    done()
  })

  app.get('/v1/stream/decisions', async (request, reply) => {
    const problems: FieldProblem[] = []
    const { from, count } = readStreamParameters(request.query as Query, problems)
    if (problems.length > 0) return sendProblem(reply, invalidRequest(problems))
    if (request.method === 'HEAD') return reply.header('content-type', ndjsonType).send()
    if (open.size >= streamsMax) {
      context.metrics.refused('overloaded')
      return sendProblem(reply, { code: 'QUEUE_FULL', detail: `${streamsMax} streams are open` })
    }
    const controller = new AbortController()
    open.add(controller)
    const { raw } = reply
    const { socket } = request.raw
    const gone = (): void => controller.abort()
    const stalled = (): void => {
      if (socket.writableLength > 0) socket.destroy()
    }
    raw.once('close', gone)
    // with a listener the server leaves the socket alone: silence is no fault here, unsent bytes are
    raw.on('timeout', stalled)
    socket.setKeepAlive(true, keepAliveMs)
    try {
      const decisions = port.decisions(from, controller.signal)
      reply.hijack()
      raw.writeHead(200, { 'content-type': ndjsonType, 'cache-control': 'no-store' })
      // at once: whoever follows from the end knows by the header that it stands
      raw.flushHeaders()
      await pipeline(lines(decisions, count), raw)
    } catch (error) {
      if (!raw.headersSent) throw error
      // the client sees a body that was cut short
      raw.destroy()
      if (!controller.signal.aborted) {
        context.logger.warn({ request: request.id, err: describeError(error) }, 'a stream broke')
      }
    } finally {
      raw.removeListener('close', gone)
      controller.abort()
      open.delete(controller)
    }
    return reply
  })
}

async function* lines(decisions: AsyncIterable<DecisionJson>, count: number): AsyncGenerator<Buffer> {
  let left = count
  for await (const decision of decisions) {
    yield Buffer.concat([decision, newline])
    if (--left === 0) return
  }
}

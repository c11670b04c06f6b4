/** Health, readiness, metrics and state of a worker over HTTP, where a port was asked for. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Clock, type ErrorCode, isWeirError, messageOf, WeirError } from '../../kernel/index.js'
import { registerMemoryMetrics } from '../memory-metrics/index.js'
import type { StateQuestion } from './messages.js'
import { metricsOf } from './metrics.js'
import type { SlotWorker } from './worker.js'

/** What is told of a worker. */
export type WorkerView = Pick<SlotWorker, 'status' | 'notReady' | 'inspect'>

export interface HealthServer {
  readonly url: string
  close(): Promise<void>
}

/** @throws WeirError LISTEN_FAILED */
export async function serveHealth(
  worker: WorkerView,
  {
    host,
    port,
    memoryBudgetBytes,
    clock,
  }: { readonly host: string; readonly port: number; readonly memoryBudgetBytes: number; readonly clock: Clock },
): Promise<HealthServer> {
  const registry = metricsOf(worker, clock)
  registerMemoryMetrics(registry, () => ({ slots: worker.status, budgetBytes: memoryBudgetBytes }))
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, async (request, response) => {
    const [path = '/', query] = (request.url ?? '/').split('?', 2)
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, { status: 405 })
    switch (path) {
      case '/healthz':
        return answer(response, 200, { status: 'ok' })
      case '/readyz': {
        const reasons = worker.notReady()
        const slots = worker.status.map(({ slot, state, epoch, inputs, behind }) => ({
          slot,
          state,
          epoch,
          inputs,
          behind,
        }))
        return answer(response, reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons, slots })
      }
      case '/metrics':
        response.writeHead(200, { 'content-type': registry.contentType })
        return response.end(await registry.metrics())
      default: {
        const [, step, key] = statePath.exec(path) ?? []
        if (step === undefined || key === undefined) return answer(response, 404, { status: 404 })
        return await answerState(worker, response, {
          step,
          key,
          showPii: new URLSearchParams(query).getAll('show_pii'),
        })
      }
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(new WeirError('LISTEN_FAILED', messageOf(error), { cause: error })))
    server.listen(port, host, resolve)
  })
  const { port: bound } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const statePath = /^\/v1\/admin\/state\/([^/]+)\/([^/]+)$/

/** As the edge answers it (edge/state-routes.ts). Neither key nor answer is logged. */
async function answerState(
  worker: WorkerView,
  response: ServerResponse,
  asked: { readonly step: string; readonly key: string; readonly showPii: readonly string[] },
): Promise<void> {
  try {
    answer(response, 200, await worker.inspect(questionOf(asked)))
  } catch (error) {
    const { code, what } = isWeirError(error) ? error : new WeirError('INTERNAL_ERROR', 'something failed here')
    const status = statuses[code] ?? 500
    // Its words are of the disk: for the log.
    const detail = code === 'BACKEND_FAILED' ? 'the state does not read' : what
    answer(response, status, { type: `urn:weir:error:${code}`, status, detail, code }, problemType)
  }
}

const problemType = 'application/problem+json; charset=utf-8'
const statuses: Partial<Record<ErrorCode, number>> = {
  INVALID_REQUEST: 400,
  STATE_KEY_TOO_LONG: 400,
  UNKNOWN_STEP: 404,
  SLOT_ELSEWHERE: 404,
  QUEUE_FULL: 429,
  NOT_READY: 503,
  BACKEND_FAILED: 503,
}

/** @throws WeirError INVALID_REQUEST */
function questionOf(asked: {
  readonly step: string
  readonly key: string
  readonly showPii: readonly string[]
}): StateQuestion {
  const { step, key } = asked
  const [showPii = 'false', ...more] = asked.showPii
  if ((showPii !== 'true' && showPii !== 'false') || more.length > 0) {
    throw new WeirError('INVALID_REQUEST', 'show_pii is neither true nor false')
  }
  try {
    return { step: decodeURIComponent(step), key: decodeURIComponent(key), showPii: showPii === 'true' }
  } catch (error) {
    throw new WeirError('INVALID_REQUEST', 'the path is not valid', { cause: error })
  }
}

function answer(response: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
  response.end(`${JSON.stringify(body)}\n`)
}

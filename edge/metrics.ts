/**
 * Metrics of the edge, in a registry to which a runner may add its own. Labels are bound once for each route and status,
 * both of which are few: a request costs two increments.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** Why a request was turned away before it was read. */
export type RefusalReason = 'overloaded' | 'not_ready' | 'closing' | 'slow' | 'malformed_http' | 'connections'

interface Bound {
  readonly requests: Counter.Internal
  readonly seconds: Histogram.Internal<'route'>
}

// around the aim (p99 under 15 ms) and the deadlines (1 s by default, 30 s at most)
const buckets = [0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2.5, 5, 10, 31]

export class EdgeMetrics {
  readonly registry: Registry
  requestsTotal = 0
  refusedTotal = 0
  readonly #requests: Counter<'route' | 'status'>
  readonly #seconds: Histogram<'route'>
  readonly #refused: Counter<'reason'>
  readonly #unknownFields: Counter
  readonly #bound = new Map<string, Map<number, Bound>>()

  /** @param inFlight how many requests wait now */
  constructor(registry: Registry, inFlight: () => number) {
    this.registry = registry
    const registers = [registry]
    collectDefaultMetrics({ register: registry })
    this.#requests = new Counter({
      name: 'weir_http_requests_total',
      help: 'Requests answered',
      labelNames: ['route', 'status'],
      registers,
    })
    this.#seconds = new Histogram({
      name: 'weir_http_request_seconds',
      help: 'From the header of a request to the end of its answer',
      labelNames: ['route'],
      buckets,
      registers,
    })
    this.#refused = new Counter({
      name: 'weir_http_refused_total',
      help: 'Requests and connections turned away before they were read',
      labelNames: ['reason'],
      registers,
    })
    this.#unknownFields = new Counter({
      name: 'weir_http_unknown_fields_total',
      help: 'Fields of records that no schema names; they were ignored',
      registers,
    })
    new Gauge({
      name: 'weir_http_in_flight',
      help: 'Requests that wait for the engine',
      registers,
      collect() {
        this.set(inFlight())
      },
    })
  }

  answered(route: string, status: number, seconds: number): void {
    this.requestsTotal++
    const bound = this.#bound.get(route)?.get(status) ?? this.#bind(route, status)
    bound.requests.inc()
    bound.seconds.observe(seconds)
  }

  #bind(route: string, status: number): Bound {
    const bound = { requests: this.#requests.labels(route, String(status)), seconds: this.#seconds.labels(route) }
    const statuses = this.#bound.get(route) ?? new Map<number, Bound>()
    this.#bound.set(route, statuses.set(status, bound))
    return bound
  }

  readonly refused = (reason: RefusalReason): void => {
    this.refusedTotal++
    this.#refused.inc({ reason })
  }

  readonly unknownFields = (count: number): void => this.#unknownFields.inc(count)
}

export { Registry }

/**
 * What the status page shows of the requests just answered: the last decisions as lines of JSON, and their latencies. Rings:
 * noting one costs two stores.
 */
import { latenciesMax, recentMax } from './limits.js'
import type { DecisionJson } from './ports.js'

export interface LatencySummary {
  readonly p50: number
  readonly p99: number
  readonly of: number
}

export class Recent {
  readonly #lines: DecisionJson[] = []
  readonly #latenciesMs = new Float64Array(latenciesMax)
  #count = 0

  get decisionsTotal(): number {
    return this.#count
  }

  note(line: DecisionJson, latencyMs: number): void {
    this.#lines[this.#count % recentMax] = line
    this.#latenciesMs[this.#count % latenciesMax] = latencyMs
    this.#count++
  }

  /** The last decisions, newest first. */
  lines(): DecisionJson[] {
    const next = this.#count % recentMax
    return [...this.#lines.slice(next), ...this.#lines.slice(0, next)].reverse()
  }

  /** Milliseconds, of the last `latenciesMax` decisions; null before the first. */
  latencyMs(): LatencySummary | null {
    const of = Math.min(this.#count, latenciesMax)
    if (of === 0) return null
    const sorted = this.#latenciesMs.slice(0, of).sort()
    const at = (share: number): number => Math.round(sorted[Math.min(of - 1, Math.floor(of * share))]! * 100) / 100
    return { p50: at(0.5), p99: at(0.99), of }
  }
}

/**
 * Callers who wait for the outcome of a record that they appended, by its offset or by a correlation id.
 *
 * Invariants: at most `inFlightMax` wait (I6); each is resolved once: by what is told of its record, or by its deadline.
 */
import { type DurationMs, WeirError } from '../../kernel/index.js'

export type RecordOutcome =
  | { readonly kind: 'decided'; readonly decision: Buffer }
  | { readonly kind: 'repeated'; readonly conflicting: boolean }
  | { readonly kind: 'rejected'; readonly code: string; readonly message: string }
  | { readonly kind: 'deadline' }
  /** The log failed: whether it kept the record is unknown. */
  | { readonly kind: 'unavailable' }

interface Waiter {
  readonly resolve: (outcome: RecordOutcome) => void
  readonly timer: NodeJS.Timeout
}

export class Waiters<Key> {
  readonly #inFlightMax: number
  readonly #byKey = new Map<Key, Waiter>()
  #reserved = 0

  constructor(inFlightMax: number) {
    this.#inFlightMax = inFlightMax
  }

  get inFlight(): number {
    return this.#reserved
  }

  /** Takes a place before anything is appended. @throws WeirError QUEUE_FULL */
  reserve(): void {
    if (this.#reserved >= this.#inFlightMax) {
      throw new WeirError('QUEUE_FULL', `${this.#inFlightMax} requests are in flight`)
    }
    this.#reserved++
  }

  release(): void {
    this.#reserved--
  }

  /** Waits at most `deadline`. */
  wait(key: Key, deadline: DurationMs): Promise<RecordOutcome> {
    return new Promise(resolve => {
      const timer = setTimeout(() => this.settle(key, { kind: 'deadline' }), deadline)
      this.#byKey.set(key, { resolve, timer })
    })
  }

  waitsFor(key: Key): boolean {
    return this.#byKey.has(key)
  }

  settle(key: Key, outcome: RecordOutcome): void {
    const waiter = this.#byKey.get(key)
    if (waiter === undefined) return
    this.#byKey.delete(key)
    clearTimeout(waiter.timer)
    waiter.resolve(outcome)
  }

  /** The process stops, or the log failed: all who wait get this outcome. */
  settleAll(outcome: RecordOutcome): void {
    for (const key of [...this.#byKey.keys()]) this.settle(key, outcome)
  }
}

/**
 * Callers who wait for the outcome of a record that they appended, by its offset.
 *
 * Invariants: at most `inFlightMax` wait (I6); each is resolved once: by the epoch that took its record, or by its deadline.
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

export class Waiters {
  readonly #inFlightMax: number
  readonly #byOffset = new Map<number, Waiter>()
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

  /** Waits for the record at `offset`, at most `deadline`. */
  wait(offset: number, deadline: DurationMs): Promise<RecordOutcome> {
    return new Promise(resolve => {
      const timer = setTimeout(() => this.settle(offset, { kind: 'deadline' }), deadline)
      this.#byOffset.set(offset, { resolve, timer })
    })
  }

  waitsFor(offset: number): boolean {
    return this.#byOffset.has(offset)
  }

  settle(offset: number, outcome: RecordOutcome): void {
    const waiter = this.#byOffset.get(offset)
    if (waiter === undefined) return
    this.#byOffset.delete(offset)
    clearTimeout(waiter.timer)
    waiter.resolve(outcome)
  }

  /** The process stops, or the log failed: all who wait get this outcome. */
  settleAll(outcome: RecordOutcome): void {
    for (const offset of [...this.#byOffset.keys()]) this.settle(offset, outcome)
  }
}

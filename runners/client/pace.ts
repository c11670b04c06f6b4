/** Spreads records evenly over time. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface PaceIo {
  readonly signal: AbortSignal
  /** Any clock that only goes forward, ms. */
  readonly nowMs: () => number
}

export class Pace {
  readonly #perSecond: number | undefined
  readonly #io: PaceIo
  readonly #startedMs: number
  #count = 0

  /** @param perSecond undefined: nothing waits */
  constructor(perSecond: number | undefined, io: PaceIo) {
    this.#perSecond = perSecond
    this.#io = io
    this.#startedMs = io.nowMs()
  }

  /** Resolves when the next record is due; rejects when the signal is aborted. */
  async next(): Promise<void> {
    if (this.#perSecond === undefined) return
    const dueMs = this.#startedMs + (this.#count++ * 1_000) / this.#perSecond
    const waitMs = dueMs - this.#io.nowMs()
    if (waitMs >= 1) await sleep(waitMs, undefined, { signal: this.#io.signal })
  }
}

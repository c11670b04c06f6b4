/** How long a part of a recovery has taken, and how long it may take yet. */
import type { Clock } from '../../kernel/index.js'

export class Progress {
  readonly #clock: Clock
  readonly #fromMs: number
  #toldAtMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#fromMs = clock.nowMs()
    this.#toldAtMs = this.#fromMs
  }

  get ms(): number {
    return this.#clock.nowMs() - this.#fromMs
  }

  /** If the rest goes as what is done. */
  leftMs(done: number, of: number): number {
    return done === 0 ? Number.POSITIVE_INFINITY : Math.round((this.ms / done) * (of - done))
  }

  /** True once each `everyMs`. */
  isDue(everyMs: number): boolean {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#toldAtMs < everyMs) return false
    this.#toldAtMs = nowMs
    return true
  }
}

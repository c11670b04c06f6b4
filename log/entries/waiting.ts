/** Waiting for appends without a busy loop. */
import type { Clock, DurationMs } from '../../kernel/index.js'

/** Calls `fire` once after `ms`, unless the function it returns is called first. */
export type Timer = (ms: DurationMs, fire: () => void) => () => void

export const systemTimer: Timer = (ms, fire) => {
  const handle = setTimeout(fire, ms)
  return () => clearTimeout(handle)
}

/** A timer over a clock that cannot cancel (a simulated one): the sleep runs out unheard. */
export const clockTimer =
  (clock: Clock): Timer =>
  (ms, fire) => {
    let cancelled = false
    void clock.sleep(ms).then(() => {
      if (!cancelled) fire()
    })
    return () => {
      cancelled = true
    }
  }

/** Rung after every write; whoever waits then looks whether the news is for it. */
export class Doorbell {
  readonly #waiting = new Set<() => void>()

  ring(): void {
    if (this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  /** Resolves at the first ring for which `isNews` holds, or after `ms`. */
  wait(isNews: () => boolean, ms: DurationMs, timer: Timer): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        if (isNews()) {
          cancel()
          resolve()
        } else {
          this.#waiting.add(wake)
        }
      }
      const cancel = timer(ms, () => {
        this.#waiting.delete(wake)
        resolve()
      })
      this.#waiting.add(wake)
    })
  }
}

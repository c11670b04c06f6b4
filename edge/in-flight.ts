/**
 * Counts the requests that wait for the engine, against a bound (I6) that follows what the engine can do: once they wait
 * longer than `queueMsMax` for a whole window, only as many get in as it answers in that time; while they do not, the bound
 * grows. More would but wait in a longer queue, and be answered too late for whoever asked.
 *
 * Invariants: 1. never more than `max`, never a bound below `leastMax`; 2. a window without an answer says nothing about what
 * the engine can do (it may recover, or have no work), and changes nothing; 3. a short queue that empties itself is no overload.
 */
export interface InFlightOptions {
  readonly max: number
  readonly queueMsMax: number
  readonly nowMs: () => number
}

const windowMs = 100
/** So many may always wait: one epoch of a small machine. */
const leastMax = 64
/** Before anything is known of the engine: what a flood gets in at once, it keeps waiting. */
const firstBound = 256
/** How the bound grows while many wait, and none for long, a window. */
const growth = 1.1

export class InFlight {
  readonly #options: InFlightOptions
  #bound: number
  #count = 0
  // of the current window
  #since: number
  #lowest = 0
  #answered = 0

  constructor(options: InFlightOptions) {
    this.#options = options
    this.#bound = Math.min(firstBound, options.max)
    this.#since = options.nowMs()
  }

  get count(): number {
    return this.#count
  }

  /** Requests that may wait at once, now. */
  get bound(): number {
    return this.#bound
  }

  get full(): boolean {
    if (this.#count < Math.min(leastMax, this.#options.max)) return false
    this.#passWindow()
    return this.#count >= this.#bound
  }

  /** @returns false, and counts nothing, when full */
  enter(): boolean {
    if (this.full) return false
    this.#count++
    return true
  }

  leave(): void {
    this.#count--
    this.#answered++
    if (this.#count < this.#lowest) this.#lowest = this.#count
  }

  #passWindow(): void {
    const { max, queueMsMax, nowMs } = this.#options
    const now = nowMs()
    const passedMs = now - this.#since
    if (passedMs < windowMs && passedMs >= 0) return
    if (this.#answered > 0) {
      // Little's law: so many are under way when each takes `queueMsMax`.
      const sustained = (this.#answered / Math.max(passedMs, windowMs)) * queueMsMax
      const least = Math.min(leastMax, max)
      if (this.#lowest > sustained) this.#bound = Math.max(least, Math.ceil(sustained))
      else this.#bound = Math.min(max, Math.ceil(this.#bound * growth))
    }
    this.#since = now
    this.#lowest = this.#count
    this.#answered = 0
  }
}

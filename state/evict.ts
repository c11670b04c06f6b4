/**
 * Second chance: a hand goes round the resident keys; one that was used since the last round stays for another.
 * Invariants: never a dirty, a pending or a current entry (I2); at most two rounds a call, however full the cache is.
 */
import type { KeyEntry, Meter } from './entry.js'
import type { StepState } from './step.js'

export class EvictionHand {
  readonly #steps: ReadonlyMap<string, StepState>
  /** Map iterators stay valid while entries come and go, so the hand is one. */
  #stepsLeft: Iterator<StepState> | undefined
  #step: StepState | undefined
  #entries: Iterator<KeyEntry> | undefined

  constructor(steps: ReadonlyMap<string, StepState>) {
    this.#steps = steps
  }

  /** After the steps were dropped. */
  restart(): void {
    this.#stepsLeft = undefined
    this.#step = undefined
    this.#entries = undefined
  }

  /** @returns entries evicted */
  evict(meter: Meter, bytesMax: number): number {
    if (meter.cacheBytes <= bytesMax) return 0
    let resident = 0
    for (const step of this.#steps.values()) resident += step.entries.size
    let evicted = 0
    for (let looks = 2 * resident; looks > 0 && meter.cacheBytes > bytesMax; looks--) {
      const entry = this.#next()
      const step = this.#step
      if (entry === undefined || step === undefined) break
      if (entry.dirty || entry.pending || entry === step.current) {
        for (const cell of entry.cells) cell.trim?.()
      } else if (entry.referenced) entry.referenced = false
      else {
        step.entries.delete(entry.key)
        meter.cacheBytes -= entry.bytes
        evicted++
      }
    }
    return evicted
  }

  /** Goes round for ever; undefined only when nothing is resident. */
  #next(): KeyEntry | undefined {
    for (let emptyRounds = 0; emptyRounds <= 1; ) {
      const entry = this.#entries?.next()
      if (entry !== undefined && entry.done !== true) return entry.value
      this.#stepsLeft ??= this.#steps.values()
      const step = this.#stepsLeft.next()
      if (step.done === true) {
        this.#stepsLeft = undefined
        emptyRounds++
        this.#entries = undefined
      } else {
        this.#step = step.value
        this.#entries = step.value.entries.values()
      }
    }
    return undefined
  }
}

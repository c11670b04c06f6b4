/**
 * Where an epoch's time goes: one phase runs at a time; starting one ends the one before. On one pinned core the wall
 * clock of a phase is its CPU time, but for what background threads take.
 */
export class Phases {
  readonly #totals = new Map<string, number>()
  #current: string | undefined
  #since = 0

  start(phase: string): void {
    const now = performance.now()
    if (this.#current !== undefined) {
      this.#totals.set(this.#current, (this.#totals.get(this.#current) ?? 0) + now - this.#since)
    }
    this.#current = phase
    this.#since = now
  }

  stop(): void {
    this.start('outside')
    this.#current = undefined
  }

  /** Milliseconds by phase, in the order in which phases first ran. */
  get totalsMs(): ReadonlyMap<string, number> {
    return this.#totals
  }
}

/** Counts the requests that wait for the engine, against a bound (I6). */
export class InFlight {
  readonly max: number
  #count = 0

  constructor(max: number) {
    this.max = max
  }

  get count(): number {
    return this.#count
  }

  get full(): boolean {
    return this.#count >= this.max
  }

  /** @returns false, and counts nothing, when full */
  enter(): boolean {
    if (this.full) return false
    this.#count++
    return true
  }

  leave(): void {
    this.#count--
  }
}

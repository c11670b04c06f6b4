/** Where a process waits between two of its calls until it is let on: what a seed decides, no timing does. */
export class Lane {
  #go: (() => void) | undefined
  #onHeld: (() => void) | undefined
  /** Nothing is held any more. */
  open = false

  /** One call at a time. */
  async pass(): Promise<void> {
    if (this.open) return
    const passed = new Promise<void>(resolve => {
      this.#go = resolve
    })
    this.#onHeld?.()
    await passed
  }

  get isHeld(): boolean {
    return this.#go !== undefined
  }

  /** Lets on what is held. @returns resolves when it is held again */
  letOn(): Promise<void> {
    const held = new Promise<void>(resolve => {
      this.#onHeld = resolve
    })
    const go = this.#go
    this.#go = undefined
    go?.()
    return held
  }
}

/** What a call of a dead process comes to. One for each who waits: those of a common one would all be kept. */
export const never = (): Promise<never> => new Promise(() => {})

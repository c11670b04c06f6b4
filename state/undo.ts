/**
 * What the running operator call has changed, newest last, so that it can be taken back when the call misses state.
 * Three columns instead of objects: a call that sets one value then allocates nothing here.
 */

export interface Undoable {
  /** @param what and before, as the target pushed them */
  restore(what: unknown, before: unknown): void
}

/** Columns longer than this are let go after the call. */
const keptLength = 1_024

export class UndoLog {
  readonly #targets: Undoable[] = []
  readonly #whats: unknown[] = []
  readonly #befores: unknown[] = []
  #length = 0

  push(target: Undoable, what: unknown, before: unknown): void {
    const at = this.#length++
    this.#targets[at] = target
    this.#whats[at] = what
    this.#befores[at] = before
  }

  forget(): void {
    if (this.#length === 0) return
    if (this.#length > keptLength) {
      this.#targets.length = 0
      this.#whats.length = 0
      this.#befores.length = 0
    }
    this.#length = 0
  }

  rollback(): void {
    for (let i = this.#length - 1; i >= 0; i--) this.#targets[i]!.restore(this.#whats[i], this.#befores[i])
    this.forget()
  }
}

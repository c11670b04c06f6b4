/**
 * Questions about a slot's state, answered between epochs, when its store has nothing else to do.
 *
 * Invariants: 1. an answer is of a committed epoch, and no operator runs while it is made: `step` waits for the one under
 * way; 2. an epoch waits for at most one answer, each of which is bounded (state/inspect.ts); while no step is under way
 * they are answered at once; 3. at most `inspectionsMax` wait (I6); 4. a question that fails fails alone, and all that wait
 * are told when the slot stops.
 */
import { WeirError } from '../../kernel/index.js'

export const inspectionsMax = 16

interface Question {
  readonly answer: () => Promise<void>
  readonly refuse: (error: WeirError) => void
}

export class Inspections {
  readonly #waiting: Question[] = []
  #stepping = false
  #stopped: string | undefined
  #answering: Promise<void> | undefined

  /** @param look reads the store; called between epochs @throws WeirError QUEUE_FULL; NOT_READY when the slot stops first */
  ask<T>(look: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#stopped !== undefined) return reject(new WeirError('NOT_READY', this.#stopped))
      if (this.#waiting.length >= inspectionsMax) {
        return reject(new WeirError('QUEUE_FULL', `${inspectionsMax} questions about state wait already`))
      }
      this.#waiting.push({ answer: () => look().then(resolve, reject), refuse: reject })
      if (!this.#stepping) this.#answering ??= this.#answerAll()
    })
  }

  /** Before an epoch: answers one, if one waits. */
  async beginStep(): Promise<void> {
    this.#stepping = true
    await this.#answering
    await this.#waiting.shift()?.answer()
  }

  endStep(): void {
    this.#stepping = false
    if (this.#waiting.length > 0) this.#answering ??= this.#answerAll()
  }

  /** For good. When it resolves nobody looks any more. */
  async stop(why: string): Promise<void> {
    this.#stopped = why
    for (const { refuse } of this.#waiting.splice(0)) refuse(new WeirError('NOT_READY', why))
    await this.#answering
  }

  async #answerAll(): Promise<void> {
    // What is called here is noted in #answering first.
    await Promise.resolve()
    while (!this.#stepping && this.#waiting.length > 0) await this.#waiting.shift()!.answer()
    this.#answering = undefined
  }
}

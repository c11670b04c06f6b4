/**
 * A slot's life:
 *
 *   created -> recovering -> running -> draining -> closed
 *                  ^            |
 *                  +------------+   (an epoch failed: back to the committed position)
 *
 * and from recovering, running and draining -> failed -> closed.
 */
import { assert } from '../../kernel/index.js'

export type SlotState = 'created' | 'recovering' | 'running' | 'draining' | 'failed' | 'closed'

const transitions: Readonly<Record<SlotState, readonly SlotState[]>> = {
  created: ['recovering', 'closed'],
  recovering: ['running', 'failed'],
  running: ['recovering', 'draining', 'failed'],
  draining: ['closed', 'failed'],
  failed: ['closed'],
  closed: [],
}

export class Lifecycle {
  #state: SlotState = 'created'

  get state(): SlotState {
    return this.#state
  }

  transition(to: SlotState): void {
    assert(transitions[this.#state].includes(to), `a slot goes from ${this.#state} to ${to}`)
    this.#state = to
  }
}

/** What a slot may be told that does nothing wrong, besides what was injected into it: by its plan, and by the checkpoint store. */
import { isWeirError } from '../../kernel/index.js'
import { MemoryLog } from '../../log/memory/index.js'
import { closingOf, journalTopicOf, lastLink, planOf } from '../../runners/slot/index.js'
import { Difference } from './difference.js'
import type { Shared } from './shared.js'
import { app } from './topology.js'

export class Excuses {
  readonly #shared: Shared
  readonly #slot: number
  readonly #hasCheckpoints: boolean

  constructor(shared: Shared, slot: number, hasCheckpoints: boolean) {
    this.#shared = shared
    this.#slot = slot
    this.#hasCheckpoints = hasCheckpoints
  }

  /** Nobody may run the slot in this plan any more. */
  async isOver(): Promise<boolean> {
    const { disk, planNumber } = this.#shared
    const record = (await lastLink(new MemoryLog(disk), { topic: journalTopicOf(app), partition: this.#slot }))?.record
    return record !== undefined && (planOf(record) > planNumber || closingOf(record)?.last === true)
  }

  /** @throws Difference for a plan that counts as closed and is not */
  async excuse(error: unknown): Promise<boolean> {
    const { hits, planNumber, savepoints } = this.#shared
    if (isWeirError(error, 'PLAN_CLOSED')) {
      if (!(await this.isOver())) throw new Difference(`${error.message}; but that is not so`)
      hits.add('old plan refused')
      return true
    }
    if (isWeirError(error, 'CHECKPOINT_STORE_FAILED') && (planNumber > 1 || this.#hasCheckpoints)) {
      hits.add(this.#hasCheckpoints ? 'start without checkpoint store' : 'savepoint store fails')
      return true
    }
    if (planNumber === 1 || !isWeirError(error, 'CHECKPOINT_CORRUPT') || !savepoints.heal()) return false
    hits.add('savepoint found damaged')
    return true
  }
}

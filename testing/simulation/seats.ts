/**
 * Who owns each transactional id: who fenced last (I4), whichever plan it runs and whatever it is about. The commits that are
 * under way when somebody fences arrive before that or never.
 */
import type { MemoryDisk } from '../../log/memory/index.js'
import type { Hits } from './chaos.js'
import type { Random } from './random.js'
import { app } from './topology.js'

export const idOfSlot = (slot: number): string => `weir.${app}.slot-${slot}`

export class Seats {
  readonly #disk: MemoryDisk
  readonly #hits: Hits
  readonly #holders = new Map<string, object>()

  constructor(disk: MemoryDisk, hits: Hits) {
    this.#disk = disk
    this.#hits = hits
  }

  /** undefined: nobody, as far as is known. */
  holder(id: string): object | undefined {
    return this.#holders.get(id)
  }

  /** Who asks for a committer: with `none` it holds the id from now on, with `indefinite` nobody does. */
  fence(id: string, who: object, fault: 'none' | 'refused' | 'indefinite', random: Random): void {
    if (this.#disk.delayedCommits > 0 && random.chance(0.5)) this.settleDelayed()
    else if (this.#disk.delayedCommits > 0 && fault !== 'refused') this.#hits.add('delayed commit dropped')
    if (fault === 'none') this.#holders.set(id, who)
    else if (fault === 'indefinite') this.#holders.delete(id)
  }

  settleDelayed(): void {
    this.#hits.add('delayed commit arrives')
    this.#disk.settle()
  }

  /** It is gone. */
  leave(id: string, who: object): void {
    if (this.#holders.get(id) === who) this.#holders.delete(id)
  }
}

/** What all slots share. */
import type { MemoryDisk } from '../../log/memory/index.js'
import type { Plan } from '../../topology/index.js'
import type { ManualClock } from '../driver/index.js'
import type { Hits } from './chaos.js'
import type { WorldConfig } from './config.js'
import type { Random } from './random.js'
import type { SavepointVault } from './savepoint-vault.js'
import type { Seats } from './seats.js'

/** Of a world. */
export interface SharedByAll {
  readonly disk: MemoryDisk
  readonly seats: Seats
  readonly savepoints: SavepointVault
  readonly config: WorldConfig
  readonly clock: ManualClock
  readonly hits: Hits
  readonly random: Random
  /** No slot object is left that could have read what is about to be lost. */
  readonly allDown: () => boolean
}

/** Of a plan. */
export interface Shared extends SharedByAll {
  readonly plan: Plan
  readonly planNumber: number
}

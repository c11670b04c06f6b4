/** How a world with checkpoints is laid out, and what goes wrong with them: drawn from the seed, bounded by budgets. */
import type { CheckpointLimits, Retention } from '../../state/index.js'
import type { Hits, Point } from './chaos.js'
import { checkpointPoints, restorePoints } from './checkpoint-kinds.js'
import type { StoreFault } from './faulty-store.js'
import type { Random } from './random.js'

export interface CheckpointConfig {
  readonly everyMs: number
  readonly keep: Retention
  readonly limits: Partial<CheckpointLimits>
  readonly spoolBytesMax: number
  /** That a checkpoint goes on in a turn, and by how many of its calls at most. */
  readonly advanceChance: number
  readonly advanceMax: number
}

const tinyLimits: Partial<CheckpointLimits> = {
  blockBytes: 500,
  segmentBytesMin: 800,
  segmentBytesMax: 3_000,
  gatherBytesMax: 2_000,
  deltaBytesMin: 500,
  segmentsMax: 40,
  bytesPerSecondMax: Number.POSITIVE_INFINITY,
}

export function drawCheckpoints(random: Random): CheckpointConfig {
  return {
    everyMs: random.pick([0, 700, 60_000]),
    keep: { countMin: random.pick([2, 2, 3]), youngerThanMs: random.pick([0, 0, 60_000]) },
    limits: random.chance(0.5) ? tinyLimits : { bytesPerSecondMax: Number.POSITIVE_INFINITY },
    spoolBytesMax: random.pick([3_000, 30_000, 256 << 20]),
    advanceChance: random.pick([0.1, 0.5, 1]),
    advanceMax: random.pick([1, 4, 100]),
  }
}

export class CheckpointChaos {
  readonly #random: Random
  readonly #hits: Hits
  readonly #faultChance: number
  readonly #focus: Point
  #faultsLeft: number
  #crashesLeft: number
  #outage = 0
  #calm = false

  /** @param points at which a process is stopped dead, one of them more often than the others */
  constructor(random: Random, hits: Hits, points: readonly Point[] = [...checkpointPoints, ...restorePoints]) {
    this.#random = random
    this.#hits = hits
    this.#faultChance = random.pick([0, 0.02, 0.1])
    this.#faultsLeft = random.below(8)
    this.#crashesLeft = random.below(5)
    this.#focus = random.pick(points)
  }

  calmDown(): void {
    this.#calm = true
    this.#outage = 0
  }

  /** Something that is not bounded by itself. Never once calm. */
  fault(chance: number): boolean {
    if (this.#calm || this.#faultsLeft === 0 || !this.#random.chance(chance)) return false
    this.#faultsLeft--
    return true
  }

  crashesAt(point: Point): boolean {
    if (this.#calm || this.#crashesLeft === 0) return false
    if (!this.#random.chance(point === this.#focus ? 0.6 : 0.01)) return false
    this.#crashesLeft--
    this.#hits.add(point)
    return true
  }

  /** Of the next calls to the checkpoint store none gets through. */
  beginOutage(): void {
    this.#outage = this.#random.between(2, 40)
    this.#hits.add('store outage')
  }

  storeFault(): StoreFault {
    if (this.#outage > 0) {
      this.#outage--
      return 'lost'
    }
    if (!this.fault(this.#faultChance)) return undefined
    const fault = this.#random.pick(['lost', 'unheard'] as const)
    this.#hits.add(`store call ${fault}`)
    return fault
  }
}

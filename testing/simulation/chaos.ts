/**
 * What goes wrong, drawn from the seed, and how often it did. A budget bounds it, so that every run gets to its end.
 * Once `calm`, nothing goes wrong any more.
 */
import { millis } from '../../kernel/index.js'
import type { CommitFault, Faults, PollFault } from '../../log/memory/index.js'
import type { CrashPoint } from '../../runners/slot/index.js'
import type { CheckpointPoint } from '../../state/index.js'
import type { CheckpointKind } from './checkpoint-kinds.js'
import type { PlanKind, PlanPoint } from './plan-kinds.js'
import type { Random } from './random.js'
import type { ModelFault } from './topology.js'

export const crashPoints: readonly CrashPoint[] = [
  'fenced',
  'genesis-written',
  'recovered',
  'polled',
  'operators-done',
  'encoded',
  'committed',
  'serialised',
  'written-back',
]

/** What only several slots can meet; `main` asserts each with `--slots`. */
export const exchangeKinds = [
  'record re-keyed',
  'excluded behind a hop',
  'excluded after it waited',
  'rows held back',
] as const

/** What only slots with standbys meet; `main` asserts each with `--standbys`. */
export const standbyKinds = [
  'standby follows',
  'standby restarts',
  'standby finds the log trimmed',
  'standby restores a checkpoint',
  'promotion after a crash',
  'promotion of a live slot',
] as const

/** Everything that the simulation must have met; `main` asserts each. */
export const faultKinds = [
  'commit refused',
  'commit lost',
  'commit applied',
  'commit delayed',
  'delayed commit arrives',
  'delayed commit dropped',
  'committer refused',
  'committer indefinite',
  'poll empty',
  'poll short',
  'poll delayed',
  'state read fails',
  'state write refused',
  'state write applied',
  'state batches lost',
  'state wiped',
  'log tail lost',
  'model fails for some',
  'model fails for all',
  'explanation fails',
  'record excluded',
  'clean restart',
  'takeover',
  'takeover in mid-commit',
  'zombie fenced',
  'recoveries exhausted',
  'log trimmed',
  'start inside a trimmed journal',
  'store outside the trimmed log',
  'zombie finds its input trimmed',
] as const

/** What several slots do not meet: their log is not trimmed. */
export const oneSlotKinds: readonly FaultKind[] = [
  'log trimmed',
  'start inside a trimmed journal',
  'store outside the trimmed log',
  'zombie finds its input trimmed',
  'standby finds the log trimmed',
]

export type FaultKind = (typeof faultKinds)[number] | (typeof exchangeKinds)[number] | (typeof standbyKinds)[number]
export type Point = CrashPoint | CheckpointPoint | PlanPoint
export type Kind = FaultKind | CheckpointKind | PlanKind

/** How often each crash point and each fault was hit. */
export class Hits {
  readonly counts = new Map<string, number>()

  add(what: Kind | Point, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by)
  }

  of(what: Kind | Point): number {
    return this.counts.get(what) ?? 0
  }
}

export class SimulatedCrash extends Error {
  readonly point: Point

  constructor(point: Point) {
    super(`crash at ${point}`)
    this.name = 'SimulatedCrash'
    this.point = point
  }
}

export class Chaos {
  readonly #random: Random
  readonly #hits: Hits
  readonly #faultChance: number
  readonly #pollFaultChance: number
  readonly #modelFaultChance: number
  readonly #focus: CrashPoint
  readonly #focusChance: number
  #faultsLeft: number
  #crashesLeft: number
  #calm = false

  constructor(random: Random, hits: Hits) {
    this.#random = random
    this.#hits = hits
    this.#faultChance = random.pick([0, 0.03, 0.15])
    this.#pollFaultChance = random.pick([0, 0.1, 0.3])
    this.#modelFaultChance = random.pick([0, 0.05, 0.3])
    this.#faultsLeft = random.below(12)
    this.#crashesLeft = random.below(5)
    this.#focus = random.pick(crashPoints)
    this.#focusChance = random.pick([0.1, 0.5, 1])
  }

  calmDown(): void {
    this.#calm = true
  }

  /** A choice of the world's own: restarts, takeovers. Never once calm. */
  chance(probability: number): boolean {
    return !this.#calm && this.#random.chance(probability)
  }

  crashAt(point: CrashPoint): void {
    if (this.#calm || this.#crashesLeft === 0) return
    if (!this.#random.chance(point === this.#focus ? this.#focusChance : 0.01)) return
    this.#crashesLeft--
    this.#hits.add(point)
    throw new SimulatedCrash(point)
  }

  /** @param onFence the committer is asked for: what is under way arrives now or never */
  logFaults(onFence: (fault: 'none' | 'refused' | 'indefinite', id: string) => void): Faults {
    return {
      commit: () => this.#commitFault(),
      poll: () => this.#pollFault(),
      committer: id => {
        const fault = this.#fault() ? this.#random.pick(['refused', 'indefinite'] as const) : 'none'
        if (fault !== 'none') this.#hits.add(`committer ${fault}`)
        onFence(fault, id)
        return fault
      },
    }
  }

  /** undefined: no fault. */
  stateFault(call: 'read' | 'write'): 'refused' | 'applied' | undefined {
    if (!this.#random.chance(0.3) || !this.#fault()) return undefined
    const fault = this.#random.pick(['refused', 'applied'] as const)
    this.#hits.add(call === 'read' ? 'state read fails' : `state write ${fault}`)
    return fault
  }

  modelFault(call: 'score' | 'explain'): ModelFault {
    if (!this.chance(this.#modelFaultChance)) return 'none'
    const fault = this.#random.pick(['some', 'all'] as const)
    this.#hits.add(call === 'explain' ? 'explanation fails' : `model fails for ${fault}`)
    return fault
  }

  #commitFault(): CommitFault {
    if (!this.#fault()) return 'none'
    const fault = this.#random.pick(['refused', 'lost', 'applied', 'delayed'] as const)
    this.#hits.add(`commit ${fault}`)
    return fault
  }

  #pollFault(): PollFault | undefined {
    if (!this.chance(this.#pollFaultChance)) return undefined
    const kind = this.#random.below(3)
    this.#hits.add((['poll empty', 'poll short', 'poll delayed'] as const)[kind]!)
    if (kind === 0) return { recordsMax: 0 }
    return kind === 1 ? { recordsMax: this.#random.between(1, 5) } : { delayMs: millis(this.#random.below(3_000)) }
  }

  #fault(): boolean {
    if (this.#faultsLeft === 0 || !this.chance(this.#faultChance)) return false
    this.#faultsLeft--
    return true
  }
}

/** The state store as it would be if memory were endless: plain Maps, no cache, no pages. */
import { wellFormed } from '../order.js'

export interface ReferenceKey {
  value: string | undefined
  map: Map<string, number>
  log: { items: number[]; expiresAt: number } | undefined
  timers: Set<number>
}

/** One step. */
export class ReferenceStep {
  keys = new Map<string, ReferenceKey>()

  at(rawKey: string): ReferenceKey {
    const key = wellFormed(rawKey)
    let found = this.keys.get(key)
    if (found === undefined) {
      found = { value: undefined, map: new Map(), log: undefined, timers: new Set() }
      this.keys.set(key, found)
    }
    return found
  }

  enter(rawKey: string, clock: number): ReferenceKey {
    const found = this.at(rawKey)
    if (found.log !== undefined && found.log.expiresAt < clock) found.log = undefined
    return found
  }

  /** By the bytes of the strings, the slow way. */
  due(watermark: number): { key: string; at: number }[] {
    const due: { key: string; at: number }[] = []
    for (const [key, { timers }] of this.keys) for (const at of timers) if (at <= watermark) due.push({ key, at })
    return due.sort((a, b) => a.at - b.at || Buffer.from(a.key).compare(Buffer.from(b.key)))
  }
}

export interface ReferenceState {
  readonly steps: ReadonlyMap<string, ReferenceStep>
  clock: number
}

export function copyOf(state: ReferenceState): ReferenceState {
  const steps = new Map<string, ReferenceStep>()
  for (const [name, step] of state.steps) {
    const copy = new ReferenceStep()
    copy.keys = structuredClone(step.keys)
    steps.set(name, copy)
  }
  return { steps, clock: state.clock }
}

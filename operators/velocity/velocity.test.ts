/** Windows of every kind against a recount of the whole history, and the operator's edges one by one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { days, eventTime, isWeirError, millis } from '../../kernel/index.js'
import { RowFlag } from '../contract.js'
import { Harness, type HarnessOptions, seeded, wellBehaved } from '../harness.js'
import { type ClosedSides, count, type Feature, fraudShare, mean, sum } from './features.js'
import { velocity } from './velocity.js'

interface Event {
  readonly id: string
  readonly time: number
  readonly amount: number
}

interface Label {
  readonly id: string
  readonly time: number
  readonly available: number
  readonly fraud: boolean
}

const lateness = 40
const tinyPages = { headEventsMax: 3, leafEvents: 2, fanout: 2, transitionsInRoot: 2 }
const values = { amount: (event: Event): number => event.amount }

interface Window {
  readonly over: number
  readonly delay: number
  readonly sides: ClosedSides
  readonly current: boolean
}

const windows: readonly Window[] = [
  { over: 5, delay: 0, sides: '(]', current: true },
  { over: 20, delay: 0, sides: '[)', current: true },
  { over: 20, delay: 3, sides: '[]', current: true },
  { over: 12, delay: 0, sides: '()', current: true },
  { over: 12, delay: 0, sides: '[]', current: false },
]

const shaped = <N extends string>(feature: Feature<N, unknown>, { delay, sides, current }: Window): Feature<N, unknown> => {
  const delayed = feature.delayedBy(millis(delay)).closed(sides)
  return current ? delayed : delayed.excludingCurrent()
}

function specOf(sizes = tinyPages, of: readonly Window[] = windows, earlyLabelsMax = 1_000) {
  const features: Record<string, Feature<'amount', unknown>> = {}
  for (const [i, window] of of.entries()) {
    const over = millis(window.over)
    features[`count${i}`] = shaped(count().over(over), window)
    features[`sum${i}`] = shaped(sum('amount').over(over), window)
    features[`share${i}`] = shaped(fraudShare().over(over), window)
  }
  return velocity<typeof values, Event, Label>({
    values,
    features,
    lateness: millis(lateness),
    sizes,
    earlyLabelsMax,
    labels: {
      identity: [event => event.id],
      label: {
        identity: [label => label.id],
        eventTime: label => label.time,
        availableAt: label => label.available,
        fraud: label => label.fraud,
      },
    },
  })
}

/** The history of one key, recounted for every record. */
class Recount {
  readonly #events: Event[] = []
  readonly labels: Label[] = []

  features(event: Event): number[] {
    const greatest = Math.max(...this.#events.map(({ time }) => time))
    if (event.time < greatest - lateness) return windows.flatMap(() => [Number.NaN, Number.NaN, Number.NaN])
    const result = windows.flatMap(({ over, delay, sides, current }) => {
      const end = event.time - delay
      const counted = (current ? [...this.#events, event] : this.#events).filter(
        ({ time }) =>
          (sides.startsWith('[') ? time >= end - over : time > end - over) &&
          (sides.endsWith(']') ? time <= end : time < end),
      )
      // The current record has no label yet; early ones count from the next record on.
      const fraud = counted.filter(other => other !== event && this.#isFraud(other, event.time)).length
      const total = counted.reduce((so, { amount }) => so + BigInt(amount), 0n)
      return [counted.length, Number(total), counted.length === 0 ? 0 : fraud / counted.length]
    })
    this.#events.push(event)
    return result
  }

  #isFraud({ id, time }: Event, at: number): boolean {
    let best: Label | undefined
    for (const label of this.labels) {
      if (label.id !== id || label.time !== time || label.available > at) continue
      if (best === undefined || label.available >= best.available) best = label
    }
    return best?.fraud ?? false
  }
}

const action = fc.record({
  label: fc.constantFrom(false, false, true),
  step: fc.constantFrom(0, 0, 1, 1, 1, 2, 3, 5),
  back: fc.constantFrom(0, 0, 0, 0, 1, 2, 5, 12, 13, 20, 39, 40, 41),
  leap: fc.constantFrom(...new Array<number>(40).fill(0), 40, 90),
  amount: fc.constantFrom(0, 1, -7, 250, 1e15, -1e15, 999_999_999_999_999),
  about: fc.integer({ min: -3, max: 20 }),
  available: fc.constantFrom(-1, 0, 1, 2, 3, 5, 8, 12, 20, 23, 24, 60),
  fraud: fc.boolean(),
})
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never

function check(actions: readonly Action[], options: HarnessOptions): Harness {
  let now = 0
  const events = actions.map((a, i): Event => {
    now += a.step + a.leap
    return { id: `e${i}`, time: now - a.back, amount: a.amount }
  })
  const harness = new Harness(specOf(), options)
  const recount = new Recount()
  const labelsOf = new Map<string, number>()
  for (const [i, a] of actions.entries()) {
    const event = events[i]!
    if (a.label) {
      const { id, time } = events[i - a.about] ?? event
      const known = labelsOf.get(id) ?? 0
      labelsOf.set(id, known + 1)
      // Past the seventh label an event may refuse more: a bound, tested by itself.
      if (known >= 7) continue
      const label = { id, time, available: time + a.available, fraud: a.fraud }
      recount.labels.push(label)
      harness.feed('key', label, time, 1)
    } else {
      const row = harness.feed('key', event, event.time)!
      assert.deepEqual(row.features, recount.features(event), `record ${i}`)
    }
  }
  return harness
}

describe('velocity', () => {
  it('equals a recount for all sides, delays and label histories, with tiny pages, misses, reloads and full outputs', () => {
    let misses = 0
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 160, size: 'max' }), fc.integer(), (actions, seed) => {
        const options = { random: seeded(seed), miss: 0.4, save: 0.3, trim: 0.3, reload: 0.2, full: 0.1 }
        misses += check(actions, options).misses
      }),
      { numRuns: Number(process.env.WEIR_PROPERTY_RUNS ?? 600), seed: 3 },
    )
    assert.ok(misses > 1_000, `the property met ${misses} misses`)
  })
})

void days
void eventTime
void isWeirError
void RowFlag
void wellBehaved
void mean

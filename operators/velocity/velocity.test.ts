/** Windows of every kind against a recount of the whole history, and the operator's edges one by one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { days, isWeirError, millis } from '../../kernel/index.js'
import { RowFlag } from '../contract.js'
import { Harness, type HarnessOptions, seeded } from '../harness.js'
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

const shaped = <N extends string>(
  feature: Feature<N, unknown>,
  { delay, sides, current }: Window,
): Feature<N, unknown> => {
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

  /** What lies in each window at the key's greatest event time. */
  windows(): { events: Event[]; after: number; through: number; fraud: number }[] {
    const now = Math.max(...this.#events.map(({ time }) => time))
    return windows.map(({ over, delay, sides }) => {
      const through = now - delay - (sides.endsWith(']') ? 0 : 1)
      const after = now - delay - over - (sides.startsWith('[') ? 1 : 0)
      const events = this.#events.filter(({ time }) => time > after && time <= through)
      return { events, after, through, fraud: events.filter(event => this.#isFraud(event, now)).length }
    })
  }

  get times(): number[] {
    return this.#events.map(({ time }) => time)
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

function check(actions: readonly Action[], options: HarnessOptions): Harness & { recount: Recount } {
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
  return Object.assign(harness, { recount })
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

  it('describes the windows of a key as a recount at its greatest event time would, and changes nothing', async () => {
    const iso = (at: number): string => new Date(at).toISOString()
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { minLength: 1, maxLength: 120, size: 'max' }),
        fc.integer(),
        async (all, seed) => {
          const options = { random: seeded(seed), miss: 0.4, save: 0.3, trim: 0.3, reload: 0.2, full: 0.1 }
          const harness = check([{ ...all[0]!, label: false }, ...all], options)
          const stored = harness.stored('key')
          stored.save()
          const root = stored.root!
          const bytes = stored.object.bytesInMemory
          const { value } = await harness.inspect('key')
          const { recount } = harness
          const now = Math.max(...recount.times)
          const shown = value as { events: number; oldest: string } & Record<string, unknown>
          const expected = recount.windows().map(({ events, after, through, fraud }) => {
            const sum = events.reduce((so, { amount }) => so + BigInt(amount), 0n)
            const mean = events.length === 0 ? null : Number(sum) / events.length
            return {
              after: iso(after),
              through: iso(through),
              count: events.length,
              fraud,
              amount: { sum: `${sum}`, mean },
            }
          })
          const seen = (shown.windows as Record<string, unknown>[]).flatMap(({ features, ...window }) =>
            (features as string[]).filter(name => name.startsWith('count')).map(name => [name, window]),
          )
          assert.deepEqual(
            Object.fromEntries(seen),
            Object.fromEntries(expected.map((window, i) => [`count${i}`, window])),
          )
          assert.deepEqual([shown.newest, shown.clock], [iso(now), iso(now)])
          // What no evaluation reaches may have gone.
          const reachable = recount.times.filter(time => time > now - lateness - 24).length
          assert.ok(shown.events >= reachable && shown.events <= recount.times.length)
          assert.ok(recount.times.includes(Date.parse(shown.oldest)))
          assert.equal(stored.object.bytesInMemory, bytes)
          stored.save()
          assert.ok(stored.root!.equals(root))
        },
      ),
      { numRuns: 150, seed: 8 },
    )
  })

  it('describes a key that has shown nothing', async () => {
    const { value } = await new Harness(specOf()).inspect('nobody')
    assert.deepEqual(value, { events: 0, early_labels: 0, oldest: null, newest: null, clock: null, windows: [] })
  })

  const one = (window: Partial<Window>): Harness =>
    new Harness(specOf(tinyPages, [{ over: 10, delay: 0, sides: '(]', current: true, ...window }]))
  const event = (id: string, time: number, amount = 1): Event => ({ id, time, amount })
  const feed = (harness: Harness, time: number, id = `at ${time}`, amount = 1) =>
    harness.feed('key', event(id, time, amount), time)!
  const label = (harness: Harness, id: string, time: number, available: number, fraud: boolean) =>
    harness.feed('key', { id, time, available, fraud }, time, 1)
  const counted = (harness: Harness, time: number): number => feed(harness, time).features[0]!

  it('counts each side of a window as declared', () => {
    for (const [sides, expected] of [
      ['(]', 3],
      ['[)', 2],
      ['()', 1],
      ['[]', 4],
    ] as const) {
      const harness = one({ sides })
      for (const time of [0, 1, 10]) feed(harness, time)
      // At 10: 0 lies on the lower edge, the other 10 and the record itself on the upper.
      assert.equal(counted(harness, 10), expected, sides)
    }
  })

  it('counts of equal times the one that arrived first, and not the other way round', () => {
    const harness = one({ current: false })
    assert.deepEqual([counted(harness, 5), counted(harness, 5), counted(harness, 5)], [0, 1, 2])
  })

  it('adds huge amounts exactly, where running doubles drift', () => {
    const harness = one({ over: 2 })
    feed(harness, 0, 'a', 1e15)
    for (let time = 1; time < 40; time++) feed(harness, time, `b${time}`, time % 2 === 0 ? 1e15 : 1)
    assert.equal(feed(harness, 100, 'c', 1).features[1], 1)
  })

  it('takes a label into account from its available_at on, and for late records as of their time', () => {
    const harness = one({ over: 30 })
    feed(harness, 0, 'a')
    label(harness, 'a', 0, 10, true)
    assert.equal(feed(harness, 9).features[2], 0)
    assert.equal(feed(harness, 10).features[2], 1 / 3)
    label(harness, 'a', 0, 12, false)
    assert.equal(feed(harness, 12).features[2], 0)
    assert.equal(feed(harness, 11).features[2], 1 / 4, 'late, when the first label was in effect')
    assert.equal(feed(harness, 9).features[2], 0, 'later still, before it was')
    label(harness, 'a', 0, 12, true)
    assert.equal(feed(harness, 13).features[2], 1 / 7, 'of the same available_at the one that arrived last')
  })

  it('keeps labels of other identities and times apart', () => {
    const harness = one({ over: 30 })
    feed(harness, 1, 'a')
    label(harness, 'b', 1, 1, true)
    label(harness, 'a', 2, 2, true)
    assert.equal(feed(harness, 3).features[2], 0)
    assert.equal(harness.counters.get('labels_early'), 2)
  })

  it('lets labels wait for their record, so many a key, and drops and counts what it cannot keep', () => {
    const harness = new Harness(specOf(tinyPages, [{ over: 10, delay: 0, sides: '(]', current: true }], 2))
    label(harness, 'a', 5, 5, true)
    label(harness, 'b', 6, 6, true)
    label(harness, 'c', 7, 7, true)
    assert.equal(harness.counters.get('labels_early_full'), 1)
    feed(harness, 5, 'a')
    assert.equal(harness.counters.get('labels_early_met'), 1)
    assert.equal(feed(harness, 6, 'x').features[2], 1 / 2)
    feed(harness, 100)
    assert.equal(harness.counters.get('labels_unmatched'), 1, 'b is too old to come')
    label(harness, 'd', 59, 59, true)
    assert.equal(harness.counters.get('labels_unmatched'), 2)
    label(harness, 'at 100', 100, 111, true)
    assert.equal(harness.counters.get('labels_without_effect'), 1)
    label(harness, 'at 100', 100, 110, true)
    for (let i = 1; i <= 7; i++) label(harness, 'at 100', 100, 100 + i, false)
    assert.equal(harness.counters.get('labels_event_full'), 1)
  })

  it('marks what is more than the lag behind as late, and what is more than the lateness behind as incomplete', () => {
    const harness = new Harness(
      velocity<typeof values, Event>({
        values,
        features: { n: count().over(days(1)), average: mean('amount', { per: () => 100 }).over(days(1)) },
        lateAfter: millis(10),
        lateness: millis(30),
      }),
    )
    const first = feed(harness, 1_000, 'a', 250)
    assert.deepEqual([first.flags, first.features], [0, [1, 2.5]])
    assert.equal(feed(harness, 990).flags, 0)
    assert.equal(feed(harness, 989).flags, RowFlag.late)
    assert.deepEqual(feed(harness, 970).features[0], 1, 'exactly the lateness: inserted')
    const tooLate = feed(harness, 969)
    assert.deepEqual(
      [tooLate.flags, tooLate.features],
      [RowFlag.late | RowFlag.historyIncomplete, [Number.NaN, Number.NaN]],
    )
    assert.equal(counted(harness, 1_000), 5, 'and it is not in the history')
    assert.deepEqual([...harness.counters].sort(), [
      ['history_incomplete', 1],
      ['late', 3],
    ])
  })

  it('has no mean of nothing, and a sum and a share of 0', () => {
    const features = {
      m: mean('amount').over(days(1)).excludingCurrent(),
      s: sum('amount').over(days(1)).excludingCurrent(),
    }
    const row = new Harness(velocity<typeof values, Event>({ values, features })).feed('key', event('a', 0), 0)!
    assert.deepEqual(row.features, [Number.NaN, 0])
  })

  it('refuses values that are not whole or too large, and times that are no times', () => {
    for (const amount of [0.5, Number.NaN, 1e15 + 1, Number.POSITIVE_INFINITY]) {
      assert.throws(
        () => feed(one({}), 0, 'a', amount),
        error => isWeirError(error, 'INVALID_FIELD'),
      )
    }
    assert.throws(
      () => feed(one({}), Number.NaN),
      error => isWeirError(error, 'INVALID_EVENT_TIME'),
    )
  })

  it('touches a bounded number of pages for a record of a key with a million events', () => {
    const harness = new Harness(
      specOf({ headEventsMax: 64, leafEvents: 48, fanout: 16, transitionsInRoot: 8 }, windows, 8),
    )
    const stored = harness.stored('key')
    const random = seeded(5)
    let readsMax = 0
    let pagesMax = 0
    let rootMax = 0
    let time = 0
    for (let i = 0; i < 1_000_000; i++) {
      // About 30,000 events within the retention of 60 ms, so three index levels; one record in a hundred is late.
      if (i % 512 === 0) time++
      stored.reads = 0
      const at = i % 100 === 0 ? Math.max(0, time - Math.floor(random() * lateness)) : time
      harness.feed('key', event(`e${i}`, at), at)
      if (i % 1_000 === 500) label(harness, `e${i - 3}`, time, time + 2, true)
      readsMax = Math.max(readsMax, stored.reads)
      if (i % 256 !== 255) continue
      stored.touched = true
      stored.save()
      rootMax = Math.max(rootMax, stored.root!.length)
      pagesMax = Math.max(pagesMax, stored.pages.size)
      if (i % 4_096 === 4_095) stored.object.trim?.()
      assert.ok(stored.object.bytesInMemory < 2_000_000, `${stored.object.bytesInMemory} bytes in memory`)
    }
    assert.ok(readsMax <= 60, `${readsMax} pages read for one record`)
    assert.ok(rootMax <= 4_096, `a root of ${rootMax} bytes`)
    assert.ok(pagesMax <= 2_500, `${pagesMax} pages: what has expired goes`)
  })
})

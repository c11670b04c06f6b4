import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { days, millis } from '../../kernel/index.js'
import { Harness, type HarnessOptions, seeded, wellBehaved } from '../harness.js'
import { Bucket } from './bucket.js'
import { dedupe } from './dedupe.js'
import type { DedupeIndex } from './dedupe-index.js'

interface Payment {
  readonly id: string
  readonly amount: number
  readonly currency: string
}

const tiny = { rootEntriesMax: 4, pageEntries: 2, cleanPagesMax: 2 }

function harnessOf(horizon = 100, options: HarnessOptions = wellBehaved, sizes = tiny): Harness {
  return new Harness(
    dedupe<Payment>({
      idOf: p => p.id,
      fingerprintOf: [p => p.amount, p => p.currency],
      horizon: millis(horizon),
      sizes,
    }),
    options,
  )
}

const passes = (harness: Harness, id: string, at: number, amount = 1, currency = 'EUR'): boolean =>
  harness.feed('key', { id, amount, currency }, at) !== undefined

describe('dedupe', () => {
  it('drops repeats in any order of delivery, and counts conflicts among them', () => {
    const harness = harnessOf()
    assert.deepEqual(
      [passes(harness, 'A', 0), passes(harness, 'A', 0), passes(harness, 'B', 0), passes(harness, 'A', 0)],
      [true, false, true, false],
    )
    assert.equal(harness.counters.get('duplicates'), 2)
    assert.equal(harness.counters.get('conflicts'), undefined)
    assert.equal(passes(harness, 'A', 0, 2), false)
    assert.equal(passes(harness, 'B', 0, 1, 'USD'), false)
    assert.equal(passes(harness, 'A', 50), false, 'the time is not compared')
    assert.deepEqual(
      [...harness.counters],
      [
        ['duplicates', 5],
        ['conflicts', 2],
      ],
    )
  })

  it('keeps keys apart', () => {
    const harness = harnessOf()
    const payment = { id: 'A', amount: 1, currency: 'EUR' }
    assert.ok(harness.feed('one', payment, 0))
    assert.ok(harness.feed('two', payment, 0))
  })

  it('remembers up to the horizon by the greatest event time of the key', () => {
    for (const [now, repeats] of [
      [100, true],
      [101, false],
    ] as const) {
      const harness = harnessOf()
      passes(harness, 'A', 0)
      passes(harness, 'B', now)
      assert.equal(passes(harness, 'A', 0), !repeats, `the clock at ${now}`)
      const direct = harnessOf()
      passes(direct, 'A', 0)
      assert.equal(passes(direct, 'A', now), !repeats, `repeated itself at ${now}`)
    }
  })

  it('measures from what the key had shown when the id arrived, not from its own time', () => {
    const harness = harnessOf()
    passes(harness, 'B', 90)
    passes(harness, 'A', 0)
    passes(harness, 'C', 190)
    assert.equal(passes(harness, 'A', 0), false)
    passes(harness, 'D', 191)
    assert.equal(passes(harness, 'A', 0), true)
  })

  it('is not moved on by a repeat', () => {
    const harness = harnessOf()
    passes(harness, 'A', 0)
    passes(harness, 'A', 99)
    passes(harness, 'B', 100)
    assert.equal(passes(harness, 'A', 0), false)
  })

  it('compares ids exactly', () => {
    const ids = [
      '1',
      '01',
      '001',
      '1.0',
      '',
      ' 1',
      'é',
      'e\u0301',
      '\ud800',
      '\ud801',
      '中',
      '999999999999999',
      '1000000000000000',
      '9'.repeat(64),
    ]
    const harness = harnessOf()
    for (const id of ids) assert.equal(passes(harness, id, 0), true, JSON.stringify(id))
    harness.stored('key').reload()
    for (const id of ids) assert.equal(passes(harness, id, 0), false, JSON.stringify(id))
  })

  it('tells ids of the same hash apart and gives back what it was given', () => {
    const bucket = new Bucket()
    for (const [i, id] of ['a', 'b', '7'].entries()) bucket.append(id, 5, -i, i, 1_000 + i, i, 2 ** 40 + i)
    assert.deepEqual(bucket.find('b', 5, 0), {
      id: 'b',
      hash: 5,
      fingerprintHigh: -1,
      fingerprintLow: 1,
      clock: 1_001,
      partition: 1,
      offset: 2 ** 40 + 1,
    })
    assert.equal(bucket.find('c', 5, 0), undefined)
    assert.equal(bucket.find('b', 5, 1_002), undefined)
    assert.equal(bucket.prune(1_002), 2)
    assert.deepEqual(
      bucket.entries().map(({ id, clock }) => [id, clock]),
      [['7', 1_002]],
    )
  })

  it('equals a list of everything seen, with tiny pages, misses, reloads and full outputs', () => {
    const action = fc.record({
      id: fc.nat(60),
      step: fc.constantFrom(0, 0, 1, 2, 5),
      back: fc.constantFrom(0, 0, 0, 1, 20, 99, 100, 101),
      leap: fc.constantFrom(...new Array<number>(30).fill(0), 100, 101, 250),
      amount: fc.constantFrom(1, 1, 2),
    })
    let misses = 0
    let split = 0
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 200, size: 'max' }), fc.integer(), (actions, seed) => {
        const random = seeded(seed)
        const harness = harnessOf(100, { random, miss: 0.4, save: 0.3, trim: 0.3, reload: 0.2, full: 0.1 })
        const seen: { id: number; clock: number; amount: number }[] = []
        let now = 0
        let greatest = Number.NEGATIVE_INFINITY
        let conflicts = 0
        for (const { id, step, back, leap, amount } of actions) {
          now += step + leap
          const clock = Math.max(greatest, now - back)
          const first = seen.find(other => other.id === id && clock - other.clock <= 100)
          if (first && first.amount !== amount) conflicts++
          assert.equal(passes(harness, `id ${id}`, now - back, amount), first === undefined)
          if (first) continue
          greatest = clock
          seen.push({ id, clock, amount })
        }
        assert.equal(harness.counters.get('conflicts') ?? 0, conflicts)
        misses += harness.misses
        split = Math.max(split, (harness.stored('key').object as DedupeIndex).buckets)
      }),
      { numRuns: 300, seed: 5 },
    )
    assert.ok(misses > 1_000 && split > 8, `${misses} misses, ${split} buckets`)
  })

  it('describes how many ids it remembers and since when, and reads no more pages than it may', async () => {
    const iso = (at: number): string => new Date(at).toISOString()
    const action = fc.record({ id: fc.nat(80), step: fc.constantFrom(0, 1, 2, 5), back: fc.constantFrom(0, 0, 1, 99) })
    let tables = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { minLength: 1, maxLength: 200, size: 'max' }),
        fc.integer(),
        async (actions, seed) => {
          const harness = harnessOf(100, {
            random: seeded(seed),
            miss: 0.2,
            save: 0.3,
            trim: 0.3,
            reload: 0.2,
            full: 0.1,
          })
          const clocks: number[] = []
          let now = 0
          for (const { id, step, back } of actions) {
            now += step
            const clock = Math.max(clocks.at(-1) ?? Number.NEGATIVE_INFINITY, now - back)
            if (passes(harness, `id ${id}`, now - back)) clocks.push(clock)
          }
          const newest = clocks.at(-1)!
          const alive = clocks.filter(clock => newest - clock <= 100)
          const stored = harness.stored('key')
          const object = stored.object as DedupeIndex
          const before = [object.pagesInMemory, object.bytesInMemory]
          assert.deepEqual(await harness.inspect('key'), {
            value: { ids: alive.length, oldest: iso(alive[0]!), newest: iso(newest) },
            truncated: false,
          })
          assert.deepEqual([object.pagesInMemory, object.bytesInMemory], before)
          if (object.buckets <= 2) return
          tables++
          stored.save()
          object.trim()
          const few = await harness.inspect('key', 2)
          assert.equal(few.truncated, true)
          assert.ok((few.value as { ids: number }).ids <= alive.length)
        },
      ),
      { numRuns: 150, seed: 6 },
    )
    assert.ok(tables > 50, `${tables} tables`)
    assert.deepEqual((await harnessOf().inspect('nobody')).value, { ids: 0, oldest: null, newest: null })
  })

  it('touches a page or two for a record, however many ids a key has shown', () => {
    const harness = harnessOf(days(67), wellBehaved, { rootEntriesMax: 128, pageEntries: 64, cleanPagesMax: 16 })
    const stored = harness.stored('key')
    let readsMax = 0
    for (let i = 0; i < 100_000; i++) {
      stored.reads = 0
      assert.equal(passes(harness, `transaction-${i}`, i * 1_000), true)
      readsMax = Math.max(readsMax, stored.reads)
      if (i % 100 === 99) stored.reload()
    }
    assert.ok(readsMax <= 2, `${readsMax} pages read for one record`)
    assert.ok(stored.root!.length < 100, `a root of ${stored.root!.length} bytes`)
    assert.equal(passes(harness, 'transaction-77', 0), false)
    const { buckets } = stored.object as DedupeIndex
    assert.ok(buckets > 1_500 && buckets < 1_650, `${buckets} buckets`)
  })

  it('stays as large as its horizon needs', () => {
    const harness = harnessOf(1_000, wellBehaved, { rootEntriesMax: 128, pageEntries: 64, cleanPagesMax: 16 })
    for (let i = 0; i < 50_000; i++) passes(harness, `transaction-${i}`, i)
    const { buckets } = harness.stored('key').object as DedupeIndex
    assert.ok(buckets <= 40, `${buckets} buckets for 1,000 ids`)
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AssertionError, days, eventTime, hours } from '../../kernel/index.js'
import { count, dedupe, mean, type OperatorSpec, process, velocity } from '../../operators/index.js'
import { avroCodec, intCodec, type MapState, type StateCodec, stringCodec, type ValueState } from '../../state/index.js'
import { verifyEvolution } from './index.js'

interface Payment {
  readonly id: string
  readonly who: string
  readonly cents: number
}

const start = Date.UTC(2024, 0, 1)
const payment = (i: number) => ({
  value: { id: `p${i % 10}`, who: `c${i % 5}`, cents: i * 10 },
  at: eventTime(start + hours(i)),
})
const items = {
  itemsBefore: Array.from({ length: 30 }, (_, i) => payment(i)),
  itemsAfter: Array.from({ length: 15 }, (_, i) => payment(30 + i)),
}
const keyOf = [(p: Payment) => p.who]

const windows = (boundary: number): OperatorSpec =>
  velocity<{ amount: (p: Payment) => number }, Payment>({
    values: { amount: p => p.cents },
    features: { n: count().over(days(boundary)), mean: mean('amount').over(days(1)) },
  })

/** Totals in a value of any codec, with how many were seen in a map. */
function totals<V>(codec: StateCodec<V>, of: (before: V | undefined, cents: number) => V): OperatorSpec {
  return process<Payment, V, { total: ValueState<V>; seen: MapState<number> }>({
    state: state => ({ total: state.value('total', codec), seen: state.map('seen', intCodec) }),
    create: ({ state }) => ({
      onRecord: ({ id, cents }, _at, out) => {
        const total = of(state.total.get(), cents)
        const times = (state.seen.get(id) ?? 0) + 1
        if (!out.emit({ ...total, times })) return false
        state.total.set(total)
        state.seen.set(id, times)
        return true
      },
    }),
  })
}

const v1 = avroCodec<{ sum: number }>({ type: 'record', name: 'T', fields: [{ name: 'sum', type: 'int' }] })
const v2 = avroCodec<{ total: number; n: number }>({
  type: 'record',
  name: 'T',
  fields: [
    { name: 'total', type: 'double', aliases: ['sum'] },
    { name: 'n', type: 'int', default: 100 },
  ],
})
const before = (): OperatorSpec => totals(v1, (b, cents) => ({ sum: (b?.sum ?? 0) + cents }))
const after = (): OperatorSpec => totals(v2, (b, cents) => ({ total: (b?.total ?? 0) + cents, n: (b?.n ?? 0) + 1 }))

describe('verifyEvolution', () => {
  it('passes the built-in operators, which stay as they are', async () => {
    const spec = (): OperatorSpec => windows(7)
    const rows = await verifyEvolution({ before: spec, after: spec, keyOf, ...items })
    assert.equal(rows.at(-1)!.features[0], 9)
    const once = (): OperatorSpec =>
      dedupe<Payment>({ idOf: p => p.id, fingerprintOf: [p => p.cents], horizon: days(67) })
    assert.equal((await verifyEvolution({ before: once, after: once, keyOf, ...items })).length, 0)
  })

  it('passes dedupe with a shorter horizon, which forgets sooner; a longer one is refused', async () => {
    const once = (hoursBack: number) => (): OperatorSpec =>
      dedupe<Payment>({ idOf: p => p.id, fingerprintOf: [p => p.cents], horizon: hours(hoursBack) })
    // An id comes every ten hours: of what came before those of hours 20 to 29 are remembered.
    const shorter = await verifyEvolution({ before: once(12), after: once(11), keyOf, ...items })
    assert.equal(shorter.length, 5, 'those of hours 40 to 44')
    const forgetful = await verifyEvolution({ before: once(12), after: once(9), keyOf, ...items })
    assert.equal(forgetful.length, items.itemsAfter.length)
    await assert.rejects(verifyEvolution({ before: once(11), after: once(12), keyOf, ...items }), {
      code: 'STATE_INCOMPATIBLE',
    })
  })

  it('refuses other windows: what they need was not kept', async () => {
    const evolve = verifyEvolution({ before: () => windows(7), after: () => windows(9), keyOf, ...items })
    await assert.rejects(evolve, {
      code: 'STATE_INCOMPATIBLE',
      message: /step 'step', state 'events': codec reservoir is laid out as/,
    })
  })

  it('passes an Avro schema that follows the rules, and its default where there was nothing', async () => {
    const rows = await verifyEvolution({ before, after, keyOf, ...items })
    const expected = items.itemsAfter.map(({ value }, i) => {
      const all = [...items.itemsBefore, ...items.itemsAfter.slice(0, i + 1)].map(item => item.value)
      const own = all.filter(({ who }) => who === value.who)
      const n = 100 + own.length - 6
      return {
        total: own.reduce((sum, { cents }) => sum + cents, 0),
        n,
        times: own.filter(({ id }) => id === value.id).length,
      }
    })
    assert.deepEqual(
      rows.map(({ value }) => value),
      expected,
    )
    await assert.rejects(verifyEvolution({ before: after, after: before, keyOf, ...items }), {
      code: 'STATE_INCOMPATIBLE',
    })
  })

  it('does what is wished with state that is gone', async () => {
    const text = (): OperatorSpec => totals(stringCodec as StateCodec<never>, () => 'x' as never)
    const evolve = (drop: readonly string[]) =>
      verifyEvolution({ before, after: text, keyOf, wishes: { drop }, ...items })
    await assert.rejects(evolve([]), { code: 'STATE_INCOMPATIBLE' })
    const rows = await evolve(['step/total'])
    assert.ok(rows.every(({ value }) => (value as { times: number }).times > 0))
  })

  it('catches a later version whose output depends on what is in memory', async () => {
    let kept = 0
    const leaking = (): OperatorSpec =>
      process<Payment, number, ValueState<{ sum: number }>>({
        state: state => state.value('total', v1),
        create: () => ({ onRecord: (_record, _at, out) => out.emit(kept++) }),
      })
    const evolve = verifyEvolution({ before, after: leaking, keyOf, wishes: { drop: ['step/seen'] }, ...items })
    await assert.rejects(evolve, AssertionError)
  })
})

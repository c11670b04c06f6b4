/** The built-in operators pass; operators that break a rule of state/handles.ts or of the output are caught. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AssertionError, days, eventTime, hours, minutes } from '../../kernel/index.js'
import {
  count,
  dedupe,
  filter,
  flatMap,
  fraudShare,
  map,
  mean,
  type OperatorSpec,
  type ProcessSpec,
  process,
  type StepContext,
  type StepRuntime,
  velocity,
} from '../../operators/index.js'
import { intCodec, listOf, type MapState, stringCodec, type ValueState } from '../../state/index.js'
import { type VerifiedRow, type VerifyItem, verifyOperator } from './index.js'

interface Payment {
  readonly id: string
  readonly who: string
  readonly cents: number
  readonly at: number
}

interface Verdict {
  readonly id: string
  readonly who: string
  readonly at: number
  readonly availableAt: number
  readonly fraud: boolean
}

const start = Date.UTC(2024, 0, 1)

/** Out of order, in a few keys, with repeats. */
function payments(n: number): Payment[] {
  return Array.from({ length: n }, (_, i) => ({
    id: `p${i % 17 === 16 ? i - 6 : i}`,
    who: `c${(i * 7) % 3}`,
    cents: (i * 37) % 500,
    at: start + hours(i) - (i % 5 === 4 ? hours(9) : 0),
  }))
}

const itemsOf = (list: readonly Payment[]): VerifyItem[] =>
  list.map(payment => ({ value: payment, at: eventTime(payment.at) }))
const byWho = [(payment: Payment) => payment.who]
const valuesOf = (rows: readonly VerifiedRow[]): unknown[] => rows.map(row => row.value)

describe('verifyOperator passes', () => {
  it('map, filter and flatMap', async () => {
    const items: VerifyItem[] = [1, 2, 3, 4].map(n => ({ value: n, at: eventTime(n) }))
    assert.deepEqual(valuesOf(await verifyOperator({ spec: () => map((n: number) => n * 2), items })), [2, 4, 6, 8])
    assert.deepEqual(valuesOf(await verifyOperator({ spec: () => filter((n: number) => n % 2 === 0), items })), [2, 4])
    const repeat = (n: number): number[] => new Array<number>(n).fill(n)
    assert.deepEqual(
      valuesOf(await verifyOperator({ spec: () => flatMap(repeat), items })),
      [1, 2, 2, 3, 3, 3, 4, 4, 4, 4],
    )
  })

  it('dedupe, over several pages', async () => {
    const list = payments(120)
    const sizes = { rootEntriesMax: 3, pageEntries: 2, cleanPagesMax: 1 }
    const spec = () => dedupe<Payment>({ idOf: p => p.id, fingerprintOf: [p => p.cents], horizon: days(30), sizes })
    const rows = await verifyOperator({ spec, keyOf: byWho, items: itemsOf(list) })
    const seen = new Set<string>()
    const first = list.filter(({ who, id }) => !seen.has(`${who} ${id}`) && seen.add(`${who} ${id}`))
    assert.deepEqual(valuesOf(rows), first)
    assert.ok(first.length < list.length)
  })

  it('velocity with labels, over several pages', async () => {
    const list = payments(120)
    const items: VerifyItem[] = []
    list.forEach((payment, i) => {
      const { id, who, at } = payment
      const label = (availableAt: number, fraud: boolean): VerifyItem => ({
        value: { id, who, at, availableAt, fraud } satisfies Verdict,
        at: eventTime(at),
        port: 1,
      })
      if (i % 11 === 3) items.push(label(at, true))
      items.push({ value: payment, at: eventTime(at) })
      if (i % 4 === 1) items.push(label(at + hours(5), i % 8 === 1))
      if (i % 8 === 1) items.push(label(at + hours(9), false))
    })
    const spec = () =>
      velocity<{ cents: (p: Payment) => number }, Payment, Verdict>({
        values: { cents: p => p.cents },
        features: {
          n: count().over(hours(12)),
          mean: mean('cents').over(days(1)),
          risk: fraudShare().over(days(1)).delayedBy(hours(6)).excludingCurrent(),
        },
        sizes: { headEventsMax: 3, leafEvents: 2, fanout: 2, transitionsInRoot: 2 },
        labels: {
          identity: [p => p.id],
          label: { identity: [l => l.id], eventTime: l => l.at, availableAt: l => l.availableAt, fraud: l => l.fraud },
        },
      })
    const keyOf = [...byWho, (label: Verdict) => label.who]
    const rows = await verifyOperator({ spec, keyOf, ports: 2, items })
    assert.equal(rows.length, list.length)
    assert.ok(rows.some(({ features }) => features[2]! > 0))
    rows.forEach(({ value, at, features }, i) => {
      const { who } = value as Payment
      const inWindow = list.slice(0, i + 1).filter(p => p.who === who && p.at <= at && p.at > at - hours(12))
      assert.equal(features[0], inWindow.length)
    })
  })

  it('process with values, maps and timers', async () => {
    const items = itemsOf(payments(60))
    const moved = items.flatMap((item, i) =>
      i % 10 === 9 ? [item, { watermark: eventTime(start + hours(i) - minutes(1)) }] : [item],
    )
    const rows = await verifyOperator({
      spec: () => process(daily),
      keyOf: byWho,
      items: [...moved, { watermark: eventTime(start + days(9)) }],
    })
    const values = valuesOf(rows) as { kind: string; n: number }[]
    assert.equal(values.filter(value => value.kind === 'seen').length, 60)
    const reported = values.filter(value => value.kind === 'report').reduce((sum, value) => sum + value.n, 0)
    assert.equal(reported, 60)
  })
})

interface DailyState {
  readonly n: ValueState<number>
  readonly ids: MapState<number>
}

/** Counts, and reports six hours after the first record since the last report. */
const daily: ProcessSpec<Payment, object, DailyState> = {
  state: factory => ({ n: factory.value('n', intCodec), ids: factory.map('ids', intCodec) }),
  create: ({ state, timers }) => ({
    onRecord(payment, at, out) {
      const n = (state.n.get() ?? 0) + 1
      state.n.set(n)
      if (n === 1) timers.timerAt(eventTime(at + hours(6)))
      const uses = (state.ids.get(payment.id) ?? 0) + 1
      state.ids.set(payment.id, uses)
      return out.emit({ kind: 'seen', id: payment.id, n, uses }) && out.emit({ kind: 'after', n: 0 })
    },
    onTimer(at, out) {
      const ids = state.ids.entries()
      if (!out.emit({ kind: 'report', n: state.n.get() ?? 0, at, ids })) return false
      for (const [id] of ids) state.ids.delete(id)
      state.n.clear()
      return true
    },
  }),
}

/** The same state, misused in one way each. */
const spoiled = (
  onRecord: (state: { list: ValueState<readonly string[]>; ids: MapState<number> }, id: string) => unknown,
): ProcessSpec<Payment, unknown, { list: ValueState<readonly string[]>; ids: MapState<number> }> => ({
  state: factory => ({ list: factory.value('list', listOf(stringCodec)), ids: factory.map('ids', intCodec) }),
  create: ({ state }) => ({ onRecord: (payment, _at, out) => out.emit(onRecord(state, payment.id)) }),
})

const caught = (spec: () => OperatorSpec, variant: RegExp): Promise<void> =>
  assert.rejects(
    verifyOperator({ spec, keyOf: byWho, items: itemsOf(payments(40)) }),
    error => error instanceof AssertionError && variant.test(error.message),
  )

describe('verifyOperator catches an operator', () => {
  it('that mutates what it got before it reads the rest', () =>
    caught(
      () =>
        process(
          spoiled((state, id) => {
            const list = (state.list.get() ?? []) as string[]
            list.push(id)
            const uses = (state.ids.get(id) ?? 0) + 1
            state.ids.set(id, uses)
            state.list.set(list)
            return [...list]
          }),
        ),
      /: (no room in the cache|restarted|full output)/,
    ))

  it('that mutates what it got and does not set it', () =>
    caught(
      () =>
        process(
          spoiled((state, id) => {
            const list = state.list.get() as string[] | undefined
            if (list === undefined) state.list.set([id])
            else list.push(id)
            return [...(list ?? [])]
          }),
        ),
      /: (restarted|full output)/,
    ))

  it('that keeps state outside of its handles', () =>
    caught(
      () =>
        process({
          state: () => undefined,
          create: () => {
            const ids = new Set<string>()
            return { onRecord: (payment: Payment, _at, out) => out.emit(ids.add(payment.id).size) }
          },
        }),
      /: restarted after every record/,
    ))

  it('that remembers the first try of a call', () =>
    caught(
      () =>
        process({
          state: () => undefined,
          create: () => {
            let calls = 0
            return { onRecord: (_payment: Payment, _at, out) => out.emit(++calls) }
          },
        }),
      /: full output at every other push/,
    ))

  it('that emits again what went out before its output was full', () => caught(() => pushing(true), /: row \d+ is/))

  it('that forgets the rest once its output was full', () => caught(() => pushing(false), /: row \d+ is/))

  it('and passes the same one done right', async () => {
    const spec = () =>
      process(
        spoiled((state, id) => {
          const list = [...(state.list.get() ?? []), id]
          state.ids.set(id, (state.ids.get(id) ?? 0) + 1)
          state.list.set(list)
          return list
        }),
      )
    const rows = await verifyOperator({ spec, keyOf: byWho, items: itemsOf(payments(40)) })
    assert.equal(rows.length, 40)
  })
})

/** Two rows for each, at the row level, where nobody counts for the operator. */
function pushing(again: boolean): OperatorSpec {
  const create = (context: StepContext): StepRuntime => ({
    onRow: (row, out) => {
      const first = out.push(context.derive(row, 'first'))
      const second = out.push(context.derive(row, 'second'))
      return again ? first && second : true
    },
  })
  return { kind: 'pushing', stateful: false, features: [], parameters: {}, create }
}

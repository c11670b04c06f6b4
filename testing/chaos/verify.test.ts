import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Dumped, type Dumps, verify } from './verify.js'

const start = Date.UTC(2026, 0, 5, 12)
const dayMs = 86_400_000

const record = (partition: number, offset: number, key: string, value: unknown): Dumped => ({
  partition,
  offset,
  key,
  value: JSON.stringify(value),
})

const transaction = (id: string, customer: string, time: number, amount: number) => ({
  transaction_id: id,
  customer_id: customer,
  terminal_id: 'm',
  amount_minor: amount,
  event_time: time,
  currency: 'EUR',
})

interface Windows {
  readonly own: readonly [number, number, number]
  readonly mean: readonly [number, number, number]
  readonly there: readonly [number, number, number]
  readonly risk: readonly [number, number, number]
}

const none: Pick<Windows, 'there' | 'risk'> = { there: [0, 0, 0], risk: [0, 0, 0] }

const decision = (
  id: string,
  customer: string,
  offset: number,
  amount: number,
  { own, mean, there, risk }: Windows,
) => ({
  transaction_id: id,
  customer_id: customer,
  late: false,
  source: { topic: 'transactions', partition: 0, offset },
  features: {
    tx_amount: amount,
    tx_during_weekend: 0,
    tx_during_night: 0,
    ...Object.fromEntries(
      [1, 7, 30].flatMap((days, i) => [
        [`customer_id_nb_tx_${days}day_window`, own[i]],
        [`customer_id_avg_amount_${days}day_window`, mean[i]],
        [`terminal_id_nb_tx_${days}day_window`, there[i]],
        [`terminal_id_risk_${days}day_window`, risk[i]],
      ]),
    ),
  },
})

const epoch = (number: number, inputs: readonly [topic: string, from: number, to: number][]) =>
  record(0, number, '', {
    kind: 'epoch',
    epoch: number,
    generation: 1,
    inputs: inputs.map(([topic, from, to]) => ({ topic, partition: 0, from: String(from), to: String(to) })),
  })

/** Worked out by hand: a and b of one customer an hour apart, a labelled as fraud, c of another ten days later. */
const right: Dumps = {
  transactions: [
    record(0, 0, 'x', transaction('a', 'x', start, 1_000)),
    record(0, 1, 'x', transaction('a', 'x', start, 1_000)),
    record(0, 2, 'x', transaction('b', 'x', start + 3_600_000, 2_000)),
    record(0, 3, 'y', transaction('c', 'y', start + 9 * dayMs, 500)),
  ],
  labels: [
    record(0, 0, 'x', {
      transaction_id: 'a',
      customer_id: 'x',
      terminal_id: 'm',
      event_time: start,
      available_at: start + dayMs,
      label: 'fraud',
    }),
  ],
  decisions: [
    record(0, 0, 'x', decision('a', 'x', 0, 10, { own: [1, 1, 1], mean: [10, 10, 10], ...none })),
    record(0, 1, 'x', decision('b', 'x', 2, 20, { own: [2, 2, 2], mean: [15, 15, 15], ...none })),
    record(
      0,
      4,
      'y',
      decision('c', 'y', 3, 5, { own: [1, 1, 1], mean: [5, 5, 5], there: [0, 2, 2], risk: [0, 0.5, 0.5] }),
    ),
  ],
  journal: [
    record(0, 0, '', { kind: 'genesis' }),
    epoch(1, [['transactions', 0, 3]]),
    epoch(2, [
      ['labels', 0, 1],
      ['transactions', 3, 4],
    ]),
  ],
}

const counts = (dumps: Dumps) => {
  const { lost, duplicated, outOfOrder, wrong } = verify(dumps)
  return [lost.length, duplicated.length, outOfOrder.length, wrong.length]
}

const changed = (i: number, change: (decision: Record<string, unknown>) => unknown): Dumps => ({
  ...right,
  decisions: right.decisions.map((at, n) =>
    n === i
      ? { ...at, value: JSON.stringify({ ...JSON.parse(at.value), ...(change(JSON.parse(at.value)) as object) }) }
      : at,
  ),
})

describe('the verifier of chaos', () => {
  it('finds nothing where all is right', () => {
    const verdict = verify(right)
    assert.deepEqual([verdict.transactions, verdict.repeats, verdict.decisions, verdict.epochs], [3, 1, 3, 2])
    assert.deepEqual([...verdict.lost, ...verdict.duplicated, ...verdict.outOfOrder, ...verdict.wrong], [])
  })

  it('finds what is lost, also what no epoch has read', () => {
    assert.deepEqual(counts({ ...right, decisions: right.decisions.slice(0, 2) }), [1, 0, 0, 0])
    assert.deepEqual(
      counts({ ...right, decisions: right.decisions.slice(0, 2), journal: right.journal.slice(0, 2) }),
      [1, 0, 0, 0],
    )
  })

  it('finds what came twice', () => {
    const again = { ...right.decisions[1]!, offset: 9 }
    assert.deepEqual(counts({ ...right, decisions: [...right.decisions, again] }), [0, 1, 0, 0])
  })

  it('finds decisions of one customer in another order, and those under another key', () => {
    const swapped = right.decisions.map((at, i) => ({ ...at, offset: [1, 0, 4][i]! }))
    assert.deepEqual(counts({ ...right, decisions: swapped }), [0, 0, 1, 0])
    assert.deepEqual(counts({ ...right, decisions: right.decisions.map(at => ({ ...at, key: 'x' })) }), [0, 0, 1, 0])
  })

  it('finds a feature, a lateness and a source that are wrong', () => {
    const features = JSON.parse(right.decisions[2]!.value).features
    for (const name of Object.keys(features)) {
      assert.deepEqual(
        counts(changed(2, () => ({ features: { ...features, [name]: features[name] + 0.001 } }))),
        [0, 0, 0, 1],
      )
    }
    assert.deepEqual(counts(changed(0, () => ({ late: true }))), [0, 0, 0, 1])
    assert.deepEqual(
      counts(changed(0, () => ({ source: { topic: 'transactions', partition: 0, offset: 1 } }))),
      [0, 0, 0, 1],
    )
  })

  it('finds a decision that nobody asked for, a gap in the journal and a range read twice', () => {
    const stranger = record(0, 9, 'z', JSON.parse(right.decisions[0]!.value.replaceAll('"x"', '"z"')))
    assert.deepEqual(counts({ ...right, decisions: [...right.decisions, stranger] }), [0, 0, 0, 1])
    const journal = [
      right.journal[0]!,
      epoch(1, [['transactions', 0, 3]]),
      epoch(3, [
        ['labels', 0, 1],
        ['transactions', 3, 4],
      ]),
    ]
    assert.deepEqual(counts({ ...right, journal }), [0, 0, 0, 1])
    const twice = [
      right.journal[0]!,
      epoch(1, [['transactions', 0, 3]]),
      epoch(2, [
        ['labels', 0, 1],
        ['transactions', 2, 4],
      ]),
    ]
    assert.deepEqual(counts({ ...right, journal: twice }), [0, 0, 0, 1])
  })
})

/**
 * A topology with the shape of the fraud application, made of the public DSL, since nothing here may know that
 * application: labels and transactions, dedupe, customer and terminal velocity with labels, a model, a decision; beside
 * them a process step with state and timers, and a flatMap.
 */
import { days, minorUnitsPerMajor, minutes } from '../../kernel/index.js'
import {
  count,
  type DedupeSizes,
  fraudShare,
  mean,
  type ReservoirSizes,
  type Row,
  RowFlag,
} from '../../operators/index.js'
import type { Explanation, Model, ScoreReport } from '../../scoring/index.js'
import {
  compile,
  type DecideFunction,
  modelNamed,
  type Placement,
  type Plan,
  toJson,
  topology,
} from '../../topology/index.js'
import { type Payment, paymentFormat, timeOf, type Verdict, verdictFormat } from './records.js'
import { watch } from './watch.js'

export const app = 'simulated'
export const topics = {
  labels: 'labels',
  transactions: 'transactions',
  decisions: 'decisions',
  alerts: 'alerts',
  legs: 'legs',
  large: 'large',
  deadLetters: 'dead-letters',
} as const
export const largeAmount = 50_000
export const reviewScore = 0.5

export interface Leg {
  readonly transaction_id: string
  readonly customer_id: string
  readonly leg: number
}

/** Of names of the plan's features, in its order; missing ones absent. */
export type FeatureList = readonly (readonly [string, number])[]

export interface SimDecision {
  readonly transaction_id: string
  readonly customer_id: string
  readonly source: readonly [number, number]
  readonly features: FeatureList
  /** null: the model failed */
  readonly score: number | null
  readonly degraded: boolean
  readonly late: boolean
  readonly history_incomplete: boolean
  /** Of the first feature; null when nobody asked, or the model failed to explain. */
  readonly impact: number | null
}

export interface Sizes {
  readonly reservoir: ReservoirSizes
  readonly dedupe: DedupeSizes
}

const policy: DecideFunction<Payment, SimDecision> = {
  parameters: {},
  bind: featureNames => ({
    needsImpacts: context => context.row.score >= reviewScore,
    decide: ({ value, row, scoringFailed, impacts }) => {
      if (value.trap === 'policy') throw new Error('a trap')
      const impact = impacts?.[0]
      return {
        transaction_id: value.transaction_id,
        customer_id: value.customer_id,
        source: [row.source.partition, row.source.offset],
        features: present(featureNames, row.features),
        score: Number.isNaN(row.score) ? null : row.score,
        degraded: scoringFailed,
        late: (row.flags & RowFlag.late) !== 0,
        history_incomplete: (row.flags & RowFlag.historyIncomplete) !== 0,
        impact: impact === undefined || Number.isNaN(impact) ? null : impact,
      }
    },
  }),
}

function present(names: readonly string[], values: readonly number[]): FeatureList {
  const list: (readonly [string, number])[] = []
  names.forEach((name, i) => {
    if (!Number.isNaN(values[i]!)) list.push([name, values[i]!])
  })
  return list
}

export function legsOf(payment: Payment): Leg[] {
  const { transaction_id, customer_id } = payment
  return Array.from({ length: payment.legs }, (_, leg) => ({ transaction_id, customer_id, leg }))
}

/**
 * With several slots, now or in another plan, without the process step, whose twin follows one slot's journal; instead a step
 * between the hops makes no row of some payments, and two of others.
 */
export function simulatedPlan(sizes: Sizes, placement: Placement, rescales = false): Plan {
  const isWatched = placement.slots === 1 && !rescales
  const built = topology(app)
  const verdicts = built.source(topics.labels, verdictFormat, {
    eventTime: timeOf,
    outOfOrderness: days(30),
    role: 'labels',
    partitionedBy: { key: 'customer', keyOf: v => v.customer_id },
  })
  const payments = built
    .source(topics.transactions, paymentFormat, {
      eventTime: timeOf,
      outOfOrderness: minutes(10),
      partitionedBy: { key: 'customer', keyOf: p => p.customer_id },
    })
    .keyBy('by-customer', p => p.customer_id, 'customer')
    .dedupe('dedupe', {
      idOf: p => p.transaction_id,
      fingerprintOf: [p => p.amount_minor, p => p.currency, p => p.terminal_id],
      horizon: days(67),
      sizes: sizes.dedupe,
    })
  const labels = payments
    .flatMap('known-labels', knownVerdict)
    .merge('all-labels', verdicts)
    .keyBy('labels-by-terminal', v => v.terminal_id, 'terminal')
  const perMajor = (p: Payment): number => minorUnitsPerMajor(p.currency)
  const amount = { amount: (p: Payment): number => p.amount_minor }
  const mean1 = mean<'amount', Payment>('amount', { per: perMajor })
  const featured = payments
    .keyBy('customer-key', p => p.customer_id, 'customer')
    .velocity(
      'customer',
      amount,
      {
        customer_id_nb_tx_1day_window: count().over(days(1)),
        customer_id_avg_amount_1day_window: mean1.over(days(1)),
        customer_id_nb_tx_7day_window: count().over(days(7)),
        customer_id_avg_amount_7day_window: mean1.over(days(7)),
        customer_id_nb_tx_30day_window: count().over(days(30)),
        customer_id_avg_amount_30day_window: mean1.over(days(30)),
      },
      { lateness: days(30), lateAfter: minutes(10), sizes: sizes.reservoir },
    )
    .keyBy('terminal-key', p => p.terminal_id, 'terminal')
    .velocity('terminal', amount, terminalFeatures, {
      lateness: days(30),
      sizes: sizes.reservoir,
      labels: {
        stream: labels,
        identity: [p => p.customer_id, p => p.transaction_id],
        label: {
          identity: [v => v.customer_id, v => v.transaction_id],
          eventTime: v => v.event_time,
          availableAt: v => v.available_at,
          fraud: v => v.fraud,
        },
      },
    })
  const judged = isWatched ? featured : featured.flatMap('copies', copyPayment)
  judged
    .score('model', { model: modelNamed('fake') })
    .decide('policy', policy)
    .to(topics.decisions, json('decision'))
  if (isWatched) {
    payments
      .keyBy('watch-key', p => p.customer_id)
      .process('watch', watch)
      .to(
        topics.alerts,
        toJson('alert', alert => alert.who),
      )
  }
  payments.flatMap('split', splitPayment).to(topics.legs, json('leg'))
  payments.sideOutput('large', p => p.amount_minor >= largeAmount).to(topics.large, json('payment'))
  return compile(built.graph, placement)
}

const json = (name: string) => toJson<{ readonly customer_id: string }>(name, value => value.customer_id)

/** Between the hops: rows of one payment may be none, or several. */
export const copiesOf = (payment: Payment): number => (payment.legs === 3 ? 0 : payment.legs === 4 ? 2 : 1)

function copyPayment(payment: Payment): readonly Payment[] {
  if (payment.trap === 'terminal') throw new Error('a trap')
  return new Array<Payment>(copiesOf(payment)).fill(payment)
}

function splitPayment(payment: Payment): readonly Leg[] {
  if (payment.trap === 'legs') throw new Error('a trap')
  return legsOf(payment)
}

/** As in historical files: available seven days after the payment. */
export function knownVerdict(payment: Payment): readonly Verdict[] {
  if (payment.inline_label === null) return []
  const { transaction_id, customer_id, terminal_id, event_time } = payment
  const available_at = event_time + days(7)
  return [{ transaction_id, customer_id, terminal_id, event_time, available_at, fraud: payment.inline_label }]
}

const delayed = { count: () => count(), share: () => fraudShare() }
const over = (kind: keyof typeof delayed, n: number) =>
  delayed[kind]().over(days(n)).delayedBy(days(7)).excludingCurrent()
const terminalFeatures = {
  terminal_id_nb_tx_1day_window: over('count', 1),
  terminal_id_risk_1day_window: over('share', 1),
  terminal_id_nb_tx_7day_window: over('count', 7),
  terminal_id_risk_7day_window: over('share', 7),
  terminal_id_nb_tx_30day_window: over('count', 30),
  terminal_id_risk_30day_window: over('share', 30),
}

/** What the fake model does with its features: any pure function that tells them apart. */
export function fakeScore(features: readonly number[]): number {
  let mixed = 0
  features.forEach((value, i) => {
    mixed += (i + 1) * 0.137 * (Number.isNaN(value) ? -1 : value)
  })
  return Math.abs(mixed % 1)
}

export const fakeImpact = (feature: number): number => (Number.isNaN(feature) ? -1 : feature) / 100

/** none, every second, or all rows of a call fail. */
export type ModelFault = 'none' | 'some' | 'all'

export function fakeModel(featureNames: readonly string[], faultOf: (call: 'score' | 'explain') => ModelFault): Model {
  const fails = (fault: ModelFault, i: number): boolean => fault === 'all' || (fault === 'some' && i % 2 === 1)
  const report = (failedRows: number): ScoreReport => ({
    failedRows,
    error: failedRows > 0 ? new Error('the fake model fails') : null,
  })
  const inputOf = (row: Row, columns: Int32Array): number[] => Array.from(columns, column => row.features[column]!)
  return {
    contract: {
      modelId: 'fake',
      version: '1',
      features: featureNames,
      missing: -1,
      output: 'p',
      sha256: '0'.repeat(64),
      reference: new Float64Array(featureNames.length),
    },
    featureNames,
    async score(rows, columns) {
      const fault = faultOf('score')
      let failed = 0
      rows.forEach((row, i) => {
        row.score = fails(fault, i) ? Number.NaN : fakeScore(inputOf(row, columns))
        if (fails(fault, i)) failed++
      })
      return report(failed)
    },
    async explain(rows, columns): Promise<Explanation> {
      const fault = faultOf('explain')
      const impacts = new Float64Array(rows.length * columns.length)
      let failed = 0
      rows.forEach((row, i) => {
        if (fails(fault, i)) failed++
        const of = (value: number): number => (fails(fault, i) ? Number.NaN : fakeImpact(value))
        impacts.set(inputOf(row, columns).map(of), i * columns.length)
      })
      return { ...report(failed), impacts }
    },
    async close() {},
  }
}

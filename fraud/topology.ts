/**
 * The fraud-decision topology: dedupe -> customer -> terminal -> model -> policy, built from a feature set.
 *
 * Step names are the contract's; they are the identity of state and must not change without an alias.
 */
import { type DurationMs, days, hours, minorUnitsPerMajor, minutes } from '../kernel/index.js'
import { count, fraudShare, mean, sum, type VelocityFeatures } from '../operators/index.js'
import {
  type ArrivedTransaction,
  type Decision,
  knownLabel,
  type Label,
  labelCodec,
  transactionCodec,
} from '../schemas/avro/index.js'
import {
  type DecideFunction,
  type ModelReference,
  modelNamed,
  type Repeat,
  type SinkFormat,
  type SourceFormat,
  type Stream,
  type Topology,
  toJson,
  topology,
} from '../topology/index.js'
import { transactionFeatures } from './calendar-step.js'
import { decisionFormat } from './decision-format.js'
import { defaultFeatureSet, type FeatureSet, type VelocityFeature } from './features/index.js'
import { createDecide, defaultPolicy, type FeatureImpact, type Policy } from './policy/index.js'
import { defaultRuleSet, RuleEvaluator, type RuleSet } from './rules/index.js'

/** More than this behind its customer's greatest event time, a transaction is `late`. */
const lateAfter = minutes(10)
/** Further behind an entity's greatest event time, a transaction is not part of that entity's history. */
const lateness = days(30)

export interface FraudOptions {
  readonly app: string
  readonly transactions: SourceFormat<ArrivedTransaction>
  /** null where labels come with the transactions only (historical files). */
  readonly labels: SourceFormat<Label> | null
  readonly decisions: SinkFormat<Decision>
  /** Where repeated transactions are reported, for callers who wait for an answer; null: they are only counted. */
  readonly repeats?: SinkFormat<Repeat<ArrivedTransaction>> | null
  readonly featureSet: FeatureSet
  readonly ruleSet: RuleSet
  readonly policy: Policy
  /** null: decisions without a score. */
  readonly model: ModelReference | null
}

export function fraudTopology(options: FraudOptions): Topology {
  const { featureSet } = options
  const app = topology(options.app)
  const labels =
    options.labels &&
    app
      .source('labels', options.labels, {
        eventTime: label => label.event_time,
        outOfOrderness: days(30),
        role: 'labels',
        partitionedBy: { key: 'customer', keyOf: label => label.customer_id },
      })
      .codec(labelCodec)
  const arrived = app
    .source('transactions', options.transactions, {
      eventTime: t => t.event_time,
      outOfOrderness: minutes(10),
      partitionedBy: { key: 'customer', keyOf: t => t.customer_id },
    })
    .codec(transactionCodec)
    .keyBy('by-customer', t => t.customer_id, 'customer')
  const identity = {
    idOf: (t: ArrivedTransaction) => t.transaction_id,
    fingerprintOf: [
      (t: ArrivedTransaction) => t.amount_minor,
      (t: ArrivedTransaction) => t.currency,
      (t: ArrivedTransaction) => t.terminal_id,
    ],
    horizon: dedupeHorizon(featureSet),
  }
  const payments = options.repeats
    ? splitRepeats(options.app, arrived.dedupeSplit('dedupe', identity), options.repeats)
    : arrived.dedupe('dedupe', identity)
  const known = payments.flatMap('known-labels', knownLabels).codec(labelCodec)
  const allLabels = labels ? known.merge('all-labels', labels).codec(labelCodec) : known
  const terminalLabels = allLabels.keyBy('labels-by-terminal', label => label.terminal_id, 'terminal')

  const byCustomer = payments
    .via<ArrivedTransaction>('calendar', transactionFeatures(featureSet))
    .keyBy('customer-key', t => t.customer_id, 'customer')
    // also without features: it tells which transactions are late
    .velocity('customer', { amount: t => t.amount_minor }, velocityFeatures(featureSet, 'customer'), {
      lateness,
      lateAfter,
    })
  const terminalFeatures = velocityFeatures(featureSet, 'terminal')
  const scored =
    Object.keys(terminalFeatures).length === 0
      ? byCustomer
      : byCustomer
          .keyBy('terminal-key', t => t.terminal_id, 'terminal')
          .velocity('terminal', { amount: t => t.amount_minor }, terminalFeatures, {
            lateness,
            labels: {
              stream: terminalLabels,
              identity: [t => t.customer_id, t => t.transaction_id],
              label: {
                identity: [l => l.customer_id, l => l.transaction_id],
                eventTime: l => l.event_time,
                availableAt: l => l.available_at,
                fraud: l => l.label === 'fraud',
              },
            },
          })
  const judged = options.model ? scored.score('model', { model: options.model }) : scored
  judged.decide('policy', fraudPolicy(options)).to('decisions', options.decisions, 'decisions')
  return app
}

function splitRepeats<S>(
  app: string,
  split: { readonly firsts: S; readonly repeats: Stream<Repeat<ArrivedTransaction>> },
  format: SinkFormat<Repeat<ArrivedTransaction>>,
): S {
  split.repeats.to(repeatsTopicOf(app), format, 'repeats')
  return split.firsts
}

/** Internal: one record for each repeated transaction, for the edge that waits for it. */
export const repeatsTopicOf = (app: string): string => `weir.${app}.repeats`

/** Repeats as JSON, keyed by customer. */
export const repeatFormat = (): SinkFormat<Repeat<ArrivedTransaction>> =>
  toJson<Repeat<ArrivedTransaction>>('repeat', repeat => repeat.record.customer_id)

function knownLabels(t: ArrivedTransaction): readonly Label[] {
  const label = knownLabel(t)
  return label === null ? noLabels : [label]
}

const noLabels: readonly Label[] = []

function velocityFeatures(
  set: FeatureSet,
  entity: 'customer' | 'terminal',
): VelocityFeatures<{ amount: (t: ArrivedTransaction) => number }, ArrivedTransaction> {
  const features: Record<string, ReturnType<typeof velocityFeature>> = {}
  for (const feature of set.features) {
    if (feature.kind === 'velocity' && feature.entity === entity) features[feature.name] = velocityFeature(feature)
  }
  return features
}

function velocityFeature(feature: VelocityFeature) {
  const per = (t: ArrivedTransaction): number => minorUnitsPerMajor(t.currency)
  const aggregates = {
    count: () => count(),
    mean_amount: () => mean('amount', { per }),
    sum_amount: () => sum('amount', { per }),
    fraud_share: () => fraudShare(),
  }
  const window = aggregates[feature.aggregate]().over(days(feature.window_days))
  const delayed = feature.delay_days > 0 ? window.delayedBy(days(feature.delay_days)) : window
  return feature.include_current ? delayed : delayed.excludingCurrent()
}

/** The longest window with its delay, plus allowed lateness: 67 days by default. */
export function dedupeHorizon(set: FeatureSet): DurationMs {
  let longest = hours(24)
  for (const feature of set.features) {
    if (feature.kind === 'velocity')
      longest = days(Math.max(longest / days(1), feature.window_days + feature.delay_days))
  }
  return (longest + lateness) as DurationMs
}

function fraudPolicy(options: FraudOptions): DecideFunction<ArrivedTransaction, Decision> {
  const { ruleSet, policy, featureSet } = options
  return {
    // Rules and thresholds change decisions, not state: a new rule set may go on from the old one's state.
    parameters: { feature_set: featureSet.feature_set_version },
    bind: (featureNames, model) => {
      const decide = createDecide({
        app: options.app,
        policy,
        rules: new RuleEvaluator(ruleSet, featureNames),
        featureSetVersion: featureSet.feature_set_version,
        featureNames,
        model: model && { model_id: model.modelId, version: model.version },
      })
      return {
        needsImpacts: context => context.row.score >= policy.thresholds.review,
        decide: context => {
          const { impacts } = context
          if (impacts === null) return decide(context.value, context.row)
          const moved: FeatureImpact[] = []
          featureNames.forEach((feature, column) => {
            const impact = impacts[column]
            if (impact !== undefined && !Number.isNaN(impact)) {
              moved.push({ feature, value: context.row.features[column] ?? Number.NaN, impact })
            }
          })
          return decide(context.value, context.row, moved)
        },
      }
    },
  }
}

/** Name under which the scoring step asks for its model. */
export const championModel = 'champion'

/** The default topology over the bundled feature set, rules and policy. */
export function defaultTopology(
  options: Pick<FraudOptions, 'transactions' | 'labels'> & Partial<FraudOptions>,
): Topology {
  return fraudTopology({
    app: 'fraud',
    decisions: decisionFormat(),
    featureSet: defaultFeatureSet(),
    ruleSet: defaultRuleSet(),
    policy: defaultPolicy(),
    model: modelNamed(championModel),
    ...options,
  })
}

/**
 * Turns a transaction, its features and its score into a decision: a pure function of them and of the configuration.
 *
 * Invariants:
 * 1. One fixed precedence: block list, allow list, declining rule, reviewing rule, model thresholds, default.
 * 2. All rules are evaluated and every hit is listed; a hit is `suppressed` when something else decided. An approving
 *    rule never decides: it is suppressed unless the outcome is approve or the score that decided has its adjustment.
 * 3. A rule that failed decides nothing, adjusts nothing, and is listed with its error.
 * 4. The default decides only without a score; with one, the thresholds always do.
 */
import { RowFlag } from '../../operators/index.js'
import type {
  Decision,
  ModelScore,
  Outcome,
  OutcomeSource,
  RiskLevel,
  RuleHit,
  Transaction,
} from '../../schemas/avro/index.js'
import type { RuleEvaluator, RuleMatch } from '../rules/index.js'
import { decisionIds } from './decision-id.js'
import type { Policy } from './policy.js'
import { type FeatureImpact, listReasons, noImpacts, noReasons, reasonsAgainst } from './reasons.js'

export interface DeciderOptions {
  /** Name of the deployment, WEIR_APP; part of decision_id. */
  readonly app: string
  readonly policy: Policy
  readonly rules: RuleEvaluator
  readonly featureSetVersion: string
  /** Columns of `features`, in their order; the same that the rules were compiled for. */
  readonly featureNames: readonly string[]
  /** null where decisions are made without a model: score is then absent, and nothing is degraded. */
  readonly model: { readonly model_id: string; readonly version: string } | null
}

/** What a row of the engine says about a transaction. */
export interface ScoredRow {
  /** NaN where missing. The decision refers to this array and does not copy it: it must not change before encoding. */
  readonly features: readonly number[]
  /** The model's probability of fraud, 0 to 1; NaN when there is none. */
  readonly score: number
  /** Bits of RowFlag. */
  readonly flags: number
  readonly source: Decision['source']
}

export type Decide = (transaction: Transaction, row: ScoredRow, impacts?: readonly FeatureImpact[]) => Decision

const noHits: readonly RuleHit[] = Object.freeze([])
const noModels: readonly ModelScore[] = Object.freeze([])

const degradedBoth = 'history_incomplete,model_unavailable'

/** @returns null, `history_incomplete`, `model_unavailable`, or both in this order with a comma between */
function degradedBecause(historyIncomplete: boolean, modelUnavailable: boolean): string | null {
  if (historyIncomplete) return modelUnavailable ? degradedBoth : 'history_incomplete'
  return modelUnavailable ? 'model_unavailable' : null
}

function riskLevelOf(adjusted: number, levels: Policy['risk_levels']): RiskLevel {
  if (adjusted >= levels.highest) return 'highest'
  if (adjusted >= levels.elevated) return 'elevated'
  return adjusted >= 0 ? 'normal' : 'not_assessed' // NaN: there is no score
}

function outcomeByScore(adjusted: number, thresholds: Policy['thresholds']): Outcome {
  if (adjusted >= thresholds.decline) return 'decline'
  return adjusted >= thresholds.review ? 'review' : 'approve'
}

/** The score after what the rules that hit add to it, within 0 and 1; NaN stays NaN. */
function adjust(score: number, matches: readonly RuleMatch[]): number {
  let adjusted = score
  for (const { rule, error } of matches) if (error === null) adjusted += rule.add
  return Math.min(Math.max(adjusted, 0), 1)
}

const hasRule = (matches: readonly RuleMatch[], outcome: Outcome): boolean =>
  matches.some(({ rule, error }) => error === null && rule.outcome === outcome)

function hitsOf(matches: readonly RuleMatch[], outcome: Outcome, by: OutcomeSource): readonly RuleHit[] {
  return matches.map(({ rule, error }) => {
    const took =
      rule.outcome === 'approve'
        ? outcome === 'approve' || (by === 'model' && rule.add !== 0)
        : by === 'rule' && rule.outcome === outcome
    return {
      rule_id: rule.rule_id,
      version: rule.version,
      outcome: rule.outcome,
      suppressed: error !== null || !took,
      error,
    }
  })
}

/** Makes the decision function of one configuration. */
export function createDecide(options: DeciderOptions): Decide {
  const { policy, rules, featureNames, model } = options
  const decisionId = decisionIds(options.app)
  const config: Decision['config'] = Object.freeze({
    ruleset_version: rules.ruleSet.ruleset_version,
    feature_set_version: options.featureSetVersion,
    policy_version: policy.policy_version,
  })

  return (transaction, row, impacts = noImpacts) => {
    const { features, score } = row
    const scored = model !== null && !Number.isNaN(score)
    const matches = rules.evaluate(features, transaction)
    const adjusted = scored ? adjust(score, matches) : Number.NaN

    const blocked = rules.blocked(transaction)
    const allowed = blocked === null ? rules.allowed(transaction) : null
    let outcome: Outcome
    let by: OutcomeSource
    if (blocked !== null) {
      outcome = 'decline'
      by = 'list'
    } else if (allowed !== null) {
      outcome = 'approve'
      by = 'list'
    } else if (matches.length > 0 && hasRule(matches, 'decline')) {
      outcome = 'decline'
      by = 'rule'
    } else if (matches.length > 0 && hasRule(matches, 'review')) {
      outcome = 'review'
      by = 'rule'
    } else if (scored) {
      outcome = outcomeByScore(adjusted, policy.thresholds)
      by = 'model'
    } else {
      outcome = policy.default_outcome
      by = 'default'
    }

    let reasons = noReasons
    if (blocked !== null) reasons = listReasons('block', blocked)
    else if (allowed !== null) reasons = listReasons('allow', allowed)
    else if (outcome !== 'approve') reasons = reasonsAgainst(outcome, matches, features, impacts)

    return {
      decision_id: decisionId(transaction.customer_id, transaction.transaction_id),
      transaction_id: transaction.transaction_id,
      customer_id: transaction.customer_id,
      event_time: transaction.event_time,
      outcome,
      outcome_source: by,
      score: scored ? score : null,
      adjusted_score: scored ? adjusted : null,
      risk_level: riskLevelOf(adjusted, policy.risk_levels),
      reason_codes: reasons,
      rule_hits: matches.length === 0 ? noHits : hitsOf(matches, outcome, by),
      models: scored ? [{ model_id: model.model_id, version: model.version, role: 'champion', score }] : noModels,
      config,
      feature_names: featureNames,
      features,
      late: (row.flags & RowFlag.late) !== 0,
      provisional: false,
      degraded: degradedBecause((row.flags & RowFlag.historyIncomplete) !== 0, model !== null && !scored),
      source: row.source,
    }
  }
}

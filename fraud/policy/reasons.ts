/**
 * Reasons of a decision, for the people who read it. Plain approvals have none; a decision has at most four: what
 * decided first, then other rules that hit, then what moved the model most.
 */
import type { ReasonCode } from '../../schemas/avro/index.js'
import type { ListedAs, RuleMatch } from '../rules/index.js'

/** By contract. */
export const reasonCodesMax = 4

/** How far a feature moved the model's score for one transaction; positive towards fraud. */
export interface FeatureImpact {
  readonly feature: string
  /** NaN where missing. */
  readonly value: number
  readonly impact: number
}

export const noReasons: readonly ReasonCode[] = Object.freeze([])
export const noImpacts: readonly FeatureImpact[] = Object.freeze([])

const modelTexts = new Map<string, string>([
  ['tx_amount', 'The amount weighs towards fraud.'],
  ['tx_during_weekend', 'The day of the week weighs towards fraud.'],
  ['tx_during_night', 'The time of day weighs towards fraud.'],
  ['customer_id_nb_tx_1day_window', "The customer's number of transactions in a day weighs towards fraud."],
  ['customer_id_avg_amount_1day_window', "The customer's mean amount of a day weighs towards fraud."],
  ['customer_id_nb_tx_7day_window', "The customer's number of transactions in 7 days weighs towards fraud."],
  ['customer_id_avg_amount_7day_window', "The customer's mean amount of 7 days weighs towards fraud."],
  ['customer_id_nb_tx_30day_window', "The customer's number of transactions in 30 days weighs towards fraud."],
  ['customer_id_avg_amount_30day_window', "The customer's mean amount of 30 days weighs towards fraud."],
  ['terminal_id_nb_tx_1day_window', "The terminal's number of transactions in a day weighs towards fraud."],
  ['terminal_id_risk_1day_window', 'The share of fraud at this terminal in a day weighs towards fraud.'],
  ['terminal_id_nb_tx_7day_window', "The terminal's number of transactions in 7 days weighs towards fraud."],
  ['terminal_id_risk_7day_window', 'The share of fraud at this terminal in 7 days weighs towards fraud.'],
  ['terminal_id_nb_tx_30day_window', "The terminal's number of transactions in 30 days weighs towards fraud."],
  ['terminal_id_risk_30day_window', 'The share of fraud at this terminal in 30 days weighs towards fraud.'],
])

const numberOrNull = (value: number | undefined): number | null =>
  value === undefined || Number.isNaN(value) ? null : value

/** The one reason of a decision that a list made. */
export function listReasons(list: 'block' | 'allow', listed: ListedAs): readonly ReasonCode[] {
  const code = `${listed === 'customer' ? 'CUSTOMER' : 'TERMINAL'}_${list === 'block' ? 'BLOCKED' : 'ALLOWED'}`
  const text = `The ${listed} is on the ${list} list.`
  return [{ code, text, feature: null, value: null, impact: null }]
}

function ruleReason(match: RuleMatch, features: readonly number[]): ReasonCode {
  const { rule, feature, column } = match
  return { code: rule.code, text: rule.text, feature, value: numberOrNull(features[column]), impact: null }
}

function modelReason(moved: FeatureImpact): ReasonCode {
  return {
    code: `MODEL_${moved.feature.toUpperCase()}`,
    text: modelTexts.get(moved.feature) ?? `The feature ${moved.feature} weighs towards fraud.`,
    feature: moved.feature,
    value: numberOrNull(moved.value),
    impact: moved.impact,
  }
}

/**
 * Reasons of a review or a decline that no list made: rules with the decision's outcome, then rules with another
 * outcome than approve, then the features with the largest positive impact (of equal ones, the first given).
 */
export function reasonsAgainst(
  outcome: 'review' | 'decline',
  matches: readonly RuleMatch[],
  features: readonly number[],
  impacts: readonly FeatureImpact[],
): readonly ReasonCode[] {
  const against = matches.filter(({ rule, error }) => error === null && rule.outcome !== 'approve')
  const agreeing = against.filter(({ rule }) => rule.outcome === outcome)
  const others = against.filter(({ rule }) => rule.outcome !== outcome)
  const moved = impacts.filter(({ impact }) => impact > 0).sort((a, b) => b.impact - a.impact)
  const reasons = [...agreeing, ...others].map(match => ruleReason(match, features)).concat(moved.map(modelReason))
  return reasons.length === 0 ? noReasons : reasons.slice(0, reasonCodesMax)
}

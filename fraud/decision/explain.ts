/** A decision in words, for a person who has to answer for it. */
import { formatEventTime } from '../../kernel/index.js'
import type { Decision, ReasonCode, RuleHit } from '../../schemas/avro/index.js'

const outcomes = { approve: 'approved', review: 'sent to review', decline: 'declined' } as const

const sources = {
  model: "by the model's score",
  rule: 'by a rule',
  list: 'by a list',
  default: 'by default, as nothing else decided',
  fallback: 'provisionally, as the deadline had passed',
} as const

function reasonLine({ text, feature, value, impact }: ReasonCode): string {
  const moved = impact === null ? '' : `, impact ${impact}`
  return `  - ${text}${feature === null || value === null ? '' : ` (${feature} is ${value}${moved})`}`
}

function hitLine({ rule_id, version, outcome, suppressed, error }: RuleHit): string {
  const fate = error !== null ? `failed: ${error}` : suppressed ? 'but something else decided' : 'and took effect'
  return `  - ${rule_id}, version ${version}, says ${outcome}, ${fate}`
}

function scoreLine(decision: Decision): string {
  const { score, adjusted_score: adjusted, risk_level: risk } = decision
  if (score === null) return 'There is no score, so the risk was not assessed.'
  const rules = adjusted === null || adjusted === score ? '' : `, ${adjusted} after rules adjusted it`
  const models = decision.models.map(model => `${model.model_id} ${model.version}`).join(', ')
  return `Score ${score}${rules} (${models}); risk level ${risk}.`
}

function list(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines]
}

/** Several lines of plain text without one at the end; a caller that prints them escapes control characters. */
export function explainDecision(decision: Decision): string {
  const { config, degraded } = decision
  const { topic, partition, offset } = decision.source
  const features = decision.feature_names.map((name, i) => `  ${name}: ${decision.features[i]}`)
  return [
    `Transaction ${decision.transaction_id} of customer ${decision.customer_id} was ${outcomes[decision.outcome]} ` +
      `${sources[decision.outcome_source]}.`,
    `It happened at ${formatEventTime(decision.event_time)} and is record ${offset} of ${topic}, partition ${partition}.`,
    scoreLine(decision),
    ...list('Reasons:', decision.reason_codes.map(reasonLine)),
    ...list('Rules that hit:', decision.rule_hits.map(hitLine)),
    ...(decision.late ? ["It arrived late: more than 10 minutes behind the customer's latest transaction."] : []),
    ...(degraded === null ? [] : [`Degraded: ${degraded}.`]),
    ...list(
      'Features:',
      features.map(line => line.replace(/NaN$/, 'missing')),
    ),
    `Rules ${config.ruleset_version}, features ${config.feature_set_version}, policy ${config.policy_version}; ` +
      `decision ${decision.decision_id}.`,
  ].join('\n')
}

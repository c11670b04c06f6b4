/**
 * The answer to a caller whose deadline passed and who asked for an outcome rather than patience. It is recorded on
 * decisions.provisional; the decision proper follows on `decisions` under the same decision_id.
 */
import { eventTime } from '../kernel/index.js'
import type { Decision, Outcome, Transaction } from '../schemas/avro/index.js'
import { AvroDecisionEncoder, DecisionEncoder } from './decision/index.js'
import { decisionIds } from './policy/index.js'

const config = Object.freeze({ ruleset_version: '', feature_set_version: '', policy_version: '' })

export interface ProvisionalDecision {
  /** As JSON, for the caller. */
  readonly line: Buffer
  /** As it stands on decisions.provisional. */
  readonly value: Buffer
}

/** @param schemaId of decision.avsc in the registry; without one the topic's values are JSON */
export function provisionalDecisions(
  app: string,
  schemaId?: number,
): (
  transaction: Transaction,
  outcome: Outcome,
  decidedAtMs: number,
  source: { topic: string; partition: number; offset: number },
) => ProvisionalDecision {
  const decisionId = decisionIds(app)
  const json = new DecisionEncoder({ decisionsMax: 1 })
  const avro = schemaId === undefined ? undefined : new AvroDecisionEncoder({ schemaId, decisionsMax: 1 })
  return (transaction, outcome, decidedAtMs, source) => {
    const decision: Decision = {
      decision_id: decisionId(transaction.customer_id, transaction.transaction_id),
      transaction_id: transaction.transaction_id,
      customer_id: transaction.customer_id,
      event_time: transaction.event_time,
      outcome,
      outcome_source: 'fallback',
      score: null,
      adjusted_score: null,
      risk_level: 'not_assessed',
      reason_codes: [],
      rule_hits: [],
      models: [],
      config,
      feature_names: [],
      features: [],
      late: false,
      provisional: true,
      degraded: 'deadline',
      source,
    }
    const line = encoded(json, decision, decidedAtMs)
    return { line, value: avro === undefined ? line : encoded(avro, decision, decidedAtMs) }
  }
}

function encoded(encoder: DecisionEncoder | AvroDecisionEncoder, decision: Decision, decidedAtMs: number): Buffer {
  encoder.reset()
  encoder.append(decision, eventTime(decidedAtMs), null)
  const { bytes, valueStart, valueEnd } = encoder.encoded()
  return Buffer.from(bytes.subarray(valueStart[0], valueEnd[0]))
}

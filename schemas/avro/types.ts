/**
 * The records of the contract as TypeScript values. Optional fields are null when absent, so that every record of a kind
 * has one shape (V8 keeps property access monomorphic on the hot path).
 */
import type { EventTimeMs } from '../../kernel/index.js'

export interface Transaction {
  readonly transaction_id: string
  readonly event_time: EventTimeMs
  readonly customer_id: string
  readonly terminal_id: string
  /** Minor units of `currency` by ISO 4217, 0 to 10^15. */
  readonly amount_minor: number
  readonly currency: string
  readonly card_id: string | null
  readonly merchant_id: string | null
  readonly merchant_category: string | null
  readonly device_id: string | null
  readonly ip_address: string | null
  readonly email: string | null
  readonly country: string | null
  readonly channel: string | null
  /** null stands for the default {}. */
  readonly metadata: ReadonlyMap<string, string> | null
}

export type LabelValue = 'fraud' | 'legitimate'

/** A transaction as a source decodes it. The topology derives a Label record from `inline_label`, after dedupe. */
export interface ArrivedTransaction extends Transaction {
  /** What a historical file knows about it; null = nothing. */
  readonly inline_label: LabelValue | null
}

export interface Label {
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  /** Of the transaction. */
  readonly event_time: EventTimeMs
  readonly label: LabelValue
  readonly label_source: 'chargeback' | 'manual_review' | 'automated'
  readonly available_at: EventTimeMs
  readonly analyst: string | null
}

export type Outcome = 'approve' | 'review' | 'decline'
export type OutcomeSource = 'model' | 'rule' | 'list' | 'default' | 'fallback'
export type RiskLevel = 'normal' | 'elevated' | 'highest' | 'not_assessed'

export interface ReasonCode {
  readonly code: string
  readonly text: string
  readonly feature: string | null
  readonly value: number | null
  readonly impact: number | null
}

export interface RuleHit {
  readonly rule_id: string
  readonly version: number
  readonly outcome: Outcome
  readonly suppressed: boolean
  readonly error: string | null
}

export interface ModelScore {
  readonly model_id: string
  readonly version: string
  readonly role: 'champion' | 'challenger' | 'shadow'
  readonly score: number
}

export interface DecisionConfig {
  readonly ruleset_version: string
  readonly feature_set_version: string
  readonly policy_version: string
}

/** Everything of a decision but the egress stamps (`decided_at`, `timings_us`), which are added when it leaves (I3). */
export interface Decision {
  readonly decision_id: string
  readonly transaction_id: string
  readonly customer_id: string
  readonly event_time: EventTimeMs
  readonly outcome: Outcome
  readonly outcome_source: OutcomeSource
  /** 0..1; null when there is no model or it failed. */
  readonly score: number | null
  readonly adjusted_score: number | null
  readonly risk_level: RiskLevel
  readonly reason_codes: readonly ReasonCode[]
  readonly rule_hits: readonly RuleHit[]
  readonly models: readonly ModelScore[]
  readonly config: DecisionConfig
  /** Names of `features`, in order; shared by all decisions of a configuration. */
  readonly feature_names: readonly string[]
  /** NaN where missing. */
  readonly features: readonly number[]
  readonly late: boolean
  readonly provisional: boolean
  readonly degraded: string | null
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number }
}

/** An engine in memory for the edge's tests: decides at once unless told otherwise, and remembers what it was asked. */
import type { Label, Transaction } from '../../schemas/avro/index.js'
import type { DecideReply, DecisionJson, EdgePorts, FindReply } from '../ports.js'

export const nowMs = Date.UTC(2025, 0, 31, 12)

export interface FakeEngine extends EdgePorts {
  readonly transactions: Transaction[]
  readonly labels: Label[]
  readonly deadlinesMs: number[]
  readonly finds: (readonly [id: string, customer: string | undefined])[]
  /** What the next requests get; functions may throw or wait. */
  onDecide: (transaction: Transaction) => DecideReply | Promise<DecideReply>
  onFind: (id: string, customer: string | undefined) => FindReply
  onLabel: () => void
  onInspect: (step: string, key: string, showPii: boolean) => object
  reasons: string[]
}

export const pending: DecideReply = {
  kind: 'pending',
  source: { topic: 'transactions', partition: 0, offset: 7 },
}

export function decision(transaction: Transaction, more: Readonly<Record<string, unknown>> = {}): DecisionJson {
  return Buffer.from(
    JSON.stringify({
      decision_id: 'd0c1',
      transaction_id: transaction.transaction_id,
      customer_id: transaction.customer_id,
      event_time: new Date(transaction.event_time).toISOString(),
      outcome: 'approve',
      outcome_source: 'model',
      score: 0.125,
      adjusted_score: 0.125,
      risk_level: 'normal',
      reason_codes: [],
      rule_hits: [],
      models: [{ model_id: 'handbook-gbdt', version: '1', role: 'champion', score: 0.125 }],
      config: { ruleset_version: '1', feature_set_version: '1', policy_version: '1' },
      features: { tx_amount: transaction.amount_minor / 100, tx_during_night: 0 },
      late: false,
      provisional: false,
      source: { topic: 'transactions', partition: 0, offset: 7 },
      decided_at: '2025-01-31T12:00:00.000Z',
      timings_us: {},
      ...more,
    }),
  )
}

export function fakeEngine(): FakeEngine {
  const engine: FakeEngine = {
    transactions: [],
    labels: [],
    deadlinesMs: [],
    finds: [],
    reasons: [],
    onDecide: transaction => ({ kind: 'decided', decision: decision(transaction), repeated: false }),
    onFind: () => ({ kind: 'unknown' }),
    onLabel: () => {},
    onInspect: (step, key) => ({ step, key, found: false }),
    decisions: {
      decide: async (transaction, deadlineMs) => {
        engine.transactions.push(transaction)
        engine.deadlinesMs.push(deadlineMs)
        return engine.onDecide(transaction)
      },
      provisional: async (transaction, outcome) =>
        decision(transaction, { outcome, outcome_source: 'fallback', provisional: true }),
      find: async (id, customer) => {
        engine.finds.push([id, customer])
        return engine.onFind(id, customer)
      },
      label: async label => {
        engine.onLabel()
        engine.labels.push(label)
      },
    },
    health: { notReady: () => engine.reasons, status: () => ({ epoch: 41, app: 'fraud' }) },
    state: { inspect: async (step, key, { showPii }) => engine.onInspect(step, key, showPii) },
    // nobody ever decides anything else
    stream: { decisions: async function* () {} },
    explain: line => `In words: ${(JSON.parse(line.toString()) as { outcome: string }).outcome}.`,
    nowMs: () => nowMs,
  }
  return engine
}

export const transaction = {
  transaction_id: 't-1',
  event_time: '2025-01-31T11:59:59.250Z',
  customer_id: 'c-1',
  terminal_id: 'terminal-1',
  amount_minor: 1250,
  currency: 'EUR',
}

export const label = {
  transaction_id: 't-1',
  customer_id: 'c-1',
  terminal_id: 'terminal-1',
  event_time: '2025-01-31T11:59:59.250Z',
  label: 'fraud',
  label_source: 'chargeback',
  available_at: '2025-02-07T11:59:59.250Z',
}

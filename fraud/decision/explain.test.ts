import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventTime } from '../../kernel/index.js'
import type { Decision } from '../../schemas/avro/index.js'
import { explainDecision } from './explain.js'

const decision: Decision = {
  decision_id: 'ab'.repeat(16),
  transaction_id: 't1',
  customer_id: 'c1',
  event_time: eventTime(1_522_540_831_000),
  outcome: 'decline',
  outcome_source: 'rule',
  score: 0.25,
  adjusted_score: 0.65,
  risk_level: 'elevated',
  reason_codes: [{ code: 'HIGH', text: 'The amount is high.', feature: 'tx_amount', value: 300, impact: null }],
  rule_hits: [
    { rule_id: 'high', version: 2, outcome: 'decline', suppressed: false, error: null },
    { rule_id: 'other', version: 1, outcome: 'review', suppressed: true, error: null },
    { rule_id: 'bad', version: 1, outcome: 'review', suppressed: true, error: 'broken field' },
  ],
  models: [{ model_id: 'gbdt', version: '4', role: 'champion', score: 0.25 }],
  config: { ruleset_version: 'r1', feature_set_version: 'f1', policy_version: 'p1' },
  feature_names: ['tx_amount', 'nb'],
  features: [300, Number.NaN],
  late: true,
  provisional: false,
  degraded: 'history_incomplete',
  source: { topic: 'transactions', partition: 3, offset: 17 },
}

test('a decision in words', () => {
  assert.deepEqual(explainDecision(decision).split('\n'), [
    'Transaction t1 of customer c1 was declined by a rule.',
    'It happened at 2018-04-01T00:00:31.000Z and is record 17 of transactions, partition 3.',
    'Score 0.25, 0.65 after rules adjusted it (gbdt 4); risk level elevated.',
    'Reasons:',
    '  - The amount is high. (tx_amount is 300)',
    'Rules that hit:',
    '  - high, version 2, says decline, and took effect',
    '  - other, version 1, says review, but something else decided',
    '  - bad, version 1, says review, failed: broken field',
    "It arrived late: more than 10 minutes behind the customer's latest transaction.",
    'Degraded: history_incomplete.',
    'Features:',
    '  tx_amount: 300',
    '  nb: missing',
    'Rules r1, features f1, policy p1; decision abababababababababababababababab.',
  ])
})

test('a plain approval without a model is short', () => {
  const none = { score: null, adjusted_score: null, models: [], reason_codes: [], rule_hits: [], feature_names: [] }
  const text = explainDecision({
    ...decision,
    ...none,
    outcome: 'approve',
    outcome_source: 'default',
    features: [],
    late: false,
    degraded: null,
  })
  assert.equal(text.split('\n').length, 4)
  assert.match(text, /approved by default/)
  assert.match(text, /no score/)
})

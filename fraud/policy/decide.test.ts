import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eventTime } from '../../kernel/index.js'
import { RowFlag } from '../../operators/index.js'
import { type Decision, requiredOnly, type Transaction } from '../../schemas/avro/index.js'
import { parseRuleSet, RuleEvaluator } from '../rules/index.js'
import { createDecide } from './decide.js'
import { defaultPolicy, type Policy } from './policy.js'
import type { FeatureImpact } from './reasons.js'

const transaction = requiredOnly({
  transaction_id: 't1',
  event_time: eventTime(1_522_540_831_000),
  customer_id: 'c1',
  terminal_id: 'm1',
  amount_minor: 5_716,
  currency: 'EUR',
})

/** Rule `name` hits when the feature of its name is 1. */
const featureNames = ['decline', 'review', 'approve', 'raise', 'lower'] as const
type Name = (typeof featureNames)[number]

function ruleNamed(name: Name): object {
  const outcome = name === 'raise' || name === 'lower' ? 'approve' : name
  const adjust = name === 'raise' ? { add: 0.4 } : name === 'lower' ? { add: -0.4 } : undefined
  const when = { feature: name, op: 'eq', value: 1 }
  return { rule_id: name, version: 3, description: 'd', outcome, code: name.toUpperCase(), text: name, when, adjust }
}

interface Case {
  readonly hits?: readonly Name[]
  readonly score?: number
  readonly listed?: readonly ('block' | 'allow')[]
  readonly model?: false
  readonly flags?: number
  readonly impacts?: readonly FeatureImpact[]
  readonly policy?: Policy
  readonly transaction?: Transaction
}

function decided(given: Case): Decision {
  const list = (name: 'block' | 'allow') => ({ customers: given.listed?.includes(name) ? ['c1'] : [], terminals: [] })
  const text = JSON.stringify({
    ruleset_version: 'rules-7',
    lists: { block: list('block'), allow: list('allow') },
    rules: featureNames.map(ruleNamed),
  })
  const decide = createDecide({
    app: 'fraud',
    policy: given.policy ?? defaultPolicy(),
    rules: new RuleEvaluator(parseRuleSet(text), featureNames),
    featureSetVersion: 'features-8',
    featureNames,
    model: given.model === false ? null : { model_id: 'gbdt', version: '4' },
  })
  const row = {
    features: featureNames.map(name => (given.hits?.includes(name) ? 1 : 0)),
    score: given.score ?? Number.NaN,
    flags: given.flags ?? 0,
    source: { topic: 'transactions', partition: 2, offset: 99 },
  }
  return decide(given.transaction ?? transaction, row, given.impacts)
}

const verdict = (given: Case) => {
  const { outcome, outcome_source } = decided(given)
  return `${outcome} by ${outcome_source}`
}

test('the precedence: each step wins over all that follow it', () => {
  const hits = ['decline', 'review', 'approve'] as const
  assert.equal(verdict({ listed: ['block', 'allow'], hits, score: 0.95 }), 'decline by list')
  assert.equal(verdict({ listed: ['allow'], hits, score: 0.95 }), 'approve by list')
  assert.equal(verdict({ hits, score: 0 }), 'decline by rule')
  assert.equal(verdict({ hits: ['review', 'approve'], score: 0.95 }), 'review by rule')
  assert.equal(verdict({ hits: ['approve'], score: 0.95 }), 'decline by model')
  assert.equal(verdict({ hits: ['approve'] }), 'approve by default')
})

test('thresholds and risk levels belong to the upper side', () => {
  const below = (x: number) => x - 2 ** -53
  const table: readonly (readonly [score: number, outcome: string, risk: string])[] = [
    [0, 'approve', 'normal'],
    [below(0.5), 'approve', 'normal'],
    [0.5, 'review', 'elevated'],
    [below(0.9), 'review', 'elevated'],
    [0.9, 'decline', 'highest'],
    [1, 'decline', 'highest'],
  ]
  for (const [score, outcome, risk] of table) {
    const decision = decided({ score })
    assert.deepEqual([decision.outcome, decision.outcome_source, decision.risk_level], [outcome, 'model', risk])
    assert.equal(decision.score, score)
    assert.equal(decision.adjusted_score, score)
    assert.deepEqual(decision.models, [{ model_id: 'gbdt', version: '4', role: 'champion', score }])
  }
})

test('rules adjust the score that policy uses, within 0 and 1, and leave the model its own', () => {
  const adjusted = (hits: readonly Name[], score: number) => {
    const decision = decided({ hits, score })
    assert.equal(decision.score, score)
    return [decision.adjusted_score, decision.outcome, decision.risk_level]
  }
  assert.deepEqual(adjusted(['raise'], 0.25), [0.65, 'review', 'elevated'])
  assert.deepEqual(adjusted(['raise'], 0.75), [1, 'decline', 'highest'])
  assert.deepEqual(adjusted(['lower'], 0.25), [0, 'approve', 'normal'])
  assert.equal(decided({ hits: ['raise'] }).adjusted_score, null)
})

test('every hit is listed; suppressed is what did not decide', () => {
  const suppressed = (given: Case) => decided(given).rule_hits.map(hit => `${hit.rule_id} ${hit.suppressed}`)
  const hits = ['decline', 'review', 'approve'] as const
  assert.deepEqual(suppressed({ hits, score: 0 }), ['decline false', 'review true', 'approve true'])
  assert.deepEqual(suppressed({ hits, listed: ['block'] }), ['decline true', 'review true', 'approve true'])
  assert.deepEqual(suppressed({ hits, listed: ['allow'] }), ['decline true', 'review true', 'approve false'])
  assert.deepEqual(suppressed({ hits: ['approve'], score: 0.1 }), ['approve false'])
  assert.deepEqual(suppressed({ hits: ['approve', 'raise'], score: 0.25 }), ['approve true', 'raise false'])
  assert.deepEqual(suppressed({ hits: ['decline', 'raise'], score: 0.25 }), ['decline false', 'raise true'])
  const [hit] = decided({ hits: ['review'] }).rule_hits
  assert.deepEqual(hit, { rule_id: 'review', version: 3, outcome: 'review', suppressed: false, error: null })
})

test('without a score: degraded when there is a model, not when there is none', () => {
  const failed = decided({})
  assert.deepEqual(
    [failed.score, failed.adjusted_score, failed.risk_level, failed.models, failed.degraded],
    [null, null, 'not_assessed', [], 'model_unavailable'],
  )
  const without = decided({ model: false })
  assert.deepEqual([without.score, without.risk_level, without.degraded], [null, 'not_assessed', null])
  assert.equal(verdict({ policy: { ...defaultPolicy(), default_outcome: 'review' } }), 'review by default')
})

test('degraded names both reasons, late is its own flag', () => {
  assert.equal(decided({ score: 0.1 }).degraded, null)
  assert.equal(decided({ score: 0.1, flags: RowFlag.historyIncomplete }).degraded, 'history_incomplete')
  assert.equal(decided({ flags: RowFlag.historyIncomplete }).degraded, 'history_incomplete,model_unavailable')
  const late = decided({ score: 0.1, flags: RowFlag.late })
  assert.deepEqual([late.late, late.degraded], [true, null])
  assert.equal(decided({ score: 0.1 }).late, false)
})

const impact = (feature: string, by: number, value = 2): FeatureImpact => ({ feature, value, impact: by })
const codes = (given: Case) => decided(given).reason_codes.map(reason => reason.code)

test('reasons: none for a plain approval, the list, then deciding rules, other rules, impacts; four at most', () => {
  const impacts = [impact('a', 0.1), impact('b', 0.3), impact('c', -1), impact('d', 0.3), impact('e', 0)]
  assert.deepEqual(codes({ score: 0.1, impacts, hits: ['approve'] }), [])
  assert.deepEqual(codes({ listed: ['block'], hits: ['decline'], impacts }), ['CUSTOMER_BLOCKED'])
  assert.deepEqual(codes({ listed: ['allow'], hits: ['decline'], impacts }), ['CUSTOMER_ALLOWED'])
  assert.deepEqual(codes({ score: 0.95, impacts }), ['MODEL_B', 'MODEL_D', 'MODEL_A'])
  assert.deepEqual(codes({ hits: ['decline', 'review', 'approve'], impacts }), [
    'DECLINE',
    'REVIEW',
    'MODEL_B',
    'MODEL_D',
  ])
  assert.deepEqual(codes({ hits: ['raise'], score: 0.5, impacts: [] }), [])
})

test('a reason says which feature, its value and its impact', () => {
  const impacts = [impact('terminal_id_risk_7day_window', 0.25, 0.5), impact('made_up', 0.1, Number.NaN)]
  const [byRule, byModel, unknown] = decided({ hits: ['review'], score: 0.6, impacts }).reason_codes
  assert.deepEqual(byRule, { code: 'REVIEW', text: 'review', feature: 'review', value: 1, impact: null })
  assert.equal(byModel?.code, 'MODEL_TERMINAL_ID_RISK_7DAY_WINDOW')
  assert.match(byModel?.text ?? '', /share of fraud at this terminal in 7 days/)
  assert.deepEqual([byModel?.value, byModel?.impact], [0.5, 0.25])
  assert.deepEqual([unknown?.feature, unknown?.value], ['made_up', null])
})

test('a rule that failed is listed with its error, decides nothing and gives no reason', () => {
  const rules = new RuleEvaluator(
    parseRuleSet(
      JSON.stringify({
        ruleset_version: 'r',
        lists: { block: { customers: [], terminals: [] }, allow: { customers: [], terminals: [] } },
        rules: [{ ...ruleNamed('decline'), when: { field: 'channel', op: 'ne', value: 'x' }, adjust: { add: 1 } }],
      }),
    ),
    [],
  )
  const model = { model_id: 'gbdt', version: '4' }
  const decide = createDecide({
    app: 'a',
    policy: defaultPolicy(),
    rules,
    featureSetVersion: 'f',
    featureNames: [],
    model,
  })
  const broken = Object.defineProperty({ ...transaction }, 'channel', {
    get: () => {
      throw new Error('broken field')
    },
  })
  const decision = decide(broken, {
    features: [],
    score: 0.6,
    flags: 0,
    source: { topic: 't', partition: 0, offset: 0 },
  })
  assert.deepEqual([decision.outcome, decision.outcome_source, decision.adjusted_score], ['review', 'model', 0.6])
  assert.deepEqual(decision.rule_hits, [
    { rule_id: 'decline', version: 3, outcome: 'decline', suppressed: true, error: 'broken field' },
  ])
  assert.deepEqual(decision.reason_codes, [])
})

test('a decision names its transaction, its source and exactly the configuration that made it', () => {
  const decision = decided({ score: 0.1 })
  assert.match(decision.decision_id, /^[0-9a-f]{32}$/)
  assert.equal(decision.decision_id, decided({ score: 0.95, hits: ['decline'] }).decision_id)
  assert.deepEqual(
    [decision.transaction_id, decision.customer_id, decision.event_time],
    ['t1', 'c1', 1_522_540_831_000],
  )
  assert.deepEqual(decision.config, {
    ruleset_version: 'rules-7',
    feature_set_version: 'features-8',
    policy_version: defaultPolicy().policy_version,
  })
  assert.deepEqual(decision.source, { topic: 'transactions', partition: 2, offset: 99 })
  assert.equal(decision.provisional, false)
})

test('for any hits, lists and score, the outcome is what the precedence written out gives', () => {
  const given = fc.record({
    hits: fc.subarray([...featureNames]),
    listed: fc.subarray(['block' as const, 'allow' as const]),
    score: fc.oneof(fc.constant(Number.NaN), fc.double({ min: 0, max: 1, noNaN: true })),
  })
  fc.assert(
    fc.property(given, ({ hits, listed, score }) => {
      const add = (hits.includes('raise') ? 0.4 : 0) - (hits.includes('lower') ? 0.4 : 0)
      const adjusted = hits.includes('raise') && hits.includes('lower') ? score + 0.4 - 0.4 : score + add
      let expected = 'approve by default'
      if (listed.includes('block')) expected = 'decline by list'
      else if (listed.includes('allow')) expected = 'approve by list'
      else if (hits.includes('decline')) expected = 'decline by rule'
      else if (hits.includes('review')) expected = 'review by rule'
      else if (adjusted >= 0.9) expected = 'decline by model'
      else if (adjusted >= 0.5) expected = 'review by model'
      else if (!Number.isNaN(score)) expected = 'approve by model'
      assert.equal(verdict({ hits, listed, score }), expected)
    }),
    { seed: 7, numRuns: 300 },
  )
})

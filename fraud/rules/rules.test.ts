import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventTime, isWeirError } from '../../kernel/index.js'
import type { Transaction } from '../../schemas/avro/index.js'
import { defaultFeatureSet, featureNames } from '../features/index.js'
import { RuleEvaluator } from './evaluator.js'
import { defaultRuleSet, parseRuleSet } from './rule-set.js'

const transaction: Transaction = {
  transaction_id: 't1',
  event_time: eventTime(0),
  customer_id: 'c1',
  terminal_id: 'm1',
  amount_minor: 5_716,
  currency: 'EUR',
  card_id: null,
  merchant_id: null,
  merchant_category: '5411',
  device_id: null,
  ip_address: null,
  email: null,
  country: null,
  channel: null,
  metadata: null,
}

const rule = (when: unknown, more: object = {}) => ({
  rule_id: 'r1',
  version: 1,
  description: 'd',
  outcome: 'review',
  code: 'CODE',
  text: 'Text.',
  when,
  ...more,
})

const emptyLists = { block: { customers: [], terminals: [] }, allow: { customers: [], terminals: [] } }
const document = (rules: readonly unknown[], more: object = {}) =>
  JSON.stringify({ ruleset_version: 'v1', lists: emptyLists, rules, ...more })

/** Whether one condition holds for the features a and b. */
function holds(when: unknown, a = Number.NaN, b = Number.NaN, of: Transaction = transaction): boolean {
  return new RuleEvaluator(parseRuleSet(document([rule(when)])), ['a', 'b']).evaluate([a, b], of).length === 1
}

const compare = (op: string, value: unknown) => ({ feature: 'a', op, value })

test('comparisons of numbers', () => {
  const table: readonly [op: string, below: boolean, equal: boolean, above: boolean][] = [
    ['gt', false, false, true],
    ['ge', false, true, true],
    ['lt', true, false, false],
    ['le', true, true, false],
    ['eq', false, true, false],
    ['ne', true, false, true],
  ]
  for (const [op, below, equal, above] of table) {
    assert.deepEqual(
      [holds(compare(op, 5), 4), holds(compare(op, 5), 5), holds(compare(op, 5), 6)],
      [below, equal, above],
      op,
    )
    const twice = compare(op, { feature: 'b', times: 2 })
    assert.deepEqual([holds(twice, 4, 2.5), holds(twice, 5, 2.5), holds(twice, 6, 2.5)], [below, equal, above], op)
  }
  assert.equal(holds(compare('in', [1, 2]), 2), true)
  assert.equal(holds(compare('in', [1, 2]), 3), false)
  assert.equal(holds({ field: 'amount_minor', op: 'eq', value: 5_716 }), true)
})

test('a comparison with something missing is false, whichever it is', () => {
  for (const op of ['gt', 'ge', 'lt', 'le', 'eq', 'ne']) {
    assert.equal(holds(compare(op, 0)), false, op)
    assert.equal(holds(compare(op, { feature: 'b' }), 1, Number.NaN), false, op)
    assert.equal(holds(compare(op, { feature: 'b' }), Number.NaN, 1), false, op)
  }
  assert.equal(holds(compare('in', [0, 1])), false)
  for (const op of ['eq', 'ne']) assert.equal(holds({ field: 'country', op, value: 'BE' }), false, op)
  assert.equal(holds({ field: 'country', op: 'in', value: ['BE'] }), false)
  assert.equal(holds({ not: compare('gt', 0) }), true)
})

test('comparisons of texts', () => {
  assert.equal(holds({ field: 'currency', op: 'eq', value: 'EUR' }), true)
  assert.equal(holds({ field: 'currency', op: 'eq', value: 'eur' }), false)
  assert.equal(holds({ field: 'merchant_category', op: 'ne', value: '6011' }), true)
  assert.equal(holds({ field: 'merchant_category', op: 'ne', value: '5411' }), false)
  assert.equal(holds({ field: 'customer_id', op: 'in', value: ['c0', 'c1'] }), true)
  assert.equal(holds({ field: 'terminal_id', op: 'in', value: ['c0', 'c1'] }), false)
})

test('all, any, not', () => {
  const [yes, no] = [compare('eq', 1), compare('eq', 0)]
  assert.equal(holds({ all: [yes, yes, yes] }, 1), true)
  assert.equal(holds({ all: [yes, yes, no] }, 1), false)
  assert.equal(holds({ any: [no, no, yes] }, 1), true)
  assert.equal(holds({ any: [no, no] }, 1), false)
  assert.equal(holds({ not: { all: [yes, { not: { any: [no, no] } }] } }, 1), false)
})

test('a mistake is refused by the path where it stands', () => {
  const deep = Array.from({ length: 20 }).reduce<unknown>(inner => ({ not: inner }), compare('eq', 1))
  const mistakes: readonly (readonly [when: unknown, path: string])[] = [
    [compare('gt', '5'), '.value'],
    [compare('gt', null), '.value'],
    [compare('gt', [5]), '.value'],
    [compare('in', []), '.value'],
    [compare('in', [1, 'x']), '.value[1]'],
    [compare('in', 1), '.value'],
    [compare('like', 5), '.op'],
    [compare('gt', { feature: 'b', times: '2' }), '.value.times'],
    [compare('gt', { featur: 'b' }), '.value.featur'],
    [{ field: 'currency', op: 'gt', value: 'EUR' }, '.op'],
    [{ field: 'currency', op: 'eq', value: 978 }, '.value'],
    [{ field: 'amount_minor', op: 'eq', value: '5' }, '.value'],
    [{ field: 'nonsense', op: 'eq', value: 'x' }, '.field'],
    [{ field: '__proto__', op: 'eq', value: 'x' }, '.field'],
    [{ all: [] }, '.all'],
    [{ all: [compare('eq', 1), {}] }, '.all[1]'],
    [{ all: [compare('eq', 1)], any: [] }, '.any'],
    [{ feature: 'a', field: 'currency', op: 'eq', value: 1 }, ''],
    [deep, '.not'.repeat(16)],
  ]
  for (const [when, path] of mistakes) refused(document([rule(when)]), `$.rules[0].when${path}`)
  const good = compare('gt', 1)
  refused(document([rule(good), rule(good)]), '$.rules[1].rule_id')
  refused(document([rule(good, { outcome: 'block' })]), '$.rules[0].outcome')
  refused(document([rule(good, { version: 0 })]), '$.rules[0].version')
  refused(document([rule(good, { adjust: { add: 2 } })]), '$.rules[0].adjust.add')
  refused(document([rule(good, { adjust: {} })]), '$.rules[0].adjust.add')
  refused(document([], { lists: { block: emptyLists.block } }), '$.lists.allow')
  refused(
    document([], { lists: { ...emptyLists, block: { customers: [7], terminals: [] } } }),
    '$.lists.block.customers[0]',
  )
})

function refused(text: string, path: string): void {
  assert.throws(
    () => parseRuleSet(text),
    error => isWeirError(error, 'INVALID_RULES') && error.message.includes(` ${path} `),
    `${path} in ${text}`,
  )
}

test('a feature that is not computed is refused by its place', () => {
  for (const value of [1, { feature: 'unknown' }]) {
    const name = typeof value === 'number' ? 'unknown' : 'a'
    const set = parseRuleSet(document([rule({ not: { feature: name, op: 'gt', value } })]))
    assert.throws(
      () => new RuleEvaluator(set, ['a']),
      error => isWeirError(error, 'UNKNOWN_FEATURE') && error.message.includes('$.rules[0].when.not'),
    )
  }
})

test('every hit is listed in the order of the set, and no hit is one shared list', () => {
  const rules = ['r1', 'r2', 'r3'].map((rule_id, i) => rule(compare('ge', i * 10), { rule_id }))
  const evaluator = new RuleEvaluator(parseRuleSet(document(rules)), ['a', 'b'])
  const hits = (a: number) => evaluator.evaluate([a, 0], transaction).map(match => match.rule.rule_id)
  assert.deepEqual(hits(15), ['r1', 'r2'])
  assert.deepEqual(hits(20), ['r1', 'r2', 'r3'])
  assert.equal(evaluator.evaluate([-1, 0], transaction), evaluator.evaluate([-2, 0], transaction))
})

test('a rule that throws is reported in its match, and the others go on', () => {
  const rules = [rule({ field: 'currency', op: 'eq', value: 'EUR' }), rule(compare('gt', 1), { rule_id: 'r2' })]
  const evaluator = new RuleEvaluator(parseRuleSet(document(rules)), ['a', 'b'])
  const broken = Object.defineProperty({ ...transaction }, 'currency', {
    get: () => {
      throw new Error('broken field')
    },
  })
  const [first, second] = evaluator.evaluate([2, 0], broken)
  assert.equal(first?.error, 'broken field')
  assert.equal(second?.rule.rule_id, 'r2')
  assert.equal(second?.error, null)
})

test('lists name the customer before the terminal', () => {
  const lists = { block: { customers: ['c1'], terminals: ['m1'] }, allow: { customers: [], terminals: ['m1'] } }
  const evaluator = new RuleEvaluator(parseRuleSet(document([], { lists })), [])
  assert.equal(evaluator.blocked(transaction), 'customer')
  assert.equal(evaluator.blocked({ ...transaction, customer_id: 'c2' }), 'terminal')
  assert.equal(evaluator.blocked({ ...transaction, customer_id: 'c2', terminal_id: 'm2' }), null)
  assert.equal(evaluator.allowed(transaction), 'terminal')
})

/** The default rules on an everyday transaction with some features changed. */
function defaultHits(changed: Readonly<Record<string, number>>, currency = 'EUR'): string[] {
  const everyday: Readonly<Record<string, number>> = {
    tx_amount: 57.16,
    tx_during_weekend: 0,
    tx_during_night: 0,
    customer_id_nb_tx_1day_window: 3,
    customer_id_avg_amount_1day_window: 55,
    customer_id_nb_tx_7day_window: 20,
    customer_id_avg_amount_7day_window: 55,
    customer_id_nb_tx_30day_window: 90,
    customer_id_avg_amount_30day_window: 55,
    terminal_id_nb_tx_1day_window: 1,
    terminal_id_risk_1day_window: 0,
    terminal_id_nb_tx_7day_window: 7,
    terminal_id_risk_7day_window: 0,
    terminal_id_nb_tx_30day_window: 30,
    terminal_id_risk_30day_window: 0,
  }
  const names = featureNames(defaultFeatureSet())
  const features = names.map(name => changed[name] ?? everyday[name] ?? Number.NaN)
  return new RuleEvaluator(defaultRuleSet(), names)
    .evaluate(features, { ...transaction, currency })
    .map(({ rule: hit, error }) => (error === null ? hit.rule_id : error))
}

test('the default rules: everyday traffic passes, the classic scenarios do not', () => {
  assert.deepEqual(defaultHits({}), [])
  assert.deepEqual(defaultHits({ tx_amount: 150 }), [])
  assert.deepEqual(defaultHits({ tx_amount: 220, customer_id_avg_amount_30day_window: 100 }), [])
  assert.deepEqual(defaultHits({ tx_amount: 220.01, customer_id_avg_amount_30day_window: 100 }), ['very-high-amount'])
  assert.deepEqual(defaultHits({ tx_amount: 170 }), ['amount-above-usual'])
  assert.deepEqual(defaultHits({ tx_amount: 170, customer_id_nb_tx_30day_window: 9 }), [])
  const pattern = ['amount-out-of-pattern', 'very-high-amount', 'amount-above-usual']
  assert.deepEqual(defaultHits({ tx_amount: 300 }), pattern)
  assert.deepEqual(defaultHits({ tx_amount: 1_500 }), ['extreme-amount', ...pattern])
  assert.deepEqual(defaultHits({ terminal_id_risk_7day_window: 0.5 }), ['terminal-fraud-share'])
  assert.deepEqual(defaultHits({ terminal_id_risk_7day_window: 1, terminal_id_nb_tx_7day_window: 2 }), [])
  assert.deepEqual(defaultHits({ customer_id_nb_tx_1day_window: 15 }), ['customer-burst'])
  assert.deepEqual(defaultHits({ customer_id_nb_tx_1day_window: 15, customer_id_nb_tx_7day_window: 30 }), [])
  assert.deepEqual(defaultHits({ tx_amount: 20_000 }, 'JPY'), [])
})

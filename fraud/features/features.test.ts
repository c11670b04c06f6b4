import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWeirError } from '../../kernel/index.js'
import { defaultFeatureSet, featureNames, loadFeatureSet, parseFeatureSet } from './features.js'

const velocity = {
  name: 'n',
  kind: 'velocity',
  entity: 'customer',
  aggregate: 'count',
  window_days: 1,
  delay_days: 0,
  include_current: true,
}

const document = (features: unknown, more: object = {}) =>
  JSON.stringify({ feature_set_version: 'v', features, ...more })

function refused(text: string, path: string): void {
  assert.throws(
    () => parseFeatureSet(text),
    error => isWeirError(error, 'INVALID_FEATURES') && error.message.includes(`${path} `),
    `${path} in ${text}`,
  )
}

test('the bundled set has exactly the names and the order of the contract', () => {
  const set = defaultFeatureSet()
  assert.deepEqual(featureNames(set), [
    'tx_amount',
    'tx_during_weekend',
    'tx_during_night',
    'customer_id_nb_tx_1day_window',
    'customer_id_avg_amount_1day_window',
    'customer_id_nb_tx_7day_window',
    'customer_id_avg_amount_7day_window',
    'customer_id_nb_tx_30day_window',
    'customer_id_avg_amount_30day_window',
    'terminal_id_nb_tx_1day_window',
    'terminal_id_risk_1day_window',
    'terminal_id_nb_tx_7day_window',
    'terminal_id_risk_7day_window',
    'terminal_id_nb_tx_30day_window',
    'terminal_id_risk_30day_window',
  ])
  for (const feature of set.features) {
    if (feature.kind !== 'velocity') continue
    const terminal = feature.name.startsWith('terminal')
    assert.equal(feature.entity, terminal ? 'terminal' : 'customer')
    assert.equal(feature.delay_days, terminal ? 7 : 0)
    assert.equal(feature.include_current, !terminal)
    assert.ok(feature.name.endsWith(`_${feature.window_days}day_window`))
    const aggregate = feature.name.includes('_nb_tx_') ? 'count' : terminal ? 'fraud_share' : 'mean_amount'
    assert.equal(feature.aggregate, aggregate)
  }
})

test('a mistake is refused by the path where it stands', () => {
  refused('{', 'not JSON')
  refused('[]', '$')
  refused(document([]), '$.features')
  refused(document([velocity], { extra: 1 }), '$.extra')
  refused(document([velocity], { feature_set_version: 7 }), '$.feature_set_version')
  refused(document([velocity], { feature_set_version: '' }), '$.feature_set_version')
  refused(document([velocity, velocity]), '$.features[1].name')
  refused(document([{ ...velocity, name: 'has space' }]), '$.features[0].name')
  refused(document([{ ...velocity, name: '__proto__' }]), '$.features[0].name')
  refused(document([{ ...velocity, kind: 'velocty' }]), '$.features[0].kind')
  refused(document([{ ...velocity, window_days: 1.5 }]), '$.features[0].window_days')
  refused(document([{ ...velocity, window_days: 0 }]), '$.features[0].window_days')
  refused(document([{ ...velocity, delay_days: -1 }]), '$.features[0].delay_days')
  refused(document([{ ...velocity, delay_days: 7 }]), '$.features[0].include_current')
  refused(document([{ ...velocity, entity: 'merchant' }]), '$.features[0].entity')
  refused(document([{ ...velocity, aggregate: 'median' }]), '$.features[0].aggregate')
  refused(document([{ name: 'a', kind: 'amount', window_days: 1 }]), '$.features[0].window_days')
  refused(
    `{"feature_set_version":"v","features":[{"__proto__":1,"name":"a","kind":"amount"}]}`,
    '$.features[0].__proto__',
  )
  const { aggregate: _, ...without } = velocity
  refused(document([without]), '$.features[0].aggregate')
  refused(document(Array.from({ length: 257 }, (_, i) => ({ ...velocity, name: `f${i}` }))), '$.features')
})

test('a time zone other than UTC is refused with what to write instead', () => {
  refused(document([velocity], { timezone: 'Europe/Brussels' }), '$.timezone')
  assert.equal(parseFeatureSet(document([velocity], { timezone: 'UTC' })).timezone, 'UTC')
  assert.equal(parseFeatureSet(document([velocity])).timezone, 'UTC')
})

test('a file that cannot be read says so', () => {
  assert.throws(
    () => loadFeatureSet('no/such/file.json'),
    error => isWeirError(error, 'INPUT_UNREADABLE'),
  )
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { isWeirError } from '../../kernel/index.js'
import { decisionIds } from './decision-id.js'
import { defaultPolicy, parsePolicy } from './policy.js'

const good = {
  policy_version: 'v',
  thresholds: { review: 0.5, decline: 0.9 },
  risk_levels: { elevated: 0.5, highest: 0.9 },
  default_outcome: 'approve',
}

test('the bundled policy states the thresholds of the contract', () => {
  const { policy_version, ...rest } = defaultPolicy()
  const { policy_version: _, ...expected } = good
  assert.deepEqual(rest, expected)
  assert.ok(policy_version.length > 0)
})

test('a mistake is refused by the path where it stands', () => {
  const mistakes: readonly (readonly [changed: object, path: string])[] = [
    [{ policy_version: 1 }, '$.policy_version'],
    [{ thresholds: { review: 0.5 } }, '$.thresholds.decline'],
    [{ thresholds: { review: 0.9, decline: 0.5 } }, '$.thresholds.decline'],
    [{ thresholds: { review: -0.1, decline: 0.5 } }, '$.thresholds.review'],
    [{ risk_levels: { elevated: 0.5, highest: 1.1 } }, '$.risk_levels.highest'],
    [{ risk_levels: { elevated: '0.5', highest: 1 } }, '$.risk_levels.elevated'],
    [{ default_outcome: 'allow' }, '$.default_outcome'],
    [{ threshold: 0.5 }, '$.threshold'],
  ]
  for (const [changed, path] of mistakes) {
    assert.throws(
      () => parsePolicy(JSON.stringify({ ...good, ...changed })),
      error => isWeirError(error, 'INVALID_POLICY') && error.message.includes(` ${path} `),
      path,
    )
  }
})

test('a decision id is the first half of SHA-256 over the parts behind their lengths', () => {
  const expected = createHash('sha256').update('5:fraud2:c17:Zürich1').digest('hex').slice(0, 32)
  assert.equal(decisionIds('fraud')('c1', 'Zürich1'), expected)
})

test('different triples have different ids, also where their texts joined are the same', () => {
  const ids = [
    decisionIds('fraud')('12', '34'),
    decisionIds('fraud')('123', '4'),
    decisionIds('fraud')('', '1234'),
    decisionIds('fraud1')('2', '34'),
    decisionIds('fraud')('2:34', ''),
    decisionIds('fraud')('\ud800', 'x'),
    decisionIds('fraud')('\ud801', 'x'),
    decisionIds('fraud')('\ufffd', 'x'),
  ]
  assert.equal(new Set(ids).size, ids.length)
  fc.assert(
    fc.property(fc.tuple(fc.string(), fc.string()), fc.tuple(fc.string(), fc.string()), (a, b) => {
      const same = a[0] === b[0] && a[1] === b[1]
      assert.equal(decisionIds('fraud')(...a) === decisionIds('fraud')(...b), same)
    }),
    { seed: 6 },
  )
})

/** `--features` and `--rules` of one's own: decisions follow them and name them; the bundled ones apply otherwise. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { repositoryFile } from '../../kernel/index.js'
import { freshPath, replayContent } from './testing/run.js'

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'
const content = `${[
  header,
  '1,2024-01-01T10:00:00Z,c1,t1,10.00,1',
  '2,2024-01-01T12:00:00Z,c1,t1,1500.00,0',
  '3,2024-01-01T11:00:00Z,c1,t2,20.00,0',
].join('\n')}\n`

function documentOf(value: unknown): string {
  const path = freshPath('document.json')
  writeFileSync(path, JSON.stringify(value))
  return path
}

const bundled = (path: string): Record<string, unknown> => JSON.parse(readFileSync(repositoryFile(path), 'utf8'))

/** Only the fields that differ between sets. */
interface Configured {
  readonly config: { readonly ruleset_version: string; readonly feature_set_version: string }
  readonly rule_hits: readonly { readonly rule_id: string }[]
}

const configured = (decision: unknown): Configured => decision as Configured

const rules = bundled('fraud/rules/default-rules.json')
/** Rules ask for features of the bundled set. */
const noRules = documentOf({ ...rules, ruleset_version: 'none-1', rules: [] })

describe('a feature set of one’s own', () => {
  const set = (features: unknown[]): string => documentOf({ feature_set_version: 'mine-1', features })
  const windowed = (entity: string, include_current: boolean) => ({
    name: `${entity}_2days`,
    kind: 'velocity',
    entity,
    aggregate: 'count',
    window_days: 2,
    delay_days: 0,
    include_current,
  })

  for (const [name, features, expected] of [
    [
      'of the transaction alone',
      [{ name: 'amount', kind: 'amount' }],
      [{ amount: 10 }, { amount: 1500 }, { amount: 20 }],
    ],
    ['of customers alone', [windowed('customer', true)], [1, 2, 2].map(n => ({ customer_2days: n }))],
    ['of terminals alone', [windowed('terminal', false)], [0, 1, 0].map(n => ({ terminal_2days: n }))],
  ] as const) {
    it(`${name}: these features, and what is late as ever`, async () => {
      const result = await replayContent(content, { features: set([...features]), rules: noRules })
      assert.deepEqual(
        result.decisions.map(decision => decision.features),
        expected,
      )
      assert.deepEqual(
        result.decisions.map(decision => decision.late),
        [false, false, true],
      )
      for (const decision of result.decisions) {
        assert.equal(configured(decision).config.feature_set_version, 'mine-1')
      }
    })
  }
})

describe('a rule set of one’s own', () => {
  it('decides, with the bundled precedence', async () => {
    const blocking = documentOf({
      ...rules,
      ruleset_version: 'blocking-1',
      lists: { block: { customers: [], terminals: ['t2'] }, allow: { customers: ['c1'], terminals: [] } },
    })
    const outcomes = async (path: string | undefined) => {
      const { decisions } = await replayContent(content, { rules: path })
      return decisions.map(decision => [decision.outcome, configured(decision).config.ruleset_version])
    }
    const version = rules.ruleset_version
    assert.deepEqual(await outcomes(undefined), [
      ['approve', version],
      ['decline', version],
      ['approve', version],
    ])
    assert.deepEqual(
      await outcomes(noRules),
      [1, 2, 3].map(() => ['approve', 'none-1']),
    )
    assert.deepEqual(await outcomes(blocking), [
      ['approve', 'blocking-1'],
      ['approve', 'blocking-1'],
      ['decline', 'blocking-1'],
    ])
  })
})

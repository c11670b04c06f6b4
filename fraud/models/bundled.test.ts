import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventTime, repositoryFile } from '../../kernel/index.js'
import type { Row } from '../../operators/index.js'
import { chunkCandidates, featureColumns, Scorer } from '../../scoring/index.js'

const modelPath = repositoryFile('fraud/models/handbook-gbdt.onnx')

/** In the model's order; a fixed mixture of ordinary, extreme and missing values. */
function rowsOf(count: number): Row[] {
  return Array.from({ length: count }, (_, i) => rowOf(Array.from({ length: 15 }, (_, j) => mixed(i, j))))
}

function mixed(i: number, j: number): number {
  const n = (i * 7_919 + j * 104_729 + i * j) % 1_009
  if (n % 23 === 0) return Number.NaN
  if (n % 101 === 0) return 1e30
  return j === 0 || j % 2 === 0 ? n / 3 : (n % 100) / 100
}

const rowOf = (features: number[]): Row => ({
  value: null,
  at: eventTime(0),
  key: '',
  ordinal: 0,
  flags: 0,
  features,
  score: Number.NaN,
  source: { topic: 'transactions', partition: 0, offset: 0 },
  loggedAtMs: Number.NaN,
  hop: null,
})

const columns = Int32Array.from({ length: 15 }, (_, i) => i)

let scorer: Scorer
before(async () => {
  scorer = await Scorer.open(modelPath)
})
after(() => scorer.close())

async function scoreWith(features: Readonly<Record<string, number>>): Promise<number> {
  const reference = [...scorer.contract.reference]
  const row = rowOf(scorer.featureNames.map((name, i) => features[name] ?? reference[i]!))
  assert.equal((await scorer.score([row], columns)).error, null)
  return row.score
}

test('a score has the same bits alone and in every chunk size', async () => {
  // Not a multiple of any chunk: every size has a shorter last run.
  const rows = rowsOf(1_543)
  await scorer.score(rows, columns)
  const expected = rows.map(row => row.score)
  assert.ok(new Set(expected).size > 100, 'the rows differ')
  for (const chunkRows of [1, 2, 3, 7, ...chunkCandidates]) {
    const other = await Scorer.open(modelPath, { chunkRows })
    for (const row of rows) row.score = Number.NaN
    assert.deepEqual(await other.score(rows, columns), { failedRows: 0, error: null })
    for (const [i, row] of rows.entries())
      assert.ok(Object.is(row.score, expected[i]), `row ${i} in chunks of ${chunkRows}`)
    await other.close()
  }
})

test('knows the default features by name, wherever the plan keeps them', async () => {
  assert.deepEqual(
    featureColumns(scorer.contract, ['other', ...scorer.featureNames]),
    columns.map(c => c + 1),
  )
  assert.equal(scorer.featureNames[0], 'tx_amount')
  assert.equal(scorer.featureNames[14], 'terminal_id_risk_30day_window')
})

test('tells the three scenarios from the ordinary', async () => {
  assert.ok((await scoreWith({})) < 0.05)
  assert.ok((await scoreWith({ tx_amount: 230, customer_id_avg_amount_30day_window: 95 })) > 0.9)
  const risky = { terminal_id_risk_1day_window: 1, terminal_id_risk_7day_window: 1, terminal_id_risk_30day_window: 0.3 }
  assert.ok((await scoreWith({ ...risky, terminal_id_nb_tx_1day_window: 2, terminal_id_nb_tx_7day_window: 8 })) > 0.5)
  assert.ok((await scoreWith({ tx_amount: 180, customer_id_avg_amount_30day_window: 15 })) > 0.5)
})

test('every feature missing is a cautious score, not a failure', async () => {
  const row = rowOf(new Array<number>(15).fill(Number.NaN))
  assert.equal((await scorer.score([row], columns)).failedRows, 0)
  assert.ok(row.score >= 0 && row.score < 0.5)
})

test('the amount is the reason for a large amount', async () => {
  const features = [...scorer.contract.reference]
  features[0] = 400
  const row = rowOf(features)
  await scorer.score([row], columns)
  const { impacts } = await scorer.explain([row], columns)
  assert.equal(impacts.indexOf(Math.max(...impacts)), 0)
  assert.ok(impacts[0]! > 0.5)
  // What is at its reference explains nothing.
  for (let i = 1; i < 15; i++) assert.equal(impacts[i], 0)
})

test('scores are unchanged by warm-up', async () => {
  const rows = rowsOf(100)
  await scorer.score(rows, columns)
  const expected = rows.map(row => row.score)
  let reading = 0
  // Ever less time: the last candidate wins.
  await scorer.warmUp(() => Math.log(++reading))
  assert.equal(scorer.chunkRows, chunkCandidates.at(-1))
  await scorer.score(rows, columns)
  assert.deepEqual(
    rows.map(row => row.score),
    expected,
  )
})

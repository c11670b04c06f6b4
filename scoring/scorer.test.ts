import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventTime, isWeirError } from '../kernel/index.js'
import type { Row } from '../operators/index.js'
import { noModel } from './model.js'
import { chunkCandidates, Scorer, type ScorerOptions } from './scorer.js'
import { linearModel, type TinyModel, tableModel, writeTinyModel } from './tiny-model.js'

let dir: string
let made = 0
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'weir-scorer-'))
})
after(() => rm(dir, { recursive: true }))

const rowOf = (...features: number[]): Row => ({
  value: null,
  at: eventTime(0),
  key: '',
  ordinal: 0,
  flags: 0,
  features,
  score: 0.123,
  source: { topic: 't', partition: 0, offset: 0 },
  loggedAtMs: Number.NaN,
  hop: null,
})

async function open(
  model: TinyModel,
  contract: Record<string, unknown> = {},
  options: ScorerOptions = {},
): Promise<Scorer> {
  return Scorer.open(await writeTinyModel(join(dir, `m${made++}`), model, contract), options)
}

const scoresOf = (rows: readonly Row[]): number[] => rows.map(row => row.score)

for (const [dims, weights] of [
  [[2], [0.25, 0.5]],
  [
    [2, 1],
    [0.25, 0.5],
  ],
  // The second column is the probability.
  [
    [2, 2],
    [9, 0.25, 9, 0.5],
  ],
] as const) {
  test(`an output of shape [N${dims.length > 1 ? `, ${dims[1]}` : ''}] is a score a row, whatever the chunk`, async () => {
    for (const chunkRows of [1, 2, 3, 64]) {
      const scorer = await open(linearModel(dims, weights), {}, { chunkRows })
      // Five rows: whole chunks and a shorter last one. Column 1 of the plan is not the model's.
      const rows = [0, 1, 2, 3, 4].map(i => rowOf(i / 8, 99, 0.5))
      assert.deepEqual(await scorer.score(rows, Int32Array.of(2, 0)), { failedRows: 0, error: null })
      assert.deepEqual(
        scoresOf(rows),
        [0, 1, 2, 3, 4].map(i => 0.125 + i / 16),
      )
      // A smaller epoch after a larger one must not see its leftovers.
      const next = [rowOf(0, 99, 0)]
      await scorer.score(next, Int32Array.of(2, 0))
      assert.deepEqual(scoresOf(next), [0])
      await scorer.close()
    }
  })
}

test('an empty epoch is scored', async () => {
  const scorer = await open(linearModel([1, 1], [1]))
  assert.deepEqual(await scorer.score([], Int32Array.of(0)), { failedRows: 0, error: null })
})

test('a missing value is what the contract says', async () => {
  const columns = Int32Array.of(0)
  const asNumber = await open(linearModel([1, 1], [1]), { missing: 0.75 })
  const rows = [rowOf(Number.NaN), rowOf(0.5)]
  assert.equal((await asNumber.score(rows, columns)).failedRows, 0)
  assert.deepEqual(scoresOf(rows), [0.75, 0.5])
  // This model cannot take a NaN: it comes through to the output, and is a failure of that row alone.
  const asNan = await open(linearModel([1, 1], [1]), { missing: 'nan' })
  assert.equal((await asNan.score(rows, columns)).failedRows, 1)
  assert.deepEqual(scoresOf(rows), [Number.NaN, 0.5])
})

test('an output that is no probability degrades its row and no other', async () => {
  const scorer = await open(linearModel([1, 1], [1]), {}, { chunkRows: 2 })
  const rows = [rowOf(1), rowOf(1.5), rowOf(-0.25), rowOf(0), rowOf(Number.POSITIVE_INFINITY)]
  const report = await scorer.score(rows, Int32Array.of(0))
  assert.deepEqual(scoresOf(rows), [1, Number.NaN, Number.NaN, 0, Number.NaN])
  assert.equal(report.failedRows, 3)
  assert.ok(isWeirError(report.error, 'MODEL_FAILED'))
})

test('a run that throws degrades its chunk; the chunks around it are scored, and so is the next epoch', async () => {
  const scorer = await open(tableModel([0.25, 0.5, 1]), { reference: { f0: 0 } }, { chunkRows: 2 })
  const columns = Int32Array.of(0)
  const rows = [rowOf(0), rowOf(1), rowOf(7), rowOf(1), rowOf(2)]
  const report = await scorer.score(rows, columns)
  assert.deepEqual(scoresOf(rows), [0.25, 0.5, Number.NaN, Number.NaN, 1])
  assert.equal(report.failedRows, 2)
  assert.ok(isWeirError(report.error, 'MODEL_FAILED'))
  assert.equal((await scorer.score(rows.slice(0, 2), columns)).failedRows, 0)
})

test('explains by the change of the score with one feature at its reference', async () => {
  const model = linearModel([2, 1], [0.5, 0.25])
  const scorer = await open(model, { reference: { f0: 0.25, f1: 0 } }, { chunkRows: 4 })
  const rows = [rowOf(1, 1), rowOf(0.25, 0.5), rowOf(0, 0)]
  const { impacts, failedRows } = await scorer.explain(rows, Int32Array.of(0, 1))
  assert.deepEqual(impacts, Float64Array.of(0.375, 0.25, 0, 0.125, -0.125, 0))
  assert.equal(failedRows, 0)
  assert.deepEqual(scoresOf(rows), [0.123, 0.123, 0.123])
})

test('a row that cannot be explained has impacts NaN and is counted', async () => {
  const scorer = await open(tableModel([0.25, 0.5]), { reference: { f0: 0 } }, { chunkRows: 2 })
  const { impacts, failedRows, error } = await scorer.explain([rowOf(1), rowOf(9)], Int32Array.of(0))
  assert.deepEqual(impacts, Float64Array.of(0.25, Number.NaN))
  assert.equal(failedRows, 1)
  assert.ok(isWeirError(error, 'MODEL_FAILED'))
})

test('calls at the same time do not mix their rows', async () => {
  const scorer = await open(linearModel([1, 1], [1]), { reference: { f0: 0 } }, { chunkRows: 2 })
  const epochs = [0, 1, 2, 3].map(e => [0, 1, 2].map(i => rowOf((e * 3 + i) / 16)))
  const columns = Int32Array.of(0)
  const explained = scorer.explain(epochs[1]!, columns)
  await Promise.all(epochs.map(rows => scorer.score(rows, columns)))
  assert.deepEqual(
    epochs.flatMap(scoresOf),
    Array.from({ length: 12 }, (_, i) => i / 16),
  )
  assert.deepEqual((await explained).impacts, Float64Array.of(3 / 16, 4 / 16, 5 / 16))
})

test('warm-up keeps the chunk with the least median time', async () => {
  for (const fastest of chunkCandidates) {
    // Two readings a measurement, three measurements a candidate; one outlier each must not decide.
    let reading = 0
    let clock = 0
    const nowMs = (): number => {
      const candidate = chunkCandidates[Math.floor(reading / 6)]
      if (reading % 2 === 1) clock += reading % 6 === 1 ? 1_000 : candidate === fastest ? 1 : 2
      reading++
      return clock
    }
    const scorer = await open(linearModel([1, 1], [0.001]))
    await scorer.warmUp(nowMs)
    assert.equal(scorer.chunkRows, fastest)
    await scorer.close()
  }
})

test('warm-up without a clock keeps the chunk', async () => {
  const scorer = await open(linearModel([1, 1], [0.001]), {}, { chunkRows: 100 })
  await scorer.warmUp()
  assert.equal(scorer.chunkRows, 100)
})

test('warm-up of a model that cannot run says so', async () => {
  const scorer = await open(tableModel([0.5]), { reference: { f0: 0 } })
  await assert.rejects(scorer.warmUp(), error => isWeirError(error, 'MODEL_FAILED'))
  // The failure of one call is not the next one's.
  assert.equal((await scorer.score([rowOf(0)], Int32Array.of(0))).failedRows, 0)
})

const misfits: [what: string, model: TinyModel, contract: Record<string, unknown>, says: RegExp][] = [
  ['another width', linearModel([2, 1], [1, 1]), { features: ['f0'] }, /input has shape \[N, 2\]/],
  ['another output', linearModel([1, 1], [1]), { output: 'q' }, /no output q, only p/],
  ['three output columns', linearModel([1, 3], [1, 1, 1]), {}, /output p has shape \[3,3\]/],
  ['one row a run', linearModel([1, 1], [1], 1), {}, /does not score a batch/],
  ['doubles', { ...linearModel([1, 1], [1]), inputType: 11 }, {}, /cannot be loaded|not float32/],
]
for (const [what, model, contract, says] of misfits) {
  test(`a model with ${what} is refused when it is opened`, async () => {
    await assert.rejects(
      open(model, contract),
      error => isWeirError(error, 'MODEL_CONTRACT') && says.test(error.message),
    )
  })
}

test('no model: no score, and nothing degraded', async () => {
  const rows = [rowOf(1), rowOf(2)]
  assert.deepEqual(await noModel.score(rows, new Int32Array(0)), { failedRows: 0, error: null })
  assert.deepEqual(scoresOf(rows), [Number.NaN, Number.NaN])
  assert.equal((await noModel.explain(rows, new Int32Array(0))).failedRows, 0)
  assert.equal(noModel.contract, null)
})

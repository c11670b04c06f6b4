import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isWeirError } from '../kernel/index.js'
import { featureColumns, parseModelContract, readModel } from './contract.js'
import { linearModel, writeTinyModel } from './tiny-model.js'

const good = {
  model_id: 'm',
  version: '3',
  features: ['amount', 'count'],
  missing: 'nan',
  output: 'p',
  sha256: 'AB'.repeat(32),
}
const parse = (change: Record<string, unknown>) => parseModelContract(JSON.stringify({ ...good, ...change }), 'm.json')

test('reads the keys of the contract and ignores others', () => {
  const contract = parse({ reference: { count: 4 }, metrics: { auc: 0.9 } })
  assert.equal(contract.modelId, 'm')
  assert.equal(contract.version, '3')
  assert.deepEqual(contract.features, ['amount', 'count'])
  assert.equal(contract.sha256, 'ab'.repeat(32))
  assert.ok(Number.isNaN(contract.missing))
  // A feature without a reference is explained by withholding it.
  assert.deepEqual(contract.reference, Float64Array.of(Number.NaN, 4))
  assert.deepEqual(parse({ missing: -1 }).reference, Float64Array.of(-1, -1))
})

const wrong: [change: Record<string, unknown>, says: RegExp][] = [
  [{ model_id: '' }, /"model_id"/],
  [{ version: 3 }, /"version"/],
  [{ features: [] }, /"features"/],
  [{ features: ['a', 7] }, /"features"/],
  [{ features: ['a', 'b', 'a'] }, /"a" is listed twice/],
  [{ missing: 'zero' }, /"missing"/],
  [{ missing: null }, /"missing"/],
  [{ output: undefined }, /"output"/],
  [{ sha256: 'abc' }, /"sha256"/],
  [{ reference: { other: 1 } }, /"reference" of "other"/],
  [{ reference: { count: '1' } }, /"reference" of "count"/],
  [{ reference: [1, 2] }, /"reference"/],
]
for (const [change, says] of wrong) {
  test(`refuses ${JSON.stringify(change)}`, () => {
    assert.throws(
      () => parse(change),
      error => isWeirError(error, 'MODEL_CONTRACT') && says.test(error.message),
    )
  })
}

test('refuses what is no JSON object', () => {
  for (const text of ['', '{', '[]', 'null', '"x"']) {
    assert.throws(
      () => parseModelContract(text, 'm.json'),
      error => isWeirError(error, 'MODEL_CONTRACT'),
      text,
    )
  }
})

test('finds the plan columns and names every feature that is absent', () => {
  const contract = parse({})
  assert.deepEqual(featureColumns(contract, ['count', 'other', 'amount']), Int32Array.of(2, 0))
  assert.throws(
    () => featureColumns(parse({ features: ['x', 'count', 'y'] }), ['count']),
    error => isWeirError(error, 'MODEL_CONTRACT') && error.message.includes(': x, y;'),
  )
})

test('a changed byte, an unreadable file and a wrong name are refused', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-model-'))
  t.after(() => rm(dir, { recursive: true }))
  const path = await writeTinyModel(join(dir, 'm'), linearModel([1, 1], [1]))
  assert.equal((await readModel(path)).contract.modelId, 'tiny')

  await assert.rejects(readModel(join(dir, 'm.json')), error => isWeirError(error, 'UNKNOWN_MODEL'))
  await assert.rejects(readModel(join(dir, 'absent.onnx')), error => isWeirError(error, 'UNKNOWN_MODEL'))
  await writeFile(path, 'other bytes')
  await assert.rejects(readModel(path), error => isWeirError(error, 'MODEL_CONTRACT') && /SHA-256/.test(error.message))
  await rm(join(dir, 'm.json'))
  await assert.rejects(readModel(path), error => isWeirError(error, 'UNKNOWN_MODEL'))
})

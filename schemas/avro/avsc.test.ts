import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import avro from 'avsc'

function repositoryRoot(): string {
  let directory = import.meta.dirname
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory)
  return directory
}

type Schema = { fields: { name: string; type: unknown; default?: unknown }[] } & Record<string, unknown>

function schema(name: string): Schema {
  return JSON.parse(readFileSync(join(repositoryRoot(), 'schemas/avro', `${name}.avsc`), 'utf8')) as Schema
}

const typeOf = (value: Schema): avro.Type => avro.Type.forSchema(value as unknown as avro.Schema)

const transaction = {
  transaction_id: 't-1',
  event_time: 1_522_540_831_000,
  customer_id: '596',
  terminal_id: '3156',
  amount_minor: 1_000_000_000_000_000,
  currency: 'EUR',
  card_id: null,
  merchant_id: 'm',
  merchant_category: '5411',
  device_id: null,
  ip_address: null,
  email: null,
  country: 'DE',
  channel: null,
  metadata: { note: 'ü' },
}

const label = {
  transaction_id: 't-1',
  customer_id: '596',
  terminal_id: '3156',
  event_time: 1_522_540_831_000,
  label: 'fraud',
  label_source: 'chargeback',
  available_at: 1_523_145_631_000,
  analyst: null,
}

const decision = {
  decision_id: 'd',
  transaction_id: 't-1',
  customer_id: '596',
  event_time: 1_522_540_831_000,
  decided_at: 1_522_540_831_007,
  outcome: 'review',
  outcome_source: 'model',
  score: 0.625,
  adjusted_score: null,
  risk_level: 'elevated',
  reason_codes: [{ code: 'R1', text: 'much', feature: 'tx_amount', value: 57.25, impact: null }],
  rule_hits: [{ rule_id: 'r', version: 2, outcome: 'review', suppressed: false, error: null }],
  models: [{ model_id: 'm', version: '1', role: 'champion', score: 0.625 }],
  config: { ruleset_version: '1', feature_set_version: '1', policy_version: '1' },
  features: { tx_amount: 57.25 },
  late: false,
  provisional: false,
  degraded: null,
  source: { topic: 'transactions', partition: 0, offset: 7 },
  timings_us: { score: 12 },
}

for (const [name, sample] of Object.entries({ transaction, label, decision })) {
  test(`${name}.avsc is in weir.v1 and carries a sample`, () => {
    const type = typeOf(schema(name))
    assert.equal(type.name, `weir.v1.${name[0]!.toUpperCase()}${name.slice(1)}`)
    assert.deepEqual(JSON.parse(JSON.stringify(type.fromBuffer(type.toBuffer(sample)))), sample)
    assert.deepEqual(
      schema(name).fields.map(field => field.name),
      Object.keys(sample),
    )
  })

  test(`${name}.avsc: optional fields are unions with null, default null`, () => {
    for (const field of schema(name).fields) {
      if (!Array.isArray(field.type)) continue
      assert.equal(field.type[0], 'null', field.name)
      assert.equal(field.default, null, field.name)
    }
  })
}

test('a record written before the optional fields existed is read with their defaults', () => {
  const now = schema('transaction')
  const before = { ...now, fields: now.fields.filter(field => field.default === undefined) }
  const [writer, reader] = [typeOf(before), typeOf(now)]
  const bytes = writer.toBuffer(transaction)
  const read = reader.fromBuffer(bytes, reader.createResolver(writer)) as Record<string, unknown>
  assert.equal(read.currency, 'EUR')
  assert.equal(read.merchant_id, null)
  assert.deepEqual({ ...(read.metadata as object) }, {})
})

test('a field without a default cannot be added', () => {
  const now = schema('label')
  const after = { ...now, fields: [...now.fields, { name: 'added', type: 'string' }] }
  assert.throws(() => typeOf(after).createResolver(typeOf(now)))
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import avro from 'avsc'
import fc from 'fast-check'
import { AssertionError, eventTime, isWeirError } from '../../kernel/index.js'
import type { Decision } from '../../schemas/avro/index.js'
import { schemaText } from '../../schemas/registry/index.js'
import { AvroDecisionEncoder } from './decision-avro.js'
import { DecisionEncoder } from './decision-json.js'
import { decisionFromAvro } from './from-avro.js'
import { decisionFromJson } from './from-json.js'

const hostile = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 64 }).map(codes => String.fromCharCode(...codes)),
  fc.constantFrom('"},"x":{"', '\\', '__proto__', '\ud800', '\n', 'a'.repeat(64), '\u0000'.repeat(64)),
)
const share = fc.double({ min: 0, max: 1, noNaN: true })
const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
/** Up to the greatest that avsc reads. */
const whole = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1 })
const time = fc.integer({ min: 0, max: 4_102_444_800_000 }).map(eventTime)
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })
const outcome = fc.constantFrom('approve' as const, 'review' as const, 'decline' as const)

const features = fc
  .uniqueArray(hostile, { maxLength: 20 })
  .chain(names =>
    fc.tuple(
      fc.constant(names),
      fc.array(fc.oneof(finite, fc.constant(Number.NaN)), { minLength: names.length, maxLength: names.length }),
    ),
  )

const decisions: fc.Arbitrary<Decision> = features.chain(([feature_names, values]) =>
  fc.record({
    decision_id: fc.stringMatching(/^[0-9a-f]{32}$/),
    transaction_id: hostile,
    customer_id: hostile,
    event_time: time,
    outcome,
    outcome_source: fc.constantFrom('model', 'rule', 'list', 'default', 'fallback'),
    score: orNull(share),
    adjusted_score: orNull(share),
    risk_level: fc.constantFrom('normal', 'elevated', 'highest', 'not_assessed'),
    reason_codes: fc.array(
      fc.record({
        code: hostile,
        text: hostile,
        feature: orNull(hostile),
        value: orNull(finite),
        impact: orNull(finite),
      }),
      { maxLength: 4 },
    ),
    rule_hits: fc.array(
      fc.record({ rule_id: hostile, version: whole, outcome, suppressed: fc.boolean(), error: orNull(hostile) }),
      { maxLength: 5 },
    ),
    models: fc.array(
      fc.record({
        model_id: hostile,
        version: hostile,
        role: fc.constantFrom('champion', 'challenger', 'shadow'),
        score: share,
      }),
      { maxLength: 3 },
    ),
    config: fc.record({ ruleset_version: hostile, feature_set_version: hostile, policy_version: hostile }),
    feature_names: fc.constant(feature_names),
    features: fc.constant(values),
    late: fc.boolean(),
    provisional: fc.boolean(),
    degraded: orNull(hostile),
    source: fc.record({ topic: hostile, partition: fc.integer({ min: 0, max: 1_000 }), offset: whole }),
  }),
)

/** The decision as the contract's JSON, by JSON.stringify. */
function referenceLine(
  decision: Decision,
  decidedAtMs: number,
  timings: readonly (readonly [string, number])[],
): string {
  const { feature_names, features: values, score, adjusted_score, rule_hits, degraded, ...rest } = decision
  const iso = (ms: number) => new Date(ms).toISOString()
  return JSON.stringify({
    decision_id: rest.decision_id,
    transaction_id: rest.transaction_id,
    customer_id: rest.customer_id,
    event_time: iso(rest.event_time),
    outcome: rest.outcome,
    outcome_source: rest.outcome_source,
    score: score ?? undefined,
    adjusted_score: adjusted_score ?? undefined,
    risk_level: rest.risk_level,
    reason_codes: rest.reason_codes.map(({ code, text, feature, value, impact }) => {
      return { code, text, feature, value, impact }
    }),
    rule_hits: rule_hits.map(({ rule_id, version, outcome: own, suppressed, error }) => {
      return { rule_id, version, outcome: own, suppressed, error: error ?? undefined }
    }),
    models: rest.models.map(({ model_id, version, role, score: own }) => ({ model_id, version, role, score: own })),
    config: {
      ruleset_version: rest.config.ruleset_version,
      feature_set_version: rest.config.feature_set_version,
      policy_version: rest.config.policy_version,
    },
    features: '%features%',
    late: rest.late,
    provisional: rest.provisional,
    degraded: degraded ?? undefined,
    source: { topic: rest.source.topic, partition: rest.source.partition, offset: rest.source.offset },
    decided_at: iso(decidedAtMs),
    timings_us: Object.fromEntries(timings),
  }).replace('"%features%"', () => {
    // Not through an object: that would move names that look like numbers, and lose __proto__.
    const present = feature_names.flatMap((name, i) => (Number.isNaN(values[i]) ? [] : [[name, values[i]] as const]))
    return `{${present.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`
  })
}

function linesOf(encoder: DecisionEncoder): string[] {
  const { bytes, count, valueStart, valueEnd } = encoder.encoded()
  return Array.from({ length: count }, (_, i) => bytes.toString('utf8', valueStart[i], valueEnd[i]))
}

test('every line is byte for byte what JSON.stringify gives, for any decision', () => {
  const encoder = new DecisionEncoder({ timingNames: ['decode', 'score "x"'] })
  const entry = fc.tuple(decisions, time, orNull(fc.tuple(whole, whole)))
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), entries => {
      encoder.reset()
      for (const [decision, decidedAt, timings] of entries) encoder.append(decision, decidedAt, timings)
      const expected = entries.map(([decision, decidedAt, timings]) => {
        const named = timings === null ? [] : [['decode', timings[0]] as const, ['score "x"', timings[1]] as const]
        return referenceLine(decision, decidedAt, named)
      })
      assert.deepEqual(linesOf(encoder), expected)
      assert.equal(encoder.encoded().bytes.toString('utf8'), expected.map(line => `${line}\n`).join(''))
      assert.deepEqual(
        encoder.encoded().keys,
        entries.map(([decision]) => decision.customer_id),
      )
    }),
    { seed: 5, numRuns: 300 },
  )
})

const plain: Decision = {
  decision_id: '0'.repeat(32),
  transaction_id: 't',
  customer_id: 'c',
  event_time: eventTime(0),
  outcome: 'approve',
  outcome_source: 'default',
  score: null,
  adjusted_score: null,
  risk_level: 'not_assessed',
  reason_codes: [],
  rule_hits: [],
  models: [],
  config: { ruleset_version: 'r', feature_set_version: 'f', policy_version: 'p' },
  feature_names: ['a', 'b'],
  features: [Number.NaN, Number.NaN],
  late: false,
  provisional: false,
  degraded: null,
  source: { topic: 'transactions', partition: 0, offset: 0 },
}

test('a decision with nothing optional, in full', () => {
  const encoder = new DecisionEncoder()
  encoder.append(plain, eventTime(1_522_540_831_007), null)
  assert.deepEqual(linesOf(encoder), [
    '{"decision_id":"00000000000000000000000000000000","transaction_id":"t","customer_id":"c",' +
      '"event_time":"1970-01-01T00:00:00.000Z","outcome":"approve","outcome_source":"default",' +
      '"risk_level":"not_assessed","reason_codes":[],"rule_hits":[],"models":[],' +
      '"config":{"ruleset_version":"r","feature_set_version":"f","policy_version":"p"},"features":{},' +
      '"late":false,"provisional":false,"source":{"topic":"transactions","partition":0,"offset":0},' +
      '"decided_at":"2018-04-01T00:00:31.007Z","timings_us":{}}',
  ])
})

function hashed(decidedAtMs: number, timings: readonly number[] | null, second: Decision): string {
  const encoder = new DecisionEncoder({ timingNames: ['total'] })
  encoder.append(plain, eventTime(decidedAtMs), timings)
  encoder.append(second, eventTime(decidedAtMs + 1), timings)
  const hash = createHash('sha256')
  encoder.hashInto(hash)
  return hash.digest('hex')
}

test('the hash covers everything but the egress stamps (I3)', () => {
  const first = hashed(1, null, plain)
  assert.equal(hashed(86_400_000, [17], plain), first)
  assert.notEqual(hashed(1, null, { ...plain, late: true }), first)
  assert.notEqual(hashed(1, null, { ...plain, source: { ...plain.source, offset: 1 } }), first)
})

test('stamps begin where stampStart says', () => {
  const encoder = new DecisionEncoder()
  for (let i = 0; i < 3; i++) encoder.append({ ...plain, transaction_id: 'x'.repeat(i) }, eventTime(i), null)
  const { bytes, valueEnd } = encoder.encoded()
  for (let i = 0; i < 3; i++) {
    const stamps = bytes.toString('utf8', encoder.stampStart[i], valueEnd[i])
    assert.equal(stamps, `,"decided_at":"1970-01-01T00:00:00.00${i}Z","timings_us":{}}`)
  }
})

test('a reset encoder starts again, and grows past its first buffer', () => {
  const encoder = new DecisionEncoder({ decisionsMax: 1_000 })
  for (let round = 0; round < 2; round++) {
    encoder.reset()
    for (let i = 0; i < 1_000; i++) encoder.append({ ...plain, customer_id: `${round}-${i}` }, eventTime(0), null)
    const parsed = linesOf(encoder).map(line => (JSON.parse(line) as { customer_id: string }).customer_id)
    assert.deepEqual(
      parsed,
      Array.from({ length: 1_000 }, (_, i) => `${round}-${i}`),
    )
    assert.ok(encoder.byteLength > 64 * 1024)
  }
  assert.throws(() => encoder.append(plain, eventTime(0), null), AssertionError)
})

test('an infinite feature is a bug, not a silently missing value', () => {
  const encoder = new DecisionEncoder()
  assert.throws(() => encoder.append({ ...plain, features: [Infinity, 1] }, eventTime(0), null), AssertionError)
})

const decisionType = avro.Type.forSchema(JSON.parse(schemaText('decision')) as avro.Schema)

/** The decision that a line of JSON holds, in the form of avsc's values. */
function fromLine(line: string, decision: Decision): unknown {
  const json = wellFormed(JSON.parse(line)) as Record<string, unknown>
  const hits = json.rule_hits as Record<string, unknown>[]
  // As avsc does it, name by name into an object.
  const features: Record<string, number> = {}
  decision.feature_names.forEach((name, i) => {
    const value = decision.features[i]!
    if (!Number.isNaN(value)) features[wellFormedText(name)] = value
  })
  return plainJson({
    ...json,
    event_time: Date.parse(json.event_time as string),
    decided_at: Date.parse(json.decided_at as string),
    score: json.score ?? null,
    adjusted_score: json.adjusted_score ?? null,
    degraded: json.degraded ?? null,
    rule_hits: hits.map(hit => ({ ...hit, error: hit.error ?? null })),
    features,
  })
}

/** UTF-8 has no half of a surrogate pair; JSON can write one. */
const wellFormedText = (text: string): string => Buffer.from(text).toString()

function wellFormed(value: unknown): unknown {
  if (typeof value === 'string') return wellFormedText(value)
  if (Array.isArray(value)) return value.map(wellFormed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, wellFormed(inner)]))
}

const plainJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('Avro: framed values that a plain Avro library reads as what the JSON says, for any decision', () => {
  const options = { timingNames: ['decode', 'score "x"'] }
  const asJson = new DecisionEncoder(options)
  const asAvro = new AvroDecisionEncoder({ ...options, schemaId: 0x01020304 })
  const entry = fc.tuple(decisions, time, orNull(fc.tuple(whole, whole)))
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), entries => {
      for (const encoder of [asJson, asAvro]) {
        encoder.reset()
        for (const [decision, decidedAt, timings] of entries) encoder.append(decision, decidedAt, timings)
      }
      const lines = linesOf(asJson)
      const { bytes, count, keys, valueStart, valueEnd } = asAvro.encoded()
      assert.equal(count, entries.length)
      let at = 0
      for (let i = 0; i < count; i++) {
        const value = bytes.subarray(valueStart[i], valueEnd[i])
        assert.deepEqual([...value.subarray(0, 5)], [0, 1, 2, 3, 4])
        assert.deepEqual(plainJson(decisionType.fromBuffer(value.subarray(5))), fromLine(lines[i]!, entries[i]![0]))
        assert.equal(valueStart[i], at)
        assert.equal(bytes[valueEnd[i]!], 0x0a)
        at = valueEnd[i]! + 1
      }
      assert.equal(bytes.length, at)
      assert.deepEqual(
        keys,
        entries.map(([decision]) => decision.customer_id),
      )
    }),
    { seed: 6, numRuns: 150 },
  )
})

function hashedAvro(
  schemaId: number,
  decidedAtMs: number,
  timings: readonly number[] | null,
  second: Decision,
): string {
  const encoder = new AvroDecisionEncoder({ schemaId, timingNames: ['total'] })
  encoder.append(plain, eventTime(decidedAtMs), timings)
  encoder.append(second, eventTime(decidedAtMs + 1), timings)
  const hash = createHash('sha256')
  encoder.hashInto(hash)
  return hash.digest('hex')
}

test('Avro: the hash covers everything but the egress stamps and the schema id (I3)', () => {
  const first = hashedAvro(1, 1, null, plain)
  assert.equal(hashedAvro(77_777, 86_400_000, [17], plain), first)
  assert.notEqual(hashedAvro(1, 1, null, { ...plain, late: true }), first)
  assert.notEqual(hashedAvro(1, 1, null, { ...plain, event_time: eventTime(1) }), first)
  assert.notEqual(hashedAvro(1, 1, null, { ...plain, source: { ...plain.source, offset: 1 } }), first)
})

test('Avro: a reset encoder starts again, and grows past its first buffer', () => {
  const encoder = new AvroDecisionEncoder({ schemaId: 1, decisionsMax: 1_000 })
  for (let round = 0; round < 2; round++) {
    encoder.reset()
    for (let i = 0; i < 1_000; i++) encoder.append({ ...plain, customer_id: `${round}-${i}` }, eventTime(0), null)
    const { bytes, count, valueStart, valueEnd } = encoder.encoded()
    const decoded = Array.from({ length: count }, (_, i) => {
      const value = bytes.subarray(valueStart[i]! + 5, valueEnd[i])
      return (decisionType.fromBuffer(value) as { customer_id: string }).customer_id
    })
    assert.deepEqual(
      decoded,
      Array.from({ length: 1_000 }, (_, i) => `${round}-${i}`),
    )
    assert.ok(bytes.length > 64 * 1024)
  }
  assert.throws(() => encoder.append(plain, eventTime(0), null), AssertionError)
  const other = new AvroDecisionEncoder({ schemaId: 1 })
  assert.throws(() => other.append({ ...plain, features: [Infinity, 1] }, eventTime(0), null), AssertionError)
})

test('Avro: a decision is read back as from its JSON', () => {
  const decision: Decision = {
    ...plain,
    score: 0.25,
    features: [1.5, Number.NaN],
    reason_codes: [{ code: 'R', text: 'much', feature: 'a', value: 1.5, impact: null }],
    rule_hits: [{ rule_id: 'r', version: 3, outcome: 'review', suppressed: true, error: null }],
  }
  const asJson = new DecisionEncoder()
  const asAvro = new AvroDecisionEncoder({ schemaId: 1 })
  for (const encoder of [asJson, asAvro]) encoder.append(decision, eventTime(7), null)
  const { bytes, valueStart, valueEnd } = asAvro.encoded()
  const read = decisionFromAvro()
  const fromAvro = read(bytes.subarray(valueStart[0], valueEnd[0])) as unknown as Record<string, unknown>
  const fromJson = decisionFromJson(Buffer.from(linesOf(asJson)[0]!)) as unknown as Record<string, unknown>
  assert.deepEqual(plainJson(fromAvro), plainJson({ ...fromJson, decided_at: 7 }))
  assert.throws(
    () => read(Buffer.from('\0....x')),
    error => isWeirError(error, 'MALFORMED_RECORD'),
  )
})

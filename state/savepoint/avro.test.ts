import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ByteReader, ByteWriter } from '../../kernel/index.js'
import type { StateCodec } from '../handles.js'
import { avroCodec, resolve, whyUnresolvable } from './avro.js'

interface Limits {
  readonly name: string
  readonly daily: number
  readonly seen: number
  readonly share: number
  readonly note: string | null
  readonly past: readonly { readonly at: number; readonly amount: number }[]
  readonly tier: 'basic' | 'gold'
  readonly raw: Buffer
  readonly active: boolean
}

const schema = {
  type: 'record',
  name: 'Limits',
  namespace: 'example',
  doc: 'what is kept of a customer',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'daily', type: 'long' },
    { name: 'seen', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'share', type: 'double', doc: 'from 0 to 1' },
    { name: 'note', type: ['null', 'string'], default: null },
    {
      name: 'past',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Past',
          fields: [
            { name: 'at', type: 'long' },
            { name: 'amount', type: 'int' },
          ],
        },
      },
    },
    { name: 'tier', type: { type: 'enum', name: 'Tier', symbols: ['basic', 'gold'] } },
    { name: 'raw', type: 'bytes' },
    { name: 'active', type: 'boolean' },
  ],
} as const

const codec = avroCodec<Limits>(schema)
const value: Limits = {
  name: 'Zoë',
  daily: 2 ** 50,
  seen: 1_700_000_000_000,
  share: 0.1,
  note: null,
  past: [{ at: 1, amount: -2 }],
  tier: 'gold',
  raw: Buffer.of(1, 2),
  active: true,
}

function bytesOf<V>(of: StateCodec<V>, what: V): Buffer {
  const into = new ByteWriter()
  of.encode(what, into)
  return into.take()
}
/** As plain JSON: avsc makes records of its own class. */
const plain = (what: unknown): unknown => JSON.parse(JSON.stringify(what))

describe('avroCodec', () => {
  it('gives back what it takes, and equal values have equal bytes', () => {
    const text = fc.string({ unit: 'binary' })
    const int = fc.integer()
    const arbitrary = fc.record<Limits>({
      name: text,
      daily: fc.maxSafeInteger().map(n => Math.trunc(n / 2) + 0),
      seen: fc.nat(),
      share: fc.double({ noNaN: true }),
      note: fc.option(text),
      past: fc.array(fc.record({ at: fc.nat(), amount: int })),
      tier: fc.constantFrom('basic', 'gold'),
      raw: fc.uint8Array().map(bytes => Buffer.from(bytes)),
      active: fc.boolean(),
    })
    fc.assert(
      fc.property(arbitrary, limits => {
        assert.ok(codec.accepts!(limits))
        const bytes = bytesOf(codec, limits)
        const from = new ByteReader(Buffer.concat([bytes, Buffer.of(7)]))
        const back = codec.decode(from)
        assert.equal(from.remaining, 1, 'what follows is another value')
        assert.deepEqual(plain(back), plain(limits))
        assert.ok(Object.is(back.share, limits.share))
        assert.deepEqual(bytesOf(codec, back), bytes)
        const turned = Object.fromEntries(Object.entries(limits).reverse()) as unknown as Limits
        assert.deepEqual(bytesOf(codec, turned), bytes, 'in whatever order the fields were set')
      }),
    )
  })

  it('takes nothing that would come back as something else', () => {
    const { note: _, ...lacking } = value
    const wrong: unknown[] = [
      lacking,
      { ...value, note: undefined },
      { ...value, extra: 1 },
      { ...value, name: '\ud800' },
      { ...value, daily: 1.5 },
      { ...value, daily: 2 ** 52 },
      { ...value, daily: -0 },
      { ...value, seen: -0 },
      { ...value, share: Number.NaN },
      { ...value, tier: 'silver' },
      { ...value, past: [{ at: 1 }] },
      { ...value, past: [{ at: 1, amount: 2 ** 31 }] },
      { ...value, past: new Array(1) },
      { ...value, raw: 'text' },
      { ...value, raw: new Uint8Array(1) },
      { ...value, active: 1 },
      null,
      [],
      'x',
    ]
    assert.ok(codec.accepts!(value))
    for (const candidate of wrong) assert.equal(codec.accepts!(candidate as Limits), false, JSON.stringify(candidate))
    const float = avroCodec<number>('float')
    assert.deepEqual(
      [0.5, 0.1, Number.NaN].map(n => float.accepts!(n)),
      [true, false, false],
    )
  })

  it('has a name that changes with the schema, and not with the way it is written', () => {
    const text = JSON.stringify(schema, undefined, 2)
    const turned = JSON.stringify(Object.fromEntries(Object.entries(schema).reverse()))
    for (const same of [text, turned]) {
      assert.equal(avroCodec(same).name, codec.name)
      assert.equal(avroCodec(same).schema, codec.schema)
    }
    assert.ok(!codec.schema!.includes('what is kept'))
    const [name, ...rest] = schema.fields
    assert.notEqual(avroCodec({ ...schema, fields: [...rest, name] }).name, codec.name)
    assert.notEqual(avroCodec({ ...schema, fields: [{ ...name, default: 'x' }, ...rest] }).name, codec.name)
  })

  it('reads a schema that holds itself', () => {
    const list = avroCodec<unknown>({
      type: 'record',
      name: 'List',
      fields: [
        { name: 'head', type: 'int' },
        { name: 'tail', type: ['null', 'List'] },
      ],
    })
    const two = { head: 1, tail: { head: 2, tail: null } }
    assert.ok(list.accepts!(two))
    assert.ok(!list.accepts!({ head: 1, tail: { head: 2 } }))
    assert.deepEqual(plain(list.decode(new ByteReader(bytesOf(list, two)))), two)
  })

  it('refuses what state cannot hold, and what is no schema', () => {
    for (const bad of [
      { type: 'map', values: 'int' },
      {
        type: 'record',
        name: 'R',
        fields: [{ name: 'm', type: { type: 'array', items: { type: 'map', values: 'int' } } }],
      },
      ['null', 'int', 'long'],
      { type: 'record', name: 'R' },
      'nothing',
      '{"type"',
    ]) {
      assert.throws(() => avroCodec(bad as never), { code: 'INVALID_STATE_SCHEMA' }, JSON.stringify(bad))
    }
  })
})

describe('resolution of values', () => {
  const record = (...fields: unknown[]): string => avroCodec({ type: 'record', name: 'R', fields }).schema!
  const [a, b] = [
    { name: 'a', type: 'int' },
    { name: 'b', type: 'string' },
  ]
  const resolved = (from: string, to: string, what: unknown): unknown =>
    plain(avroCodec(to).decode(new ByteReader(resolve(from, to)(bytesOf(avroCodec(from), what)))))

  it('follows the rules of Avro', () => {
    const cases: [string, string, unknown, unknown][] = [
      [record(a, b), record(b, a), { a: 1, b: 'x' }, { b: 'x', a: 1 }],
      [record(a, b), record(a), { a: 1, b: 'x' }, { a: 1 }],
      [record(a), record(a, { ...b, default: 'new' }), { a: 1 }, { a: 1, b: 'new' }],
      [record(a), record({ name: 'n', type: 'long', aliases: ['a'] }), { a: 1 }, { n: 1 }],
      [record(a), record({ name: 'a', type: ['null', 'int'] }), { a: 1 }, { a: 1 }],
      ['"int"', '"double"', 3, 3],
      [
        record(a),
        '{"type":"record","name":"S","aliases":["R"],"fields":[{"name":"a","type":"int"}]}',
        { a: 1 },
        { a: 1 },
      ],
    ]
    for (const [from, to, before, after] of cases) {
      assert.equal(whyUnresolvable(from, to), undefined)
      assert.deepEqual(resolved(from, to, before), after, to)
    }
  })

  it('says why not', () => {
    for (const [from, to] of [
      [record(a), record(a, b)],
      [record(a), record({ name: 'a', type: 'string' })],
      ['"long"', '"int"'],
      ['{"type":"enum","name":"E","symbols":["A","B"]}', '{"type":"enum","name":"E","symbols":["A"]}'],
    ] as const) {
      assert.match(whyUnresolvable(from, to) ?? '', /^by the rules of Avro the new schema cannot read the old one: ./)
    }
  })

  it('fails on a value without telling it', () => {
    const change = resolve('"double"', '"double"')
    assert.throws(() => change(bytesOf(avroCodec<number>('double'), Number.NaN)), {
      message: 'a value has no exact form in the new schema',
    })
    assert.throws(() => change(Buffer.from('\x06abc')), { message: 'a value cannot be read by the new schema' })
  })
})

/** Codecs: what is accepted reads back as itself, equal values have equal bytes, and the rest is refused when it is set. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ByteReader, ByteWriter } from '../kernel/index.js'
import { booleanCodec, bytesCodec, f64Codec, intCodec, listOf, optional, recordOf, stringCodec } from './codecs.js'
import { checkAccepted, type StateCodec } from './handles.js'

function bytesOf<V>(codec: StateCodec<V>, value: V): Buffer {
  const into = new ByteWriter()
  codec.encode(value, into)
  return into.take()
}

function readsBack<V>(codec: StateCodec<V>, values: fc.Arbitrary<V>): void {
  fc.assert(
    fc.property(values, value => {
      assert.equal(codec.accepts?.(value), true)
      const bytes = bytesOf(codec, value)
      const from = new ByteReader(bytes)
      const read = codec.decode(from)
      assert.deepStrictEqual(read, value)
      assert.equal(from.remaining, 0)
      assert.deepEqual(bytesOf(codec, read), bytes)
    }),
  )
}

const texts = fc.string({ unit: 'binary' })
const ints = fc.oneof(
  fc.maxSafeInteger().filter(n => Math.abs(n) < 2 ** 52 && !Object.is(n, -0)),
  fc.constantFrom(0, -(2 ** 52), 2 ** 52 - 1),
)
const person = recordOf<{ name: string; age: number | null; scores: readonly number[]; ok: boolean; raw: Uint8Array }>({
  name: stringCodec,
  age: optional(intCodec),
  scores: listOf(f64Codec),
  ok: booleanCodec,
  raw: bytesCodec,
})

describe('what a codec accepts reads back as itself', () => {
  it('text', () => readsBack(stringCodec, texts))
  it('doubles', () => readsBack(f64Codec, fc.double()))
  it('whole numbers', () => readsBack(intCodec, ints))
  it('booleans', () => readsBack(booleanCodec, fc.boolean()))
  it('bytes', () => readsBack(bytesCodec, fc.uint8Array()))
  it('lists', () => readsBack(listOf(intCodec), fc.array(ints)))
  it('what may be null', () => readsBack(optional(stringCodec), fc.option(texts)))
  it('records', () =>
    readsBack(
      person,
      fc.record(
        {
          name: texts,
          age: fc.option(ints),
          scores: fc.array(fc.double()),
          ok: fc.boolean(),
          raw: fc.uint8Array(),
        },
        { noNullPrototype: true },
      ),
    ))
})

describe('a codec refuses', () => {
  const refused = <V>(codec: StateCodec<V>, ...values: readonly unknown[]): void => {
    for (const value of values) assert.equal(codec.accepts?.(value as V), false, `${codec.name} ${String(value)}`)
  }
  it('what is of another type or cannot be told from another value', () => {
    refused(stringCodec, 1, null, undefined, 'a\ud800')
    refused(f64Codec, '1', null, 1n)
    refused(intCodec, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 52, -(2 ** 52) - 1, -0, '1', 1n, undefined)
    refused(booleanCodec, 0, 'true', undefined)
    refused(bytesCodec, [1], 'x', Buffer.of(1), new Uint8ClampedArray(1))
    refused(listOf(intCodec), [1, 0.5], 1, 'ab', null, new Array(2))
    refused(optional(intCodec), undefined, 0.5)
    refused(person, null, 1, { name: 'a', age: null, scores: ['1'], ok: true, raw: new Uint8Array() }, { name: 'a' })
  })

  it('a record with a field more, which would be gone when it is read back', () => {
    const point = recordOf<{ x: number }>({ x: intCodec })
    assert.equal(point.accepts?.({ x: 1 }), true)
    refused(point, { x: 1, y: 2 }, { y: 1 }, Object.create({ x: 1 }))
  })
})

it('every NaN has the same bytes, and -0 is not 0', () => {
  const other = new Float64Array(new BigUint64Array([0x7ff8_0000_0000_0001n]).buffer)[0]!
  assert.deepEqual(bytesOf(f64Codec, other), bytesOf(f64Codec, Number.NaN))
  assert.notDeepEqual(bytesOf(f64Codec, -0), bytesOf(f64Codec, 0))
})

it('a refusal says what it was that looks like another value', () => {
  assert.throws(() => checkAccepted('n', intCodec, -0), { message: "state 'n': int does not take number -0" })
  assert.throws(() => checkAccepted('raw', bytesCodec, Buffer.from('secret')), {
    message: "state 'raw': bytes does not take a Buffer of 6 bytes",
  })
})

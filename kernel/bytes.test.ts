import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { AssertionError, ByteReader, ByteWriter } from './index.js'

const written = (write: (into: ByteWriter) => void): Buffer => {
  const into = new ByteWriter(1)
  write(into)
  return into.take()
}

type Field =
  | { readonly kind: 'u8' | 'u16be' | 'u32' | 'f64' | 'varint' | 'zigzag'; readonly value: number }
  | { readonly kind: 'bytes' | 'blob'; readonly value: Uint8Array }
  | { readonly kind: 'string'; readonly value: string }

const put = (into: ByteWriter, field: Field): void => {
  if (typeof field.value === 'number') into[field.kind as 'u8'](field.value)
  else if (typeof field.value === 'string') into.string(field.value)
  else into[field.kind as 'blob'](field.value)
}

const get = (from: ByteReader, field: Field): unknown =>
  field.kind === 'bytes' ? from.bytes(field.value.length) : from[field.kind]()

const asWritten = (field: Field): unknown =>
  field.value instanceof Uint8Array ? Buffer.from(field.value) : field.value

const integer = (min: number, max: number) => fc.maxSafeInteger().map(n => Math.min(max, Math.max(min, n)))
const anyField: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant('u16be' as const), value: fc.integer({ min: 0, max: 65_535 }) }),
  fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
  fc.record({ kind: fc.constant('f64' as const), value: fc.double() }),
  fc.record({ kind: fc.constant('varint' as const), value: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('zigzag' as const), value: integer(-(2 ** 52), 2 ** 52 - 1) }),
  fc.record({ kind: fc.constantFrom('bytes' as const, 'blob' as const), value: fc.uint8Array({ maxLength: 300 }) }),
  fc.record({ kind: fc.constant('string' as const), value: fc.string({ unit: 'binary', maxLength: 100 }) }),
)

describe('ByteWriter and ByteReader', () => {
  it('read back whatever was written, in order, to the last byte', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 30 }), fields => {
        const bytes = written(into => {
          for (const field of fields) put(into, field)
        })
        const from = new ByteReader(bytes)
        for (const field of fields) assert.deepEqual(get(from, field), asWritten(field))
        assert.equal(from.remaining, 0)
        assert.equal(from.position, bytes.length)
      }),
    )
  })

  it('never read past the end: any cut of what was written is a RangeError before a wrong value', () => {
    fc.assert(
      fc.property(fc.array(anyField, { minLength: 1, maxLength: 8 }), fc.nat(), (fields, cutSeed) => {
        const bytes = written(into => {
          for (const field of fields) put(into, field)
        })
        fc.pre(bytes.length > 0)
        // Bytes behind the end must not be seen either.
        const from = new ByteReader(bytes, 0, cutSeed % bytes.length)
        assert.throws(() => {
          for (const field of fields) assert.deepEqual(get(from, field), asWritten(field))
          if (from.remaining === 0) throw new RangeError('all that is left was empty')
        }, RangeError)
      }),
    )
  })

  it('write numbers in the documented bytes', () => {
    assert.equal(written(into => into.u16be(0x0102)).toString('hex'), '0102')
    assert.equal(written(into => into.u32(0x01020304)).toString('hex'), '04030201')
    assert.equal(written(into => into.u32(-1)).toString('hex'), 'ffffffff')
    assert.equal(written(into => into.f64(1)).toString('hex'), '000000000000f03f')
    assert.equal(written(into => into.varint(0)).toString('hex'), '00')
    assert.equal(written(into => into.varint(127)).toString('hex'), '7f')
    assert.equal(written(into => into.varint(300)).toString('hex'), 'ac02')
    assert.equal(written(into => into.zigzag(-1)).toString('hex'), '01')
    assert.equal(written(into => into.zigzag(1)).toString('hex'), '02')
    assert.equal(written(into => into.string('é')).toString('hex'), '02c3a9')
    assert.equal(written(into => into.blob(Buffer.from([7]))).toString('hex'), '0107')
  })

  for (const value of [0, -1, 1, 63, 64, -64, -65, 2 ** 31, -(2 ** 31), 2 ** 52 - 1, -(2 ** 52)]) {
    it(`zigzag keeps ${value}`, () => {
      assert.equal(new ByteReader(written(into => into.zigzag(value))).zigzag(), value)
    })
  }

  for (const value of [2 ** 53 - 1, 2 ** 49, 2 ** 49 - 1, 2 ** 32, 2 ** 32 - 1]) {
    it(`varint keeps ${value}`, () => {
      const bytes = written(into => into.varint(value))
      assert.ok(bytes.length <= 8)
      assert.equal(new ByteReader(bytes).varint(), value)
    })
  }

  for (const value of [-1, 2 ** 53, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`varint of ${value} is a bug, caught on write`, () => {
      assert.throws(() => written(into => into.varint(value)), AssertionError)
    })
  }

  for (const value of [2 ** 52, -(2 ** 52) - 1, 0.25]) {
    it(`zigzag of ${value} is a bug, caught on write`, () => {
      assert.throws(() => written(into => into.zigzag(value)), AssertionError)
    })
  }

  it('refuse a varint that no writer makes', () => {
    assert.throws(() => new ByteReader(Buffer.from('ffffffffffffff7f', 'hex')).varint(), /beyond 2\^53 - 1/)
    assert.throws(() => new ByteReader(Buffer.alloc(20, 0x80)).varint(), /too long/)
    assert.throws(() => new ByteReader(Buffer.alloc(3, 0x80)).varint(), /past the end/)
  })

  it('refuse a length beyond the end', () => {
    assert.throws(() => new ByteReader(written(into => into.varint(1e12))).blob(), RangeError)
    assert.throws(() => new ByteReader(written(into => into.varint(3))).string(), RangeError)
    assert.throws(() => new ByteReader(Buffer.alloc(7)).f64(), RangeError)
    assert.throws(() => new ByteReader(Buffer.alloc(4)).bytes(-1), RangeError)
  })

  it('keep an unpaired surrogate as U+FFFD and its neighbours intact', () => {
    const from = new ByteReader(written(into => into.string('a\ud800b')))
    assert.equal(from.string(), 'a\ufffdb')
    assert.equal(from.remaining, 0)
  })

  it('read a part of a larger buffer, by Uint8Array view or by start and end', () => {
    const whole = Buffer.from([9, 9, 1, 2, 9])
    const view = new Uint8Array(whole.buffer, whole.byteOffset + 2, 2)
    for (const from of [new ByteReader(view), new ByteReader(whole, 2, 4)]) {
      assert.deepEqual([from.u8(), from.u8(), from.remaining], [1, 2, 0])
      assert.throws(() => from.u8(), RangeError)
    }
  })
})

describe('ByteWriter', () => {
  it('take() copies and empties; view() does not', () => {
    const into = new ByteWriter(2)
    into.string('hello')
    assert.equal(into.view().length, into.length)
    const first = into.take()
    assert.equal(into.length, 0)
    into.string('HELLO')
    assert.equal(new ByteReader(first).string(), 'hello')
    into.reset()
    assert.equal(into.view().length, 0)
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ByteReader, ByteWriter } from '../kernel/index.js'
import { booleanCodec, bytesCodec, f64Codec, intCodec, listOf, optional, recordOf, stringCodec } from './codecs.js'
import type { StateCodec } from './handles.js'
import {
  KeyWriter,
  keyGroupOf,
  keyGroupRange,
  keyGroupsFor,
  lengthPrefixed,
  parseKey,
  prefixRange,
  space,
  stepPrefix,
} from './keys.js'
import { compareUtf8, wellFormed } from './order.js'

const none = new Uint8Array(0)
const anyKey = fc.string({
  unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.constantFrom('\0', '\uffff', '😀')),
  maxLength: 90,
})

describe('keys', () => {
  it('strings compare as their bytes do', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        const bytes = Buffer.from(a).compare(Buffer.from(b))
        assert.equal(Math.sign(compareUtf8(wellFormed(a), wellFormed(b))), bytes)
      }),
    )
    assert.equal(wellFormed('a\ud800b'), 'a\ufffdb')
  })

  it('a key comes apart into what it was made of, whatever its length', () => {
    const writer = new KeyWriter()
    const handle = lengthPrefixed('handle')
    fc.assert(
      fc.property(anyKey, anyKey, fc.nat(0xffff), (rawKey, rawId, group) => {
        const [key, id] = [wellFormed(rawKey).repeat(9), wellFormed(rawId).repeat(9)]
        writer.begin(stepPrefix(none, space.entry, 'step'), group, key)
        const parsed = parseKey(writer.part(handle, id), 1)
        assert.deepEqual([parsed.step, parsed.group, parsed.key], ['step', group, key])
        assert.deepEqual(parsed.rest, Buffer.concat([handle, Buffer.of(1), Buffer.from(id)]))
      }),
    )
  })

  it('no key of one step, key or handle lies among the parts of another', () => {
    const writer = new KeyWriter()
    fc.assert(
      fc.property(anyKey, anyKey, (rawA, rawB) => {
        const [a, b] = [wellFormed(rawA), wellFormed(rawB)]
        fc.pre(a !== b)
        writer.begin(stepPrefix(none, space.entry, 's'), 1, a)
        const { gte, lt } = writer.parts(lengthPrefixed('h'))
        writer.begin(stepPrefix(none, space.entry, 's'), 1, b)
        for (const key of [writer.root(lengthPrefixed('h')), writer.part(lengthPrefixed('h'), 'x')]) {
          assert.ok(key.compare(gte) < 0 || key.compare(lt) >= 0)
        }
      }),
    )
  })

  it('a key group of a step is one range', () => {
    const writer = new KeyWriter()
    for (const group of [0, 1, 254, 255, 256, 0xfffe, 0xffff]) {
      const { gte, lt } = keyGroupRange(none, 'step', group).entries
      for (const other of [group - 1, group, group + 1]) {
        if (other < 0 || other > 0xffff) continue
        for (const key of ['', '\uffff'.repeat(50)]) {
          writer.begin(stepPrefix(none, space.entry, 'step'), other, key)
          const at = writer.root(lengthPrefixed('h'))
          assert.equal(at.compare(gte) >= 0 && at.compare(lt) < 0, other === group)
        }
      }
    }
    assert.deepEqual(prefixRange(Buffer.of(1, 0xff, 0xff)).lt, Buffer.of(2))
  })

  it('key groups are the largest multiple of the partitions not above 1,024, and lie in one partition each', () => {
    assert.deepEqual(
      [1, 3, 4, 7, 512, 513, 1_024, 1_500].map(keyGroupsFor),
      [1_024, 1_023, 1_024, 1_022, 1_024, 513, 1_024, 1_500],
    )
    for (const partitions of [3, 7, 12]) {
      for (let i = 0; i < 200; i++) {
        const key = Buffer.from(`customer ${i}`)
        assert.equal(keyGroupOf(key, keyGroupsFor(partitions)) % partitions, keyGroupOf(key, partitions))
      }
    }
    // murmur2 of Kafka's own tests: Utils.murmur2("foobar") is -790332482
    assert.equal(keyGroupOf(Buffer.from('foobar'), 1_000_000), (-790332482 & 0x7fffffff) % 1_000_000)
  })
})

describe('codecs', () => {
  const roundTrips = <V>(codec: StateCodec<V>, values: fc.Arbitrary<V>): void => {
    fc.assert(
      fc.property(values, value => {
        const into = new ByteWriter()
        codec.encode(value, into)
        const bytes = into.take()
        const from = new ByteReader(bytes)
        const back = codec.decode(from)
        assert.deepEqual(back, value)
        assert.equal(from.remaining, 0)
        codec.encode(back, into)
        assert.deepEqual(into.take(), bytes)
      }),
    )
  }

  it('bring every value back exactly', () => {
    roundTrips(stringCodec, fc.string({ unit: 'grapheme' }))
    roundTrips(f64Codec, fc.double())
    roundTrips(intCodec, fc.integer({ min: -(2 ** 52), max: 2 ** 52 - 1 }))
    roundTrips(booleanCodec, fc.boolean())
    roundTrips(bytesCodec, fc.uint8Array())
    roundTrips(listOf(intCodec), fc.array(fc.integer()))
    roundTrips(optional(stringCodec), fc.option(fc.string()))
    roundTrips(
      recordOf({ name: stringCodec, at: f64Codec }),
      fc.record({ name: fc.string(), at: fc.double() }, { noNullPrototype: true }),
    )
  })

  it('names say what they are made of', () => {
    assert.equal(
      recordOf({ a: optional(listOf(intCodec)), b: stringCodec }).name,
      'record<a:optional<list<int@1>@1>@1,b:string@1>',
    )
  })
})

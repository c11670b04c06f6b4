import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { isWeirError } from '../../../kernel/index.js'
import type { AppendRecord, EncodedRecords } from '../../port.js'
import { loadLibrary } from '../library.js'
import { AbortFilter } from './abort-filter.js'
import { type Decoded, decodeRecords, headersAt, type Run } from './decode.js'
import { BatchEncoder, checkSizes, plainProducer, type Records } from './encode.js'
import { attribute, batchHeaderBytes, field } from './format.js'

let checksum: (bytes: Buffer) => number
before(async () => {
  checksum = (await loadLibrary()).checksum
})

const bytesMax = 1 << 20

interface BatchOptions {
  readonly at?: number
  readonly producerId?: number
  readonly attributes?: number
  /** Leaves the records as they are, compressed say. */
  readonly body?: (plain: Buffer) => Buffer
}

/** A batch as a broker would store it. */
function batch(records: Records, { at = 0, producerId = -1, attributes = 0, body }: BatchOptions = {}): Buffer {
  const encoder = new BatchEncoder()
  encoder.begin(bytesMax)
  assert.equal(encoder.add(records, 0), 'count' in records ? records.count : records.length)
  const plain = Buffer.from(encoder.finish({ ...plainProducer, producerId }, 1_700_000_000_000, checksum))
  const parts = [plain.subarray(0, batchHeaderBytes), plain.subarray(batchHeaderBytes)]
  const bytes = Buffer.concat([parts[0]!, body?.(parts[1]!) ?? parts[1]!])
  bytes.writeBigInt64BE(BigInt(at), field.baseOffset)
  bytes.writeInt16BE(attributes, field.attributes)
  return sealed(bytes)
}

function sealed(bytes: Buffer): Buffer {
  bytes.writeInt32BE(bytes.length - 12, field.length)
  bytes.writeUInt32BE(checksum(bytes.subarray(field.attributes)), field.crc)
  return bytes
}

const decode = (bytes: Buffer, from = 0, aborted: { producerId: number; firstOffset: number }[] = []): Decoded =>
  decodeRecords(bytes, from, {
    where: 't/0',
    filter: new AbortFilter(aborted),
    checksum,
    decompressedBytesMax: bytesMax,
  })

const text = (value: string | null): AppendRecord => ({ key: null, value: value === null ? null : Buffer.from(value) })

function* recordsOf({ runs }: Decoded) {
  for (const run of runs) for (let i = 0; i < run.count; i++) yield recordOf(run, i)
}

function recordOf(run: Run, i: number) {
  const slice = (start: Int32Array, end: Int32Array): string | null =>
    start[i]! < 0 ? null : run.bytes.toString('utf8', start[i], end[i])
  return {
    offset: run.baseOffset + run.offsetDelta[i]!,
    key: slice(run.keyStart, run.keyEnd),
    value: slice(run.valueStart, run.valueEnd),
    headers: headersAt(run.bytes, run.headersStart[i]!).map(({ name, value }) => [name, value.toString()]),
    timestampMs: run.timestampMs[i],
  }
}

const valuesOf = (decoded: Decoded) => [...recordsOf(decoded)].map(({ offset, value }) => [offset, value])

describe('record batches', () => {
  it('decode to what was encoded, whatever it is', () => {
    const bytes = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null })
    const ascii = fc.string({ maxLength: 20 })
    const header = fc.record({ name: fc.oneof(ascii, fc.constant('größe')), value: fc.uint8Array({ maxLength: 200 }) })
    const record = fc.record({ key: bytes, value: bytes, headers: fc.array(header, { maxLength: 3 }) })
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 200 }), fc.nat(), (records, at) => {
        const decoded = decode(batch(records, { at }), at)
        const expected = records.map(({ key, value, headers }, i) => ({
          offset: at + i,
          key: key === null ? null : Buffer.from(key).toString(),
          value: value === null ? null : Buffer.from(value).toString(),
          headers: headers.map(each => [each.name, Buffer.from(each.value).toString()]),
          timestampMs: 1_700_000_000_000,
        }))
        assert.deepEqual([...recordsOf(decoded)], expected)
        assert.equal(decoded.next, at + records.length)
      }),
      { seed: 5, numRuns: 60 },
    )
  })

  it('that become more than the bound are not held, and each of their records is told of', () => {
    const three = ['one', 'two', 'x'.repeat(3_000)].map(text)
    const body = (plain: Buffer) => gzipSync(plain)
    const bomb = batch(three, { at: 10, attributes: 1, body })
    const decodeIn = (from: number, decompressedBytesMax: number, bytes = bomb): Decoded =>
      decodeRecords(bytes, from, { where: 't/0', filter: new AbortFilter([]), checksum, decompressedBytesMax })
    assert.equal(decodeIn(10, 4_000).runs[0]!.unread, undefined)
    const { runs, next } = decodeIn(11, 2_000)
    assert.deepEqual([runs.length, next, runs[0]!.next], [1, 13, 13])
    assert.match(runs[0]!.unread!, /more than 2000 bytes/)
    assert.deepEqual(
      [...recordsOf({ runs, next, lastEpoch: 0 })],
      [11, 12].map(offset => ({ offset, key: null, value: null, headers: [], timestampMs: 1_700_000_000_000 })),
    )
    // Which records a compacted batch has left is not known.
    const compacted = Buffer.from(bomb)
    compacted.writeInt32BE(7, field.lastOffsetDelta)
    assert.throws(
      () => decodeIn(10, 2_000, sealed(compacted)),
      error => isWeirError(error, 'LOG_CORRUPT'),
    )
    // Damage is no length.
    const damaged = batch(three, { attributes: 1, body: plain => gzipSync(plain).fill(0x55, 12) })
    assert.throws(
      () => decodeIn(0, 2_000, damaged),
      error => isWeirError(error, 'LOG_CORRUPT'),
    )
  })

  it('hold encoded records too, with keys beyond ASCII', () => {
    const values = Buffer.from('one\ntwo\n\n')
    const run: EncodedRecords = {
      kind: 'encoded',
      count: 3,
      bytes: values,
      valueStart: Int32Array.of(0, 4, 8),
      valueEnd: Int32Array.of(3, 7, 8),
      keys: ['k', 'schlüssel-😀', ''],
    }
    const decoded = [...recordsOf(decode(batch(run)))]
    assert.deepEqual(
      decoded.map(({ key, value }) => [key, value]),
      [
        ['k', 'one'],
        ['schlüssel-😀', 'two'],
        ['', ''],
      ],
    )
  })

  it('never exceed their bound; what passed the check fits', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(sizes, lengths => {
        const records = lengths.map(length => text('v'.repeat(length)))
        checkSizes('t', records, 1_000)
        const encoder = new BatchEncoder()
        for (let next = 0; next < records.length; ) {
          encoder.begin(1_000)
          next = encoder.add(records, next)
          assert.ok(encoder.finish(plainProducer, 0, checksum).length <= 1_000)
        }
      }),
      { seed: 6 },
    )
    assert.throws(
      () => checkSizes('t', [text('v'.repeat(908))], 1_000),
      error => isWeirError(error, 'MESSAGE_TOO_LARGE'),
    )
  })

  it('that lie next to each other make one run; compressed ones lie apart; gaps are known', () => {
    const compressed = { attributes: 1, body: (plain: Buffer) => gzipSync(plain) }
    const bytes = Buffer.concat([
      batch([text('a'), text('b')]),
      batch([text('c')], { at: 5 }),
      batch([text('d'), text('e')], { at: 7, ...compressed }),
      batch([text('f')], { at: 12 }),
      batch([text('gone')], { at: 13, producerId: 9, attributes: attribute.transactional }),
    ])
    const decoded = decode(bytes, 1, [{ producerId: 9, firstOffset: 13 }])
    assert.deepEqual(valuesOf(decoded), [
      [1, 'b'],
      [5, 'c'],
      [7, 'd'],
      [8, 'e'],
      [12, 'f'],
    ])
    assert.deepEqual(
      decoded.runs.map(({ count, next }) => [count, next]),
      [
        [2, 7],
        [2, 12],
        [1, 14],
      ],
    )
    assert.equal(decoded.next, 14)
  })

  it('that are cut off at the end are not there', () => {
    const bytes = Buffer.concat([batch([text('a')]), batch([text('b'.repeat(100))], { at: 1 })])
    for (let length = 0; length < bytes.length; length++) {
      const first = batch([text('a')]).length
      assert.deepEqual(valuesOf(decode(bytes.subarray(0, length))), length < first ? [] : [[0, 'a']])
    }
  })

  it('with a byte that differs are an error, or were not touched', () => {
    const records = Array.from({ length: 5 }, (_, i) => text(`value ${i}`))
    const good = batch(records, { at: 100 })
    for (let i = field.magic; i < good.length; i++) {
      const bytes = Buffer.from(good)
      bytes[i]! ^= 0x10
      const expected = i === field.magic ? 'KAFKA_UNSUPPORTED' : 'LOG_CORRUPT'
      assert.throws(
        () => decode(bytes, 100),
        error => isWeirError(error, expected),
        `byte ${i}`,
      )
    }
  })

  it('with a checksum that fits, but records that do not, are an error and no endless loop', () => {
    const records = Array.from({ length: 5 }, (_, i) => text(`value ${i}`))
    const good = batch(records)
    let refused = 0
    for (let i = field.lastOffsetDelta; i < good.length; i++) {
      for (const change of [0x01, 0x80, 0xff]) {
        const bytes = Buffer.from(good)
        bytes[i]! ^= change
        try {
          for (const record of recordsOf(decode(sealed(bytes)))) assert.ok(record.offset < 2 ** 53)
        } catch (error) {
          assert.ok(isWeirError(error, 'LOG_CORRUPT') || error instanceof RangeError, `${i}: ${error}`)
          refused++
        }
      }
    }
    assert.ok(refused > 20)
  })

  it('of formats before 2 are refused, also when nothing else is there', () => {
    const old = Buffer.alloc(34)
    old.writeInt32BE(22, field.length)
    old[field.magic] = 1
    assert.throws(
      () => decode(old),
      error => isWeirError(error, 'KAFKA_UNSUPPORTED') && /format 1/.test(error.message),
    )
  })
})

describe('the abort filter', () => {
  /** Control record: version, type; as markers are. */
  const marker = (at: number, producerId: number, type: 0 | 1): Buffer =>
    batch([{ key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6) }], {
      at,
      producerId,
      attributes: attribute.control | attribute.transactional,
    })
  const data = (at: number, producerId: number, value: string, key: Buffer | null = null): Buffer =>
    batch([{ key, value: Buffer.from(value) }], { at, producerId, attributes: attribute.transactional })

  it('leaves out aborted transactions alone, when they overlap and the broker lists them in any order', () => {
    const bytes = Buffer.concat([
      data(0, 1, 'aborted 1'),
      data(1, 2, 'aborted 2'),
      data(2, 3, 'committed 3'),
      marker(3, 2, 0),
      data(4, 2, 'committed 2'),
      data(5, 1, 'aborted 1 again'),
      marker(6, 3, 1),
      marker(7, 1, 0),
      data(8, 1, 'committed 1'),
      data(9, 2, 'aborted 2 again'),
      marker(10, 2, 1),
    ])
    const aborted = [
      { producerId: 2, firstOffset: 9 },
      { producerId: 2, firstOffset: 1 },
      { producerId: 1, firstOffset: 0 },
    ]
    assert.deepEqual(
      valuesOf(decode(bytes, 0, aborted)).map(([, value]) => value),
      ['committed 3', 'committed 2', 'committed 1'],
    )
    assert.equal(decode(bytes, 0, aborted).next, 11)
  })

  it('takes no key for a marker', () => {
    const key = Buffer.alloc(4)
    const bytes = Buffer.concat([
      data(0, 1, 'aborted', key),
      data(1, 1, 'aborted too'),
      marker(2, 1, 0),
      data(3, 1, 'kept', key),
    ])
    assert.deepEqual(valuesOf(decode(bytes, 0, [{ producerId: 1, firstOffset: 0 }])), [[3, 'kept']])
  })
})

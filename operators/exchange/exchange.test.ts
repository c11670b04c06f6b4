/** Rows on their way: what comes back from bytes, and in which order rows come back from other slots. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ByteReader, ByteWriter, eventTime } from '../../kernel/index.js'
import { stringCodec } from '../../state/index.js'
import { type VerifyItem, verifyOperator } from '../../testing/index.js'
import { type HopTag, type OperatorSpec, type Row, RowFlag } from '../contract.js'
import { answer, decodeHeader, decodeRow, encodeHeader, encodeRow, jsonCodec, number, resequence } from './index.js'

const format = { topics: ['labels', 'transactions'], codecs: [stringCodec, jsonCodec] }
const read = { topic: 'hop', partition: 3, offset: 9 }

/** Plain objects: what decodes has a prototype. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true })
const anyNumber = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, -0, Number.POSITIVE_INFINITY))
const anyTag = record({
  home: fc.nat(1_000),
  sequence: fc.oneof(
    fc.constant(-1),
    fc.maxSafeNat().map(n => Math.min(n, 2 ** 52)),
  ),
  part: fc.constantFrom<HopTag['part']>('last', 'more', 'skip'),
})

describe('a hop record', () => {
  it('gives back the row that went in', () => {
    const row = record({
      value: fc.string({ unit: 'grapheme' }),
      at: fc.integer({ min: -(2 ** 52), max: 2 ** 52 }),
      flags: fc.nat(15),
      features: fc.array(anyNumber, { maxLength: 20 }),
      loggedAtMs: fc.oneof(fc.constant(Number.NaN), fc.nat()),
      source: fc.oneof(
        fc.constant({ topic: '', partition: -1, offset: -1 }),
        record({ topic: fc.constantFrom(...format.topics), partition: fc.nat(99), offset: fc.maxSafeNat() }),
      ),
    })
    fc.assert(
      fc.property(row, anyTag, fc.nat(1), fc.nat(), anyNumber, (drawn, tag, port, upstream, watermark) => {
        const into = new ByteWriter()
        const sent: Row = { ...drawn, at: eventTime(drawn.at), key: '', ordinal: 0, score: Number.NaN, hop: null }
        encodeHeader({ upstream, watermark: eventTime(watermark) }, into)
        encodeRow(sent, { ...tag, port }, format, into)
        const from = new ByteReader(into.take())
        assert.deepEqual(decodeHeader(from), { upstream, watermark })
        const got = decodeRow(from, read, format, 2)
        assert.equal(from.remaining, 0)
        const hop = { read, ...tag, port }
        const skipped = {
          value: undefined,
          at: 0,
          loggedAtMs: Number.NaN,
          flags: 0,
          features: [Number.NaN, Number.NaN],
        }
        assert.deepEqual(got, { ...sent, ...(tag.part === 'skip' && skipped), hop })
      }),
    )
  })

  it('does not say any more that the record lay astray', () => {
    const into = new ByteWriter()
    const row: Row = { ...rowOf('x'), flags: RowFlag.astray | RowFlag.late }
    encodeRow(row, { home: 0, sequence: -1, port: 0, part: 'last' }, format, into)
    assert.equal(decodeRow(new ByteReader(into.take()), read, format, 0).flags, RowFlag.late)
  })

  it('of another version, or cut short, is none', () => {
    assert.throws(() => decodeHeader(new ByteReader(Buffer.of(2))), { code: 'HOP_CORRUPT' })
    const into = new ByteWriter()
    encodeRow(rowOf('x'), { home: 0, sequence: 1, port: 0, part: 'last' }, format, into)
    const bytes = into.take()
    for (let end = 0; end < bytes.length; end++) {
      assert.throws(() => decodeRow(new ByteReader(bytes, 0, end), read, format, 0), RangeError, String(end))
    }
  })
})

describe('JSON on the way', () => {
  it('gives back plain values', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), value => {
        fc.pre(!JSON.stringify(value).includes('-0'))
        const into = new ByteWriter()
        const plain = JSON.parse(JSON.stringify(value)) as unknown
        jsonCodec.encode(plain, into)
        assert.deepEqual(jsonCodec.decode(new ByteReader(into.take())), plain)
      }),
    )
  })

  for (const value of [
    new Map(),
    new Date(0),
    Number.NaN,
    -0,
    1n,
    undefined,
    { a: undefined },
    [Symbol()],
    { toJSON: 1 },
  ]) {
    it(`refuses what would come back as something else: ${typeof value} ${String(Object.prototype.toString.call(value))}`, () => {
      assert.throws(() => jsonCodec.encode(value, new ByteWriter()), TypeError)
    })
  }
})

const tagOf = (sequence: number, part: HopTag['part'] = 'last', home = 0): HopTag => ({
  read: { topic: 'back', partition: home, offset: sequence },
  home,
  sequence,
  port: 0,
  part,
})

const rowOf = (value: string): Row => ({
  value,
  at: eventTime(0),
  key: '',
  ordinal: 0,
  flags: 0,
  features: [],
  score: Number.NaN,
  source: { topic: 'transactions', partition: 0, offset: 0 },
  loggedAtMs: Number.NaN,
  hop: null,
})

const item = (value: string, hop?: HopTag, port = 0): VerifyItem => ({
  value,
  at: eventTime(0),
  port,
  ...(hop && { hop }),
})

/** In every way in which the engine may run it: cut, refused, restarted, without a cache. */
async function valuesOf(spec: () => OperatorSpec, items: readonly VerifyItem[], ports = 1): Promise<unknown[]> {
  const rows = await verifyOperator({ spec, items, ports, keyOf: new Array(ports).fill(() => 'any') })
  return rows.map(({ value }) => value)
}

const inOrder = () => resequence('back', { topics: ['verify'], codecs: [stringCodec] })

describe('resequence', () => {
  it('lets rows go in the order of their numbers, each home for itself', async () => {
    const items = [
      item('c', tagOf(2)),
      item('B', tagOf(1, 'last', 1)),
      item('a', tagOf(0)),
      item('b', tagOf(1)),
      item('A', tagOf(0, 'last', 1)),
      item('d', tagOf(3)),
    ]
    assert.deepEqual(await valuesOf(inOrder, items), ['a', 'b', 'c', 'A', 'B', 'd'])
  })

  it('lets any order come back as it was', async () => {
    const orders = fc.shuffledSubarray(
      Array.from({ length: 9 }, (_, n) => n),
      { minLength: 9 },
    )
    await fc.assert(
      fc.asyncProperty(orders, async order => {
        const items = order.map(n => item(String(n), tagOf(n)))
        assert.deepEqual(await valuesOf(inOrder, items), ['0', '1', '2', '3', '4', '5', '6', '7', '8'])
      }),
      { numRuns: 20 },
    )
  })

  it('goes on behind numbers that are done with, and with rows of which nobody waits for', async () => {
    const items = [
      item('c', tagOf(2)),
      item('', tagOf(1, 'skip')),
      item('none', tagOf(-1)),
      item('a', tagOf(0)),
      item('', tagOf(3, 'skip')),
      item('e', tagOf(4)),
    ]
    assert.deepEqual(await valuesOf(inOrder, items), ['none', 'a', 'c', 'e'])
  })

  it('keeps several rows of one number together, whenever they come', async () => {
    const items = [
      item('b1', tagOf(1, 'more')),
      item('c', tagOf(2)),
      item('b2', tagOf(1, 'more')),
      item('a1', tagOf(0, 'more')),
      item('a2', tagOf(0)),
      item('', tagOf(1, 'skip')),
    ]
    assert.deepEqual(await valuesOf(inOrder, items), ['a1', 'a2', 'b1', 'b2', 'c'])
  })

  it('takes a number that is done with for what it is: a defect', async () => {
    await assert.rejects(valuesOf(inOrder, [item('a', tagOf(0)), item('a', tagOf(0))]), /number 0 is done with/)
  })
})

describe('number', () => {
  const tagged = (): OperatorSpec => {
    const spec = number()
    return {
      ...spec,
      create: context => {
        const runtime = spec.create(context)
        const shown = (row: Row): Row => ({ ...row, value: `${row.hop?.home}:${row.hop?.sequence}` })
        return { onRow: (row, out, port) => runtime.onRow(row, { push: of => out.push(shown(of)) }, port) }
      },
    }
  }

  it('counts without a gap, each home for itself', async () => {
    const items = [item('a'), item('b', tagOf(-1, 'last', 7)), item('c'), item('d', tagOf(-1, 'last', 7))]
    assert.deepEqual(await valuesOf(tagged, items), ['0:0', '7:0', '0:1', '7:1'])
  })
})

describe('answer', () => {
  const shown = (several: 'pass' | 'refuse') => (): OperatorSpec => {
    const spec = answer(several)
    return {
      ...spec,
      create: context => {
        const runtime = spec.create(context)
        const show = (row: Row): Row => ({ ...row, value: `${row.hop?.sequence ?? '-'} ${row.hop?.part ?? row.value}` })
        return { onRow: (row, out, port) => runtime.onRow(row, { push: of => out.push(show(of)) }, port) }
      },
    }
  }
  /** What came in, each behind what was made of it; all of one epoch, as in the engine. */
  const run = (several: 'pass' | 'refuse', made: readonly number[]): Promise<string[]> => {
    const out: string[] = []
    const runtime = shown(several)().create({
      count: () => {},
      derive: (origin: Row, value: unknown) => ({ ...origin, value }),
    } as never)
    let refuse = false
    const push = (row: Row): boolean => {
      refuse = !refuse
      if (!refuse) out.push(String(row.value))
      return !refuse
    }
    const call = (row: Row, port: number): void => {
      while (!runtime.onRow(row, { push }, port)) {
        // called again with the same row
      }
    }
    made.forEach((rows, sequence) => {
      for (let i = 0; i < rows; i++) call({ ...rowOf('x'), hop: tagOf(sequence) }, 0)
      call({ ...rowOf('x'), hop: tagOf(sequence) }, 1)
    })
    call(rowOf('timer'), 0)
    return Promise.resolve(out)
  }

  it('accounts for each number once, whatever became of its row', async () => {
    const parts = await run('pass', [1, 0, 3])
    assert.deepEqual(parts, ['0 last', '1 skip', '2 more', '2 more', '2 last', '- timer'])
  })

  it('refuses two rows of one number where they would part ways', () => {
    assert.throws(() => run('refuse', [2]), /several rows of one record/)
  })
})

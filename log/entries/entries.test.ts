import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { millis } from '../../kernel/index.js'
import type { AppendRecord, EncodedRecords } from '../port.js'
import { clockTimer, countOf, Doorbell, Entry, EntryEncoder, entryBytesMax, type Records } from './index.js'

const place = { topic: 't', partition: 3 }
const seed = 77

function entriesOf(sources: readonly Records[]): Entry[] {
  const encoder = new EntryEncoder()
  const entries: Entry[] = []
  let last = -1
  const finish = (): void => {
    last += encoder.count
    entries.push(new Entry(place, Buffer.from(encoder.finish(1_234, seed)), last, last + 1, seed))
    encoder.reset()
  }
  for (const records of sources) {
    for (let from = 0; from < countOf(records); ) {
      from = encoder.add(records, from)
      if (encoder.full) finish()
    }
  }
  if (encoder.count > 0) finish()
  return entries
}

interface Plain {
  key: string | null
  value: string | null
  headers: [string, string][]
}

function plain(entry: Entry): Plain[] {
  const { columns, count, bytes } = entry
  const slice = (column: number, i: number): string | null =>
    columns[column * count + i]! < 0
      ? null
      : bytes.toString('utf8', columns[column * count + i], columns[(column + 1) * count + i])
  return Array.from({ length: count }, (_, i) => ({
    key: slice(0, i),
    value: slice(2, i),
    headers: entry.headersOf(i).map(({ name, value }) => [name, Buffer.from(value).toString()]),
  }))
}

const bytes = fc.option(fc.string({ unit: 'binary', maxLength: 40 }))
const header = fc.record({ name: fc.string({ unit: 'binary' }), value: fc.string({ unit: 'binary' }) })
const record = fc.record({ key: bytes, value: bytes, headers: fc.array(header, { maxLength: 3 }) })

const toBytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text))

function encodedOf(pairs: readonly { key: string; value: string }[]): EncodedRecords {
  const values = pairs.map(pair => Buffer.from(pair.value))
  const valueStart = new Int32Array(pairs.length)
  const valueEnd = new Int32Array(pairs.length)
  let at = 5
  values.forEach((value, i) => {
    valueStart[i] = at
    at += value.length
    valueEnd[i] = at++
  })
  const lines = Buffer.concat([Buffer.alloc(5), ...values.flatMap(value => [value, Buffer.of(10)])])
  return { kind: 'encoded', count: pairs.length, bytes: lines, valueStart, valueEnd, keys: pairs.map(pair => pair.key) }
}

describe('entries', () => {
  it('give back what was put in, in whatever form it came', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 })
    const pairs = fc.array(fc.record({ key: text, value: text }), { maxLength: 20 })
    fc.assert(
      fc.property(fc.array(record), pairs, fc.array(record), (before, encoded, after) => {
        const records = (list: typeof before): AppendRecord[] =>
          list.map(({ key, value, headers }) => ({
            key: toBytes(key),
            value: toBytes(value),
            headers: headers.map(one => ({ name: one.name, value: Buffer.from(one.value) })),
          }))
        const entries = entriesOf([records(before), encodedOf(encoded), records(after)])
        const wellFormed = (one: string | null): string | null => (one === null ? null : Buffer.from(one).toString())
        const expected = [...before, ...encoded.map(pair => ({ ...pair, headers: [] })), ...after].map(one => ({
          key: wellFormed(one.key),
          value: wellFormed(one.value),
          headers: one.headers.map(({ name, value }) => [wellFormed(name), wellFormed(value)]),
        }))
        assert.deepEqual(entries.flatMap(plain), expected)
      }),
    )
  })

  it('end when they are large, and offsets go on', () => {
    const value = Buffer.alloc(50_000, 'v')
    const records = Array.from({ length: 30 }, (_, i) => ({ key: Buffer.from(`${i}`), value }))
    const pairs = records.map((_, i) => ({ key: `${i}`, value: 'v'.repeat(50_000) }))
    for (const source of [records, encodedOf(pairs)]) {
      const entries = entriesOf([source])
      assert.ok(entries.length > 3)
      assert.deepEqual(
        entries.flatMap(plain).map(one => one.key),
        pairs.map(pair => pair.key),
      )
      let next = 0
      for (const entry of entries) {
        assert.equal(entry.base, next)
        assert.ok(entry.bytes.length < entryBytesMax + 60_000)
        next = entry.next
      }
    }
  })

  it('refuse any changed byte, a cut, another place, another version', () => {
    const [entry] = entriesOf([
      [{ key: Buffer.from('key'), value: Buffer.from('value'), headers: [{ name: 'h', value: Buffer.of(1) }] }],
    ])
    const good = entry!.bytes
    const open = (bytes: Buffer, crcSeed = seed): Entry => new Entry(place, bytes, 0, 1, crcSeed)
    // bytes 0 to 3 are outside of the checksum: version, flags, zero
    for (let i = 4; i < good.length; i++) {
      const bad = Buffer.from(good)
      bad[i]! ^= 0x10
      assert.throws(() => open(bad), { code: 'LOG_CORRUPT' }, `byte ${i}`)
    }
    for (let length = 0; length < good.length; length++) {
      assert.throws(() => open(good.subarray(0, length)), { code: 'LOG_CORRUPT' })
    }
    assert.throws(() => open(good, seed + 1), { code: 'LOG_CORRUPT' })
    const newer = Buffer.from(good)
    newer[0] = 2
    assert.throws(() => open(newer), { code: 'STATE_FORMAT' })
  })

  it('can be read from unaligned bytes', () => {
    const [entry] = entriesOf([[{ key: null, value: Buffer.from('value') }]])
    for (let shift = 0; shift < 4; shift++) {
      const moved = Buffer.concat([Buffer.alloc(shift), entry!.bytes]).subarray(shift)
      assert.deepEqual(plain(new Entry(place, moved, 0, 1, seed)), plain(entry!))
    }
  })
})

describe('the doorbell', () => {
  const timers: (() => void)[] = []
  const timer = (_ms: number, fire: () => void): (() => void) => {
    timers.push(fire)
    return () => {
      timers.splice(timers.indexOf(fire), 1)
    }
  }

  it('wakes at the first ring with news, and gives the timer back', async () => {
    const bell = new Doorbell()
    let news = 0
    const waiting = bell.wait(() => news > 1, millis(10), timer)
    let woken = false
    void waiting.then(() => {
      woken = true
    })
    news = 1
    bell.ring()
    await Promise.resolve()
    assert.ok(!woken)
    news = 2
    bell.ring()
    await waiting
    assert.equal(timers.length, 0)
  })

  it('stops waiting when the time is up', async () => {
    const bell = new Doorbell()
    const waiting = bell.wait(() => false, millis(10), timer)
    timers[0]!()
    await waiting
    bell.ring()
  })

  it('does not hear a clock that was cancelled', async () => {
    let wake = (): void => {}
    const timerOf = clockTimer({
      nowMs: () => 0,
      sleep: () =>
        new Promise(resolve => {
          wake = resolve
        }),
    })
    const fired: string[] = []
    timerOf(millis(1), () => fired.push('cancelled'))()
    wake()
    timerOf(millis(1), () => fired.push('heard'))
    wake()
    await new Promise(resolve => setImmediate(resolve))
    assert.deepEqual(fired, ['heard'])
  })
})

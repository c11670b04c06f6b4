/** The chain: whatever happens to a record that another follows is found, and where it was found is said. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { millis } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { type Faults, MemoryDisk, MemoryLog, noFaults } from '../../log/memory/index.js'
import { type EpochRecord, encodeJournalRecord, epochOf, type GenesisRecord, journalTopicOf } from './journal.js'
import { firstLink, firstOfPlan, type Link, lastLink, linkAt, readChain } from './journal-reader.js'

const genesis: GenesisRecord = {
  v: 1,
  kind: 'genesis',
  app: 'test',
  slot: 0,
  slots: 1,
  key_groups: 8,
  partitions: [{ topic: 't', count: 1 }],
  start: [{ topic: 't', partition: 0, offset: '0' }],
  fingerprint: 'f',
  job: {},
}

function chain(epochs: number): Buffer[] {
  const first = encodeJournalRecord(genesis)
  const records = [first.bytes]
  let previous = first.hash
  for (let epoch = 1; epoch <= epochs; epoch++) {
    const { bytes, hash } = encodeJournalRecord(epochRecord(epoch, previous))
    records.push(bytes)
    previous = hash
  }
  return records
}

function epochRecord(epoch: number, previous: string): EpochRecord {
  return {
    v: 3,
    kind: 'epoch',
    plan: 1,
    slots: 1,
    epoch,
    generation: 1,
    fingerprint: 'f',
    inputs: [{ topic: 't', partition: 0, from: String(epoch), to: String(epoch + 1), crc32: epoch }],
    positions: [{ topic: 't', partition: 0, offset: String(epoch + 1) }],
    excluded: [],
    clocks: [],
    watermark_ms: null,
    expiry_ms: null,
    counts: { records: epoch },
    outputs_sha256: 'o',
    previous,
  }
}

const at = { topic: journalTopicOf('test'), partition: 0 }

async function logOf(records: readonly (Buffer | null)[], faults: Faults = noFaults, markers = false) {
  const log = new MemoryLog(new MemoryDisk({ markers }), { clock: { nowMs: () => 0, sleep: async () => {} }, faults })
  await log.createTopic(at.topic, 1)
  const committer = await log.committer('writer')
  for (const value of records) await committer.commit([{ ...at, records: [{ key: null, value }] }])
  return log
}

async function read(records: readonly (Buffer | null)[], faults: Faults = noFaults, from = 0): Promise<Link[]> {
  const links: Link[] = []
  for await (const link of readChain(await logOf(records, faults), at, offset(from))) links.push(link)
  return links
}

const epochsOf = (links: readonly Link[]): number[] => links.map(({ record }) => epochOf(record))

const isCorrupt = (pattern: RegExp) => (error: Error & { code?: string }) =>
  error.code === 'JOURNAL_CORRUPT' && pattern.test(error.message)

describe('the journal', () => {
  it('is empty, or has a genesis alone', async () => {
    assert.deepEqual(await read([]), [])
    const [link, ...more] = await read(chain(0))
    assert.deepEqual(link?.record, genesis)
    assert.deepEqual(more, [])
  })

  it('is read from genesis to end, or from any record on', async () => {
    const links = await read(chain(5))
    assert.deepEqual(epochsOf(links), [0, 1, 2, 3, 4, 5])
    for (const link of links) assert.equal(link.hash, encodeJournalRecord(link.record as EpochRecord).hash)
    assert.deepEqual(await read(chain(5), noFaults, 3), links.slice(3))
  })

  it('is read to its end through polls that give nothing for a while', async () => {
    const poll: Faults['poll'] = ({ poll: n }) => (n % 3 === 0 ? { recordsMax: 0 } : { recordsMax: 2 })
    assert.deepEqual(epochsOf(await read(chain(9), { ...noFaults, poll })), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('has a first and a last record, also behind markers and after a trim', async () => {
    for (const markers of [false, true]) {
      const log = await logOf(chain(40), noFaults, markers)
      const step = markers ? 2 : 1
      assert.deepEqual((await firstLink(log, at))?.record, genesis)
      assert.equal(epochOf((await lastLink(log, at))!.record), 40)
      await log.trim({ ...at, offset: offset(7 * step) })
      const first = await firstLink(log, at)
      assert.deepEqual([first?.at, first && epochOf(first.record)], [BigInt(7 * step), 7])
      assert.equal(epochOf((await linkAt(log, at, offset(9 * step)))!.record), 9)
      assert.equal(await linkAt(log, at, offset(6 * step)), undefined)
      assert.equal(await linkAt(log, at, offset(41 * step)), undefined)
      if (markers) assert.equal(await linkAt(log, at, offset(9 * step + 1)), undefined)
      await log.trim({ ...at, offset: offset(41 * step) })
      assert.equal(await firstLink(log, at), undefined)
      assert.equal(await lastLink(log, at), undefined)
    }
  })

  it('finds where a plan begins, however long the plans are, behind markers and after a trim', async () => {
    const lengths = [3, 1, 50, 7]
    for (const markers of [false, true]) {
      const step = markers ? 2 : 1
      const records: Buffer[] = []
      const begins = new Map<number, number>()
      for (const [i, length] of lengths.entries()) {
        const plan = i + 1
        begins.set(plan, records.length * step)
        for (let n = 0; n < length; n++) {
          records.push(encodeJournalRecord({ ...epochRecord(records.length, 'p'), plan }).bytes)
        }
      }
      const log = await logOf(records, noFaults, markers)
      for (const [plan, begin] of begins) assert.equal((await firstOfPlan(log, at, plan))?.at, BigInt(begin))
      assert.equal(await firstOfPlan(log, at, 5), undefined)
      await log.trim({ ...at, offset: offset(20 * step) })
      assert.equal((await firstOfPlan(log, at, 3))?.at, BigInt(20 * step))
      assert.equal((await firstOfPlan(log, at, 4))?.at, BigInt(begins.get(4)!))
    }
  })

  it('is not taken for shorter when the log does not answer', async () => {
    const poll: Faults['poll'] = () => ({ recordsMax: 0, delayMs: millis(1) })
    await assert.rejects(read(chain(3), { ...noFaults, poll }), { code: 'BACKEND_FAILED' })
  })

  it('shows a byte that was changed in any record that another follows', async () => {
    const whole = chain(4)
    const place = fc.nat({ max: 3 }).chain(record => fc.tuple(fc.constant(record), fc.nat(whole[record]!.length - 1)))
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async ([record, byte], flip) => {
        const records = whole.map(bytes => Buffer.from(bytes))
        records[record]![byte]! ^= flip
        await assert.rejects(read(records), { code: 'JOURNAL_CORRUPT' })
      }),
      { numRuns: 300, seed: 7 },
    )
  })

  it('shows a record that is gone', async () => {
    const records = chain(4)
    records.splice(2, 1)
    await assert.rejects(read(records), isCorrupt(/epoch 3 where 2 was due/))
  })

  it('shows two that changed places', async () => {
    const records = chain(4)
    ;[records[2], records[3]] = [records[3]!, records[2]!]
    await assert.rejects(read(records), isCorrupt(/epoch 3 where 2 was due/))
  })

  it('shows a record of another chain', async () => {
    const records = chain(4)
    records[4] = encodeJournalRecord(epochRecord(4, 'of another')).bytes
    await assert.rejects(read(records), isCorrupt(/epoch 4 does not follow/))
  })

  it('shows an epoch that was written twice', async () => {
    const records = chain(2)
    await assert.rejects(read([...records, records[2]!]), isCorrupt(/epoch 2 where 3 was due/))
  })

  it('has one genesis', async () => {
    const records = chain(2)
    await assert.rejects(read([...records, records[0]!]), isCorrupt(/second genesis/))
  })

  it('refuses what it does not know', async () => {
    const records = chain(1)
    const other = (change: object): Buffer => Buffer.from(JSON.stringify({ ...genesis, ...change }))
    await assert.rejects(read([other({ v: 3 })]), isCorrupt(/version 3, kind genesis/))
    await assert.rejects(read([...records, other({ kind: 'epoch', v: 4 })]), isCorrupt(/version 4, kind epoch/))
    await assert.rejects(read([...records, other({ kind: 'checkpoint' })]), isCorrupt(/kind checkpoint/))
    await assert.rejects(read([...records, Buffer.from('not JSON')]), isCorrupt(/no journal record/))
    await assert.rejects(read([...records, null]), isCorrupt(/no journal record/))
  })
})

/** The chain: whatever happens to a record that another follows is found, and where it was found is said. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { millis } from '../../kernel/index.js'
import { type Faults, MemoryDisk, MemoryLog, noFaults } from '../../log/memory/index.js'
import { type EpochRecord, encodeJournalRecord, type GenesisRecord, journalTopicOf, readJournal } from './journal.js'

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
    v: 1,
    kind: 'epoch',
    epoch,
    generation: 1,
    fingerprint: 'f',
    inputs: [{ topic: 't', partition: 0, from: String(epoch), to: String(epoch + 1), crc32: epoch }],
    excluded: [],
    clocks: [],
    expiry_ms: null,
    counts: { records: epoch },
    outputs_sha256: 'o',
    previous,
  }
}

const at = { topic: journalTopicOf('test'), partition: 0 }

async function read(records: readonly (Buffer | null)[], faults: Faults = noFaults) {
  const log = new MemoryLog(new MemoryDisk(), { clock: { nowMs: () => 0, sleep: async () => {} }, faults })
  await log.createTopic(at.topic, 1)
  for (const value of records) await log.append([{ ...at, records: [{ key: null, value }] }])
  const epochs: number[] = []
  const head = await readJournal(log, at, record => {
    epochs.push(record.epoch)
  })
  return { head, epochs }
}

const isCorrupt = (pattern: RegExp) => (error: Error & { code?: string }) =>
  error.code === 'JOURNAL_CORRUPT' && pattern.test(error.message)

describe('the journal', () => {
  it('is empty, or has a genesis alone', async () => {
    assert.equal((await read([])).head, undefined)
    const { head } = await read(chain(0))
    assert.equal(head?.last, undefined)
    assert.equal(head?.lastHash, head?.genesisHash)
  })

  it('is read from genesis to end', async () => {
    const { head, epochs } = await read(chain(5))
    assert.deepEqual(epochs, [1, 2, 3, 4, 5])
    assert.equal(head?.last?.epoch, 5)
    assert.deepEqual(head?.genesis, genesis)
    assert.equal(head?.lastHash, encodeJournalRecord(head?.last ?? genesis).hash)
  })

  it('is read to its end through polls that give nothing for a while', async () => {
    const poll: Faults['poll'] = ({ poll: n }) => (n % 3 === 0 ? { recordsMax: 0 } : { recordsMax: 2 })
    assert.deepEqual((await read(chain(9), { ...noFaults, poll })).epochs, [1, 2, 3, 4, 5, 6, 7, 8, 9])
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

  it('has one genesis, and it comes first', async () => {
    const records = chain(2)
    await assert.rejects(read([...records, records[0]!]), isCorrupt(/second genesis/))
    await assert.rejects(read(records.slice(1)), isCorrupt(/before any genesis/))
  })

  it('refuses what it does not know', async () => {
    const records = chain(1)
    const other = (change: object): Buffer => Buffer.from(JSON.stringify({ ...genesis, ...change }))
    await assert.rejects(read([other({ v: 2 })]), isCorrupt(/version 2/))
    await assert.rejects(read([...records, other({ kind: 'checkpoint' })]), isCorrupt(/kind checkpoint/))
    await assert.rejects(read([...records, Buffer.from('not JSON')]), isCorrupt(/no journal record/))
    await assert.rejects(read([...records, null]), isCorrupt(/no journal record/))
  })
})

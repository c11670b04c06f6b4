/** Recovery reads what the store does not reflect, and no more: the journal's head, and the inputs', may be gone. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Offset, offset } from '../../log/index.js'
import { type Faults, MemoryLog } from '../../log/memory/index.js'
import { MemoryDisk as StateDisk } from '../../state/index.js'
import type { Reflected } from './running.js'
import type { Slot } from './slot.js'
import { Bench, drain, journal } from './testing/bench.js'

/** Epochs of one record each, written back after all but the last two, and killed. */
async function history(epochs: number, name = 'r'): Promise<{ bench: Bench; state: StateDisk; reflected: Reflected }> {
  const bench = new Bench()
  const state = new StateDisk()
  const slot = await bench.slot({}, { epochRecordsMax: 1, epochsPerWriteBackMax: epochs - 2 }, state)
  await bench.send(Array.from({ length: epochs }, (_, i) => `${name}${i}`))
  await slot.start()
  await drain(slot)
  assert.equal(slot.epoch, epochs)
  assert.ok(slot.reflected)
  const { reflected } = slot
  state.crash(state.unsynced)
  return { bench, state, reflected }
}

async function trimBehind(bench: Bench, reflected: Reflected): Promise<void> {
  await bench.log.trim({ ...journal, offset: reflected.journal })
  for (const at of reflected.positions) await bench.log.trim({ ...at, offset: offset(BigInt(at.offset)) })
}

async function restarted(bench: Bench, state: StateDisk, faults: Partial<Faults> = {}): Promise<Slot> {
  const slot = await bench.slot(faults, {}, state)
  await slot.start()
  return slot
}

const journalEnd = async (bench: Bench): Promise<Offset> => (await bench.log.range(journal)).latest

describe('a journal that was trimmed behind the store', () => {
  it('is gone on from, with counters, positions and hashes as if it were whole', async () => {
    const { bench, state, reflected } = await history(10)
    await trimBehind(bench, reflected)
    assert.equal(reflected.journal, 8n)
    const slot = await restarted(bench, state)
    assert.equal(slot.epoch, 10)
    assert.equal(slot.counts.get('records'), 10)
    await bench.send(['next'])
    await drain(slot)
    assert.equal((await bench.counted()).at(-1), 'next=11')
    // and once more, from a store that was written by a slot that never saw the genesis
    await slot.close()
    state.crash(state.unsynced)
    await trimBehind(bench, (await restartedThenClosed(bench, state)) ?? reflected)
    const last = await restarted(bench, state)
    await bench.send(['more'])
    await drain(last)
    assert.equal((await bench.counted()).at(-1), 'more=12')
    const [epoch] = (await bench.epochs()).slice(-1)
    assert.deepEqual(epoch?.positions, [{ topic: 'in', partition: 0, offset: '12' }])
  })

  it('may be down to its last record', async () => {
    const { bench, state } = await history(5)
    const slot = await restarted(bench, state)
    await slot.close()
    state.crash(state.unsynced)
    await bench.log.trim({ ...journal, offset: offset((await journalEnd(bench)) - 1n) })
    const again = await restarted(bench, state)
    await bench.send(['next'])
    await drain(again)
    assert.equal((await bench.counted()).at(-1), 'next=6')
  })

  it('keeps the slot down without its store, and nothing is changed', async () => {
    const { bench, state, reflected } = await history(10)
    await trimBehind(bench, reflected)
    const before = await journalEnd(bench)
    const wiped = await bench.slot()
    await assert.rejects(wiped.start(), {
      code: 'HISTORY_TRIMMED',
      message: /begins with epoch 8, and the store is empty/,
    })
    assert.equal(await journalEnd(bench), before)
    assert.equal((await restarted(bench, state)).epoch, 10)
  })

  it('keeps the slot down with a store of another journal, which is not thrown away', async () => {
    const other = await history(10, 'other')
    const { bench, reflected } = await history(10)
    await trimBehind(bench, reflected)
    const entries = other.state.entries
    const slot = await bench.slot({}, {}, other.state)
    await assert.rejects(slot.start(), { code: 'HISTORY_TRIMMED', message: /hash of epoch 8 is not the journal's/ })
    assert.equal(other.state.entries, entries)
  })

  it('is an error when nothing of it is left', async () => {
    const { bench, state } = await history(4)
    await bench.log.trim({ ...journal, offset: await journalEnd(bench) })
    const slot = await bench.slot({}, {}, state)
    await assert.rejects(slot.start(), { code: 'JOURNAL_WITHOUT_GENESIS', message: /is empty and had records once/ })
  })
})

describe('recovery', () => {
  it('reads the journal from the record that the store reflects, however long it is', async () => {
    const read = await Promise.all(
      [100, 400].map(async epochs => {
        const { bench, state } = await history(epochs)
        let journalRecords = 0
        const counting = new Proxy(new MemoryLog(bench.disk, { clock: bench.clock }), {
          get: (log, name) => {
            if (name !== 'reader') {
              const found = Reflect.get(log, name, log) as unknown
              return typeof found === 'function' ? (found as () => unknown).bind(log) : found
            }
            return async (from: Parameters<MemoryLog['reader']>[0]) => {
              const reader = await log.reader(from)
              const poll = reader.poll.bind(reader)
              reader.poll = async limits => {
                const batches = await poll(limits)
                for (const batch of batches) if (batch.topic === journal.topic) journalRecords += batch.count
                return batches
              }
              return reader
            }
          },
        })
        const slot = await bench.slot({}, {}, state, counting)
        await slot.start()
        assert.equal(slot.epoch, epochs)
        return journalRecords
      }),
    )
    assert.equal(read[1], read[0])
    assert.ok(read[0]! < 100, `${read[0]} records`)
  })

  it('without the inputs that an empty store needs is refused before anything is written', async () => {
    const { bench, reflected } = await history(10)
    for (const at of reflected.positions) await bench.log.trim({ ...at, offset: offset(BigInt(at.offset)) })
    const slot = await bench.slot()
    await assert.rejects(slot.start(), { code: 'HISTORY_TRIMMED', message: /in\/0 begins at 8, .* from 0 on/ })
    assert.equal((await bench.epochs()).length, 10)
  })

  it('from a genesis alone is one from a store, too', async () => {
    const bench = new Bench()
    const state = new StateDisk()
    const slot = await bench.slot({}, {}, state)
    await slot.start()
    await slot.close()
    state.crash(state.unsynced)
    const again = await restarted(bench, state)
    await bench.send(['a'])
    await drain(again)
    assert.deepEqual(await bench.counted(), ['a=1'])
  })

  it('holds a slot to what its genesis fixed, also when that is trimmed', async () => {
    const { bench, state, reflected } = await history(5)
    await trimBehind(bench, reflected)
    const wider = new Bench(2, bench.disk)
    const slot = await wider.slot({}, {}, state)
    await assert.rejects(slot.start(), {
      code: 'TOPIC_MISMATCH',
      message: /begun with 1 slots, 4 key groups, in: 1; this is .* in: 2/,
    })
  })
})

async function restartedThenClosed(bench: Bench, state: StateDisk): Promise<Reflected | undefined> {
  const slot = await restarted(bench, state)
  const { reflected } = slot
  await slot.close()
  state.crash(state.unsynced)
  return reflected
}

/** A slot whose log fails, and two slots over one log: each record once, whoever runs it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CommitFault, CommitPoint } from '../../log/memory/index.js'
import { MemoryDisk as StateDisk } from '../../state/index.js'
import { Bench, drain } from './testing/bench.js'

describe('a null value', () => {
  it('is a dead letter that stays null', async () => {
    const bench = new Bench()
    await bench.send(['a', null, 'b'])
    const slot = await bench.started()
    await drain(slot)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
    assert.deepEqual(await bench.read('dead'), [null])
    assert.equal(slot.counts.get('dead_letters'), 1)
  })
})

describe('a commit that fails', () => {
  for (const fault of ['refused', 'lost', 'applied', 'delayed'] as const) {
    it(`is made good when it was ${fault}`, async () => {
      const bench = new Bench()
      await bench.send(['a', 'b'])
      let faultsLeft = 2
      // The first commit of all is the genesis; a start that fails is the runner's to repeat.
      const commit = (at: CommitPoint): CommitFault =>
        (at.generation > 1 || at.commit > 0) && faultsLeft-- > 0 ? fault : 'none'
      const slot = await bench.started({ commit })
      await drain(slot)
      await bench.send(['c'])
      await drain(slot)
      bench.disk.settle()
      assert.deepEqual(await bench.counted(), ['a=1', 'b=2', 'c=3'])
    })
  }

  it('again and again ends the slot, with nothing half done', async () => {
    const bench = new Bench()
    await bench.send(['a'])
    const commit = (at: CommitPoint): CommitFault => (at.generation > 1 || at.commit > 0 ? 'lost' : 'none')
    const hopeless = await bench.started({ commit }, { recoveriesMax: 3 })
    for (let recoveries = 0; recoveries < 3; recoveries++) assert.deepEqual(await hopeless.step(), { kind: 'idle' })
    await assert.rejects(hopeless.step(), { code: 'EPOCH_FAILED' })
    assert.equal(hopeless.state, 'failed')
    assert.deepEqual(await bench.counted(), [])
    await drain(await bench.started())
    assert.deepEqual(await bench.counted(), ['a=1'])
  })
})

describe('a second slot', () => {
  it('fences the first, which writes nothing more and stays down', async () => {
    const bench = new Bench()
    const first = await bench.started()
    await bench.send(['a'])
    await drain(first)
    const second = await bench.started()
    await bench.send(['b'])
    await assert.rejects(first.step(), { code: 'SLOT_FENCED' })
    assert.equal(first.state, 'failed')
    assert.deepEqual(await bench.counted(), ['a=1'])
    await drain(second)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
    assert.deepEqual(
      (await bench.epochs()).map(epoch => epoch.generation),
      [1, 2],
    )
  })

  it('is not fenced by an old one that meets a record on which an operator throws', async () => {
    const bench = new Bench()
    const first = await bench.started()
    await bench.send(['a'])
    await drain(first)
    const second = await bench.started()
    await bench.send(['bad', 'b'])
    await drain(second)
    await assert.rejects(first.step(), { code: 'SLOT_FENCED' })
    await bench.send(['c'])
    await drain(second)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2', 'c=3'])
    assert.equal((await bench.read('dead')).length, 1)
  })

  it('keeps what it ran even from one that takes over in the middle of the same epoch', async () => {
    const bench = new Bench()
    // Neither has committed when the other starts: the journal cannot tell them apart.
    const first = await bench.started()
    const second = await bench.started()
    await bench.send(['bad', 'a'])
    await drain(second)
    assert.deepEqual(await first.step(), { kind: 'idle' })
    await bench.send(['b'])
    await drain(first)
    await assert.rejects(second.step(), { code: 'SLOT_FENCED' })
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
    assert.equal((await bench.read('dead')).length, 1)
  })
})

describe('an epoch that runs again', () => {
  it('puts back all that it read of other partitions', async () => {
    const bench = new Bench(2)
    const many = (name: string): string[] => Array.from({ length: 70 }, (_, i) => `${name}${i}`)
    for (const name of ['p', 'q', 'r', 's']) await bench.send(many(name))
    await bench.send(['bad', ...many('t'), ...many('u').slice(1)], 1)
    const slot = await bench.started({}, { epochRecordsMax: 140, recordsPerWriteBackMax: 1 })
    await drain(slot)
    assert.equal(slot.counts.get('records'), 4 * 70 + 140)
    assert.equal(new Set(await bench.counted()).size, 4 * 70 + 139)
  })
})

describe('a store', () => {
  it('that reflects another journal is thrown away', async () => {
    const other = new Bench()
    const state = new StateDisk()
    await other.send(['x', 'y', 'z'])
    const foreign = await other.slot({}, {}, state)
    await foreign.start()
    await drain(foreign)
    await foreign.close()
    state.crash(state.unsynced)
    const bench = new Bench()
    await bench.send(['a'])
    await drain(await bench.started())
    const slot = await bench.slot({}, {}, state)
    await slot.start()
    await bench.send(['b'])
    await drain(slot)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
  })
})

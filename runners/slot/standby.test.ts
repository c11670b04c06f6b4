/** Heartbeat epochs, and slots that follow what another commits until they take it over. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type DurationMs, millis } from '../../kernel/index.js'
import { type Log, offset } from '../../log/index.js'
import type { CommitFault } from '../../log/memory/index.js'
import { Catalogue, MemoryObjects, MemoryDisk as StateDisk } from '../../state/index.js'
import type { SlotLimits } from './options.js'
import type { Slot } from './slot.js'
import { Standby } from './standby.js'
import { Bench, drain, journal, type KeptCheckpoints } from './testing/bench.js'

const beats: Partial<SlotLimits> = { heartbeatMs: millis(250) }

/** Everything that is there is folded. */
async function follow(standby: Standby): Promise<void> {
  while ((await standby.step()) > 0) {}
  assert.ok(standby.caughtUp)
}

async function standbyOn(bench: Bench, state = new StateDisk(), limits = beats, kept?: KeptCheckpoints) {
  const options = await bench.options({}, limits, state, undefined, kept)
  const standby = new Standby(options)
  await standby.start()
  return { standby, store: options.store }
}

async function steps(slot: Slot, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await slot.step()
}

describe('heartbeat epochs', () => {
  it('come at once, and then as often as was said while there is nothing to read', async () => {
    const bench = new Bench()
    await bench.send(['a', 'b'])
    const slot = await bench.slot({}, beats)
    await slot.start()
    await steps(slot, 5)
    assert.equal(slot.epoch, 1, 'what is there is the first epoch')
    for (const [nowMs, epoch] of [
      [1_249, 1],
      [1_250, 2],
      [1_499, 2],
      [1_501, 3],
    ] as const) {
      bench.nowMs = nowMs
      await steps(slot, 3)
      assert.equal(slot.epoch, epoch, `at ${nowMs}`)
    }
    const [first, second, third] = await bench.epochs()
    assert.deepEqual(second!.inputs, [])
    assert.deepEqual(third!.positions, first!.positions)
    assert.deepEqual(third!.counts, first!.counts)
    assert.equal(third!.heartbeat_ms, 250)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
  })

  it('come first of all where there is nothing: whoever was fenced finds the newer owner', async () => {
    const bench = new Bench()
    const slot = await bench.slot({}, beats)
    await slot.start()
    await slot.step()
    assert.deepEqual(
      (await bench.epochs()).map(({ generation }) => generation),
      [1],
    )
  })

  it('do not come where nobody asked for them', async () => {
    const bench = new Bench()
    const slot = await bench.started()
    bench.nowMs += 1e9
    await steps(slot, 3)
    assert.deepEqual(await bench.epochs(), [])
  })

  it('have state written back by a bound of their own alone, and end in what a restart finds', async () => {
    const bench = new Bench()
    const state = new StateDisk()
    const limits = { ...beats, epochsPerWriteBackMax: 3, quietDirtyKeysMax: 1e6, heartbeatsPerWriteBackMax: 10 }
    const slot = await bench.slot({}, limits, state)
    await slot.start()
    await bench.send(['a'])
    for (let epoch = 1; epoch < 10; epoch++) {
      await slot.step()
      bench.nowMs += 250
    }
    assert.equal(slot.reflected?.positions[0]?.offset, undefined, 'one epoch with records, nine without')
    await steps(slot, 1)
    bench.nowMs += 250
    await steps(slot, 1)
    assert.equal(slot.epoch, 11)
    assert.equal(slot.reflected?.journal, 11n, 'genesis, one epoch, ten heartbeats')
    bench.nowMs += 250
    await steps(slot, 1)
    state.crash(state.unsynced)
    const again = await bench.slot({}, limits, state)
    await again.start()
    assert.equal(again.epoch, 12)
    await bench.send(['b'])
    await drain(again)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
  })

  it('say at the end that the owner leaves', async () => {
    const bench = new Bench()
    const slot = await bench.slot({}, beats)
    await slot.start()
    await steps(slot, 1)
    await slot.close()
    assert.deepEqual(
      (await bench.epochs()).map(epoch => epoch.heartbeat_ms),
      [250, 0],
    )
  })
})

describe('an owner that leaves', () => {
  it('writes nothing back where its last epoch did not commit', async () => {
    const bench = new Bench()
    const state = new StateDisk()
    let fault: CommitFault = 'none'
    const slot = await bench.slot({ commit: () => fault }, beats, state)
    await slot.start()
    await bench.send(['a'])
    await steps(slot, 1)
    fault = 'lost'
    await assert.rejects(slot.close(), { code: 'COMMIT_INDEFINITE' })
    state.crash(state.unsynced)
    assert.equal(state.entries, 0)
    const again = await bench.slot({}, beats, state)
    await again.start()
    await bench.send(['b'])
    await drain(again)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
  })
})

describe('a standby', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-standby-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('follows without a trace, and goes on from where the owner was', async () => {
    const bench = new Bench()
    const owner = await bench.slot({}, { ...beats, epochRecordsMax: 2 })
    await owner.start()
    const { standby } = await standbyOn(bench)
    await bench.send(['a', 'b', 'c'])
    await steps(owner, 3)
    await follow(standby)
    assert.equal(standby.epoch, owner.epoch)
    await bench.send(['d'])
    await steps(owner, 1)
    // The last epoch has not been followed, and one record has not been read.
    await bench.send(['e'])
    const slot = await standby.takeOver()
    await steps(slot, 1)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2', 'c=3', 'd=4', 'e=5'])
    assert.equal(slot.counts.get('records'), 5)
    await bench.send(['f'])
    await assert.rejects(steps(owner, 1), { code: 'SLOT_FENCED' })
    await steps(slot, 1)
    assert.deepEqual((await bench.counted()).slice(4), ['e=5', 'f=6'])
    const generations = (await bench.epochs()).map(({ generation }) => generation)
    assert.deepEqual([...new Set(generations)], [1, 2])
    await standby.close()
    assert.equal(slot.state, 'closed')
  })

  it('leaves a record out that its owner left out', async () => {
    const bench = new Bench()
    const owner = await bench.slot({}, beats)
    await owner.start()
    const { standby } = await standbyOn(bench)
    await bench.send(['a', 'bad', 'b'])
    await steps(owner, 2)
    await follow(standby)
    await bench.send(['c'])
    await steps(await standby.takeOver(), 1)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2', 'c=3'])
    assert.equal((await bench.read('dead')).length, 1)
  })

  it('writes back as it follows, and goes on from there', async () => {
    const bench = new Bench()
    const owner = await bench.slot({}, { ...beats, epochRecordsMax: 1 })
    await owner.start()
    const state = new StateDisk()
    const first = await standbyOn(bench, state, { ...beats, epochsPerWriteBackMax: 2 })
    await bench.send(['a', 'b', 'c'])
    await steps(owner, 3)
    await follow(first.standby)
    assert.equal(first.store.reflects?.epoch, 2)
    state.crash(0)
    const second = await standbyOn(bench, state)
    await follow(second.standby)
    await second.standby.close()
    assert.equal(second.store.reflects?.epoch, 3)
    state.crash(state.unsynced)
    const third = await standbyOn(bench, state)
    await bench.send(['d'])
    await steps(await third.standby.takeOver(), 1)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2', 'c=3', 'd=4'])
  })

  it('waits at an empty journal, and begins it when it is told to', async () => {
    const bench = new Bench()
    const { standby } = await standbyOn(bench)
    assert.equal(await standby.step(), 0)
    assert.equal(standby.facts.caughtUp, true)
    await bench.send(['a'])
    await steps(await standby.takeOver(), 1)
    assert.deepEqual(await bench.counted(), ['a=1'])
    const late = await standbyOn(bench)
    await follow(late.standby)
    assert.equal(late.standby.epoch, 1)
  })

  it('begins to follow a journal that was empty', async () => {
    const bench = new Bench()
    const { standby } = await standbyOn(bench)
    const owner = await bench.slot({}, beats)
    await owner.start()
    await steps(owner, 1)
    await standby.step()
    await follow(standby)
    assert.equal(standby.epoch, 1)
  })

  it('restores a newer checkpoint where the journal that it should follow is gone', async () => {
    const bench = new Bench()
    const kept: KeptCheckpoints = { objects: new MemoryObjects(), spoolDirectory: join(folder, 'owner'), told: [] }
    const limits = { ...beats, epochRecordsMax: 1, epochsPerWriteBackMax: 2 }
    const owner = await bench.slot({}, limits, new StateDisk(), undefined, kept)
    await owner.start()
    const state = new StateDisk()
    const slow = await standbyOn(bench, state)
    for (const [first, second] of ['ab', 'cd'] as const) {
      await bench.send([first!, second!])
      await steps(owner, 2)
      await kept.checkpointer!.idle()
    }
    await bench.send(['e'])
    await steps(owner, 1)
    await kept.checkpointer!.idle()
    await bench.log.trim({ ...journal, offset: owner.reflected!.journal })
    await assert.rejects(slow.standby.step(), { code: 'OFFSET_OUT_OF_RANGE' })
    await slow.standby.close({ keepState: false })
    state.crash(state.unsynced)
    const own: KeptCheckpoints = { objects: kept.objects, spoolDirectory: join(folder, 'standby'), told: [] }
    const { standby } = await standbyOn(bench, state, { ...beats, epochsPerWriteBackMax: 1 }, own)
    assert.ok(own.told.includes('restored'))
    const made = [...kept.objects.objects.keys()]
    await follow(standby)
    await bench.send(['f'])
    await steps(owner, 1)
    await follow(standby)
    await own.checkpointer!.idle()
    assert.deepEqual([...kept.objects.objects.keys()], made, 'a standby makes no checkpoints')
    await bench.send(['g'])
    await steps(await standby.takeOver(), 1)
    assert.equal((await bench.counted()).at(-1), 'g=7')
  })

  it('finds at another try the only whole checkpoint, which was published after the first had listed them', async () => {
    const bench = new Bench()
    const kept: KeptCheckpoints = { objects: new MemoryObjects(), spoolDirectory: join(folder, 'publisher'), told: [] }
    const { objects } = kept.objects
    const owner = await bench.slot({}, { ...beats, epochsPerWriteBackMax: 1 }, new StateDisk(), undefined, kept)
    await owner.start()
    const commit = async (id: string): Promise<void> => {
      await bench.send([id])
      await steps(owner, 1)
      await kept.checkpointer!.idle()
    }
    // At the first write-back it looks what is there; at the second it makes a checkpoint.
    for (const id of ['a', 'b']) await commit(id)
    const [damaged, ...others] = [...objects.keys()].filter(name => name.includes('/manifests/'))
    assert.deepEqual(others, [])
    objects.set(damaged!, objects.get(damaged!)!.subarray(0, 10))
    await bench.log.trim({ ...journal, offset: owner.reflected!.journal })
    const own: KeptCheckpoints = { objects: kept.objects, spoolDirectory: join(folder, 'tries'), told: [] }
    const state = new StateDisk()
    const options = await bench.options({}, beats, state, undefined, own)
    const store = kept.objects.open()
    const get = store.get.bind(store)
    store.get = async name => {
      await commit('c')
      return await get(name)
    }
    const catalogue = new Catalogue(store, 'counting', 0)
    const standby = new Standby({ ...options, checkpoints: { ...options.checkpoints!, catalogue } })
    await assert.rejects(standby.start(), { code: 'HISTORY_TRIMMED' })
    await standby.close({ keepState: false })
    state.crash(state.unsynced)
    const again = await standbyOn(bench, state, beats, own)
    assert.ok(own.told.includes('restored'))
    await follow(again.standby)
    assert.equal(again.standby.epoch, 3)
  })

  it('tells what is wrong with the journal and with its inputs', async () => {
    const bench = new Bench()
    const owner = await bench.slot({}, beats)
    await owner.start()
    const { standby } = await standbyOn(bench)
    await bench.send(['a'])
    await steps(owner, 1)
    await bench.log.trim({ topic: 'in', partition: 0, offset: offset(1) })
    await assert.rejects(standby.step(), { code: 'OFFSET_OUT_OF_RANGE' })
    await bench.log.append([{ ...journal, records: [{ key: null, value: Buffer.from('{}') }] }])
    const { standby: next } = await standbyOn(bench).catch((error: unknown) => {
      assert.equal((error as { code: string }).code, 'JOURNAL_CORRUPT')
      return { standby: undefined }
    })
    assert.equal(next, undefined)
  })

  it('does not believe a silence that was its own, or the log’s', async () => {
    const bench = new Bench()
    const owner = await bench.slot({}, beats)
    await owner.start()
    await steps(owner, 1)
    const options = await bench.options({}, beats)
    let lost: DurationMs = millis(0)
    const { log } = options
    const slow: Log = {
      totalOrder: log.totalOrder,
      createTopic: (topic, partitions) => log.createTopic(topic, partitions),
      partitionCount: topic => log.partitionCount(topic),
      range: async at => {
        bench.nowMs += lost
        return await log.range(at)
      },
      reader: async from => {
        const reader = await log.reader(from)
        const poll = reader.poll.bind(reader)
        reader.poll = async limits => {
          bench.nowMs += lost
          return await poll(limits)
        }
        return reader
      },
      committer: id => log.committer(id),
      close: () => log.close(),
    }
    const standby = new Standby({ ...options, log: slow })
    await standby.start()
    await follow(standby)
    bench.nowMs += 700
    assert.equal(standby.facts.silentMs, 700)
    assert.ok(await standby.isLast())
    lost = millis(1_000)
    await standby.step()
    assert.equal(standby.facts.silentMs, 0, 'this process stood still')
    lost = millis(0)
    bench.nowMs += 700
    lost = millis(300)
    assert.equal(await standby.isLast(), false)
    assert.equal(standby.facts.silentMs, 0, 'the log stood still')
    lost = millis(0)
    await steps(owner, 1)
    assert.equal(await standby.isLast(), false, 'another epoch has come')
  })

  it('counts take-overs and slow epochs', async () => {
    const bench = new Bench()
    const first = await bench.slot({}, beats)
    await first.start()
    await steps(first, 1)
    const { standby } = await standbyOn(bench)
    bench.nowMs += 900
    await steps(first, 1)
    const second = await bench.slot({}, beats)
    await second.start()
    bench.nowMs += 5_000
    await steps(second, 1)
    await follow(standby)
    const { takeovers, longestGapMs, generation, heartbeatMs } = standby.facts
    assert.deepEqual(
      { takeovers, longestGapMs, generation, heartbeatMs },
      { takeovers: 1, longestGapMs: 900, generation: 2, heartbeatMs: 250 },
    )
    bench.nowMs += 60_001
    assert.equal(standby.facts.takeovers, 0)
    assert.equal(standby.facts.longestGapMs, 0)
    assert.equal(standby.lag.ms, 59_751)
  })
})

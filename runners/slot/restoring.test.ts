/** A slot that lost its disk, or was away for long, goes on from a checkpoint. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseSealKeys } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { Catalogue, MemoryObjects, reencrypt, MemoryDisk as StateDisk, unencrypted } from '../../state/index.js'
import type { Slot } from './slot.js'
import { Bench, drain, journal, type KeptCheckpoints } from './testing/bench.js'

describe('a slot with checkpoints', () => {
  let root: string
  let spools = 0
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'weir-restoring-'))
  })
  const machines: KeptCheckpoints[] = []
  after(async () => {
    for (const { spool } of machines) await spool?.close()
    await rm(root, { recursive: true })
  })

  const machine = (objects: MemoryObjects): KeptCheckpoints => {
    const kept = { objects, spoolDirectory: join(root, String(spools++)), told: [] }
    machines.push(kept)
    return kept
  }
  /** The process of before is gone, and what it told. */
  const restarted = async (kept: KeptCheckpoints): Promise<KeptCheckpoints> => {
    await kept.checkpointer?.close()
    await kept.spool?.close()
    kept.told.length = 0
    return kept
  }
  const slotOn = (bench: Bench, kept: KeptCheckpoints, state: StateDisk): Promise<Slot> =>
    bench.slot({}, { epochRecordsMax: 1, epochsPerWriteBackMax: 2 }, state, undefined, kept)

  /** Twenty epochs of one record; killed. */
  async function history(): Promise<{ bench: Bench; kept: KeptCheckpoints; state: StateDisk }> {
    const bench = new Bench()
    const kept = machine(new MemoryObjects())
    const state = new StateDisk()
    const slot = await slotOn(bench, kept, state)
    await slot.start()
    for (let i = 0; i < 20; i += 4) {
      await bench.send(Array.from({ length: 4 }, (_, j) => `r${i + j}`))
      await drain(slot)
      await kept.checkpointer!.idle()
    }
    state.crash(state.unsynced)
    assert.ok(kept.told.filter(kind => kind === 'checkpoint').length >= 3)
    return { bench, kept, state }
  }

  /** Journal and inputs begin where the oldest checkpoint that is kept goes on. */
  async function trim(bench: Bench, objects: MemoryObjects): Promise<void> {
    let oldest: { journal: number; inputs: readonly { topic: string; partition: number; offset: string }[] } | undefined
    for await (const found of new Catalogue(objects.open(), 'counting', 0).newestFirst()) {
      if ('manifest' in found) oldest = { journal: found.manifest.resume!.offset, inputs: found.manifest.inputs }
    }
    await bench.log.trim({ ...journal, offset: offset(oldest!.journal) })
    for (const at of oldest!.inputs) await bench.log.trim({ ...at, offset: offset(BigInt(at.offset)) })
  }

  /** Another machine runs 204 records further, and makes checkpoints of them. */
  async function anotherGoesOn(bench: Bench, kept: KeptCheckpoints): Promise<void> {
    const other = machine(kept.objects)
    const slot = await slotOn(bench, other, new StateDisk())
    await slot.start()
    await bench.send(Array.from({ length: 200 }, (_, i) => `s${i}`))
    await drain(slot)
    await other.checkpointer!.idle()
    await bench.send(Array.from({ length: 4 }, (_, i) => `t${i}`))
    await drain(slot)
    await other.checkpointer!.idle()
  }

  async function goesOn(bench: Bench, slot: Slot): Promise<void> {
    await bench.send(['next'])
    await drain(slot)
    assert.equal((await bench.counted()).at(-1), 'next=21')
    assert.equal(slot.counts.get('records'), 21)
  }

  it('loses its disk and the head of the journal, and goes on as if it had not', async () => {
    const { bench, kept } = await history()
    await trim(bench, kept.objects)
    const other = machine(kept.objects)
    const slot = await slotOn(bench, other, new StateDisk())
    await slot.start()
    assert.ok(other.told.includes('restored'))
    await goesOn(bench, slot)
  })

  it('keeps its store where that is as near', async () => {
    const { bench, kept, state } = await history()
    const again = await restarted(kept)
    const slot = await slotOn(bench, again, state)
    await slot.start()
    assert.ok(!again.told.includes('restored'))
    await goesOn(bench, slot)
  })

  it('says that its store is damaged, and takes the checkpoint', async () => {
    const { bench, kept, state } = await history()
    const backend = state.open()
    const turns = Buffer.from('\x10turn')
    const [some] = await backend.range({ gte: turns, lt: Buffer.from('\x10turo'), limit: 1 })
    const batch = backend.batch()
    batch.delete(some!.key)
    await backend.write(batch, { sync: true })
    await backend.close()
    const again = await restarted(kept)
    const slot = await slotOn(bench, again, state)
    await slot.start()
    assert.deepEqual(
      again.told.filter(kind => kind === 'state-damaged' || kind === 'restored'),
      ['state-damaged', 'restored'],
    )
    await goesOn(bench, slot)
  })

  it('leaves a store that is far behind for a checkpoint that another has made', async () => {
    const { bench, kept, state } = await history()
    await anotherGoesOn(bench, kept)
    const back = await restarted(kept)
    const first = await slotOn(bench, back, state)
    await first.start()
    assert.ok(back.told.includes('restored'))
    await bench.send(['next'])
    await drain(first)
    assert.equal((await bench.counted()).at(-1), 'next=225')
  })

  it('takes the one before when the newest is damaged, and says so', async () => {
    const { bench, kept } = await history()
    await trim(bench, kept.objects)
    const newest = [...kept.objects.objects.keys()]
      .filter(name => name.includes('/manifests/'))
      .sort()
      .at(-1)!
    kept.objects.objects.get(newest)![5]! ^= 1
    const other = machine(kept.objects)
    const slot = await slotOn(bench, other, new StateDisk())
    await slot.start()
    assert.deepEqual(
      other.told.filter(kind => kind === 'checkpoint-unusable' || kind === 'restored'),
      ['checkpoint-unusable', 'restored'],
    )
    await goesOn(bench, slot)
  })

  it('does not empty a store for a checkpoint that turns out damaged', async () => {
    const { bench, kept, state } = await history()
    await anotherGoesOn(bench, kept)
    for (const [name, bytes] of kept.objects.objects) if (name.includes('/segments/')) bytes[bytes.length - 1]! ^= 1
    const back = await restarted(kept)
    const first = await slotOn(bench, back, state)
    await first.start()
    assert.ok(back.told.includes('checkpoint-unusable') && !back.told.includes('restored'))
    assert.ok(back.told.includes('replayed'))
    assert.equal(first.counts.get('records'), 224)
  })

  it('waits for the checkpoint store that falls silent after the store was emptied for it', async () => {
    const { bench, kept, state } = await history()
    await anotherGoesOn(bench, kept)
    await trim(bench, kept.objects)
    const back = await restarted(kept)
    // Each segment comes once: found whole, and not there for the restore.
    const read = new Set<string>()
    kept.objects.fault = ({ kind, name }) => {
      if (kind !== 'get' || !name.includes('/segments/') || !read.has(name)) {
        read.add(name)
        return undefined
      }
      return 'lost'
    }
    // Its inputs and its journal are there from its own position on.
    const slot = await slotOn(bench, back, state)
    await assert.rejects(slot.start(), { code: 'CHECKPOINT_STORE_FAILED' })
    state.crash(state.unsynced)
    kept.objects.fault = () => undefined
    const again = await slotOn(bench, await restarted(kept), state)
    await again.start()
    assert.ok(kept.told.includes('restored'))
    await bench.send(['next'])
    await drain(again)
    assert.equal((await bench.counted()).at(-1), 'next=225')
  })

  it('waits for the checkpoint store where it may need it, and goes on without where it does not', async () => {
    const { bench, kept, state } = await history()
    kept.objects.fault = () => 'lost'
    const lost = await slotOn(bench, machine(kept.objects), new StateDisk())
    await assert.rejects(lost.start(), { code: 'CHECKPOINT_STORE_FAILED' })
    const slot = await slotOn(bench, await restarted(kept), state)
    await slot.start()
    await goesOn(bench, slot)
  })

  it('goes on without the key of its checkpoints where its own state will do, and not where it may need them', async () => {
    const { bench, kept, state } = await history()
    const keys = parseSealKeys('42'.repeat(32), 'the test')
    await reencrypt(kept.objects.open(), keys, { plain: 'encrypt', onFailed: assert.fail })
    const lost = await slotOn(bench, { ...machine(kept.objects), seen: unencrypted }, new StateDisk())
    await assert.rejects(lost.start(), { code: 'CHECKPOINT_KEY' })
    const own = { ...(await restarted(kept)), seen: unencrypted }
    machines.push(own)
    const before = new Map(kept.objects.objects)
    const slot = await slotOn(bench, own, state)
    await slot.start()
    await goesOn(bench, slot)
    await own.checkpointer!.afterWriteBack([])
    await own.checkpointer!.idle()
    assert.ok(own.told.includes('checkpoint-failed'))
    assert.deepEqual(kept.objects.objects, before, 'nothing is written in plain')
  })

  it('looks again where another has trimmed the log while it chose', async () => {
    const { bench, kept, state } = await history()
    await anotherGoesOn(bench, kept)
    const back = await restarted(kept)
    const slot = await slotOn(bench, back, state)
    const newest = await new Catalogue(kept.objects.open(), 'counting', 0).newestFirst()[Symbol.asyncIterator]().next()
    assert.ok(!newest.done && 'manifest' in newest.value)
    const from = offset(newest.value.manifest.resume!.offset)
    kept.objects.fault = () => {
      kept.objects.fault = () => undefined
      // The state on the disk has been found good before, and is not any more.
      bench.disk.trim({ ...journal, offset: from })
      return 'lost'
    }
    await slot.start()
    assert.ok(back.told.includes('restored'))
    await bench.send(['next'])
    await drain(slot)
    assert.equal((await bench.counted()).at(-1), 'next=225')
  })

  it('asks the checkpoint store when it starts, not at each record that an operator throws on', async () => {
    const { bench, kept, state } = await history()
    const back = await restarted(kept)
    // It writes back, and so looks for checkpoints, after many epochs only.
    const slot = await bench.slot({}, { epochRecordsMax: 1 }, state, undefined, back)
    let lists = 0
    kept.objects.fault = ({ kind }) => {
      if (kind === 'list') lists++
      return undefined
    }
    await slot.start()
    assert.equal(lists, 1)
    await bench.send(['bad', 'bad', 'next'])
    await slot.step()
    await slot.step()
    assert.equal(slot.counts.get('dead_letters'), 2)
    assert.equal(lists, 1)
  })

  it('begins a new job without looking', async () => {
    const kept = machine(new MemoryObjects())
    kept.objects.fault = () => 'lost'
    const bench = new Bench()
    const slot = await slotOn(bench, kept, new StateDisk())
    await slot.start()
    assert.equal(slot.epoch, 0)
  })
})

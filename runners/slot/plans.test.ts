/** What a slot makes of the end of a plan, and of the beginning of the next. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LogCommitter } from '../../log/index.js'
import { type StateBackend, MemoryDisk as StateDisk, StateStore } from '../../state/index.js'
import { encodeJournalRecord, type LaterGenesis } from './journal.js'
import type { SlotOptions } from './options.js'
import type { Slot } from './slot.js'
import { Standby } from './standby.js'
import { Bench, drain, journal } from './testing/bench.js'

async function started(
  bench: Bench,
  more: Pick<SlotOptions, 'planNumber' | 'isCloser'> = {},
  state = new StateDisk(),
  seed?: Seed,
): Promise<Slot> {
  const slot = await bench.slot({}, {}, state, undefined, undefined, backend => ({
    ...more,
    ...(seed && { seed: (genesis, position) => seed(backend, genesis, position) }),
  }))
  await slot.start()
  return slot
}

type Seed = (backend: StateBackend, ...args: Parameters<NonNullable<SlotOptions['seed']>>) => Promise<void>
let seeded = 0

const closing = { savepoint: 's', last: false }
const closed = { savepoint: 's', last: true }

/** Three records, then the plan is closed; the state of its end. */
async function closedPlan(): Promise<{ bench: Bench; state: StateDisk }> {
  const bench = new Bench()
  const state = new StateDisk()
  const slot = await started(bench, { isCloser: true }, state)
  await bench.send(['a', 'b', 'c'])
  await drain(slot)
  await slot.mark(closing)
  await slot.mark(closed)
  await slot.close()
  state.crash(state.unsynced)
  return { bench, state }
}

/** The second plan, whose state is that of `state`. */
async function begin(bench: Bench, state: StateDisk): Promise<Seed> {
  const last = (await bench.epochs()).at(-1)!
  const genesis: LaterGenesis = {
    v: 2,
    kind: 'genesis',
    app: 'counting',
    plan: 2,
    epoch: 100,
    generation: last.generation + 7,
    slots: 1,
    slot: 0,
    key_groups: 4,
    partitions: [{ topic: 'in', count: 1 }],
    start: last.positions,
    clocks: last.clocks,
    watermark_ms: last.watermark_ms,
    counts: last.counts,
    job: {},
    fingerprint: last.fingerprint,
    from: { savepoint: 's', sha256: 'x', migration: [] },
    previous: encodeJournalRecord(last).hash,
  }
  await bench.log.append([{ ...journal, records: [{ key: null, value: encodeJournalRecord(genesis).bytes }] }])
  return async (backend, found, position) => {
    assert.deepEqual([found.plan, position.epoch], [2, 100])
    assert.equal(found.from.savepoint, 's')
    seeded++
    const batch = backend.batch()
    const all = { gte: Buffer.of(0x10), lt: Buffer.of(0xff), limit: 1_000 }
    for (const { key, value } of await state.copy().open().range(all)) batch.put(key, value)
    await backend.write(batch, { sync: true })
    const store = await StateStore.open({ backend, keyGroups: 4 })
    await store.write(store.serialise(), position, { sync: true })
  }
}

describe('a plan that ends', () => {
  it('reads nothing more, whoever runs the slot, until it is said that it goes on', async () => {
    const bench = new Bench()
    const first = await started(bench, {})
    await bench.send(['a'])
    await drain(first)
    await first.mark(closing)
    await bench.send(['b'])
    await drain(first)
    const other = await started(bench, {})
    assert.deepEqual(other.closing, closing)
    await drain(other)
    assert.deepEqual(await bench.counted(), ['a=1'])
    await other.mark(null)
    assert.equal(other.closing, undefined)
    await drain(other)
    assert.deepEqual(await bench.counted(), ['a=1', 'b=2'])
    const again = await started(bench, {})
    assert.deepEqual([again.epoch, again.closing, again.counts.get('records')], [4, undefined, 2])
  })

  it('is closed for all but who closes it, and nothing is written to it', async () => {
    const { bench, state } = await closedPlan()
    const before = (await bench.epochs()).length
    for (const disk of [state, new StateDisk()]) {
      await assert.rejects(started(bench, {}, disk.copy()), { code: 'PLAN_CLOSED', message: /plan 1 is closed/ })
    }
    const closer = await started(bench, { isCloser: true })
    assert.deepEqual([closer.closing, closer.epoch, closer.counts.get('records')], [closed, before, 3])
    await bench.send(['d'])
    assert.equal((await closer.step()).kind, 'idle')
    await closer.close()
    assert.equal((await bench.epochs()).length, before)
  })

  it('is not taken over by who follows it, though it is closed only while that is fencing', async () => {
    const bench = new Bench()
    const closer = await started(bench, { isCloser: true })
    await bench.send(['a'])
    await drain(closer)
    await closer.mark(closing)
    const options = await bench.options({}, {}, new StateDisk())
    const { log } = options
    const committer = async (id: string): Promise<LogCommitter> => {
      await closer.mark(closed)
      return await log.committer(id)
    }
    const standby = new Standby({
      ...options,
      log: {
        totalOrder: log.totalOrder,
        createTopic: (topic, partitions) => log.createTopic(topic, partitions),
        partitionCount: topic => log.partitionCount(topic),
        range: at => log.range(at),
        reader: from => log.reader(from),
        committer,
        close: () => log.close(),
      },
    })
    await standby.start()
    await assert.rejects(standby.takeOver(), { code: 'PLAN_CLOSED', message: /plan 1 is closed/ })
    assert.deepEqual((await bench.epochs()).at(-1)!.closes, closed)
    await standby.close({ keepState: false })
  })

  it('is followed no further than to its end', async () => {
    const { bench, state } = await closedPlan()
    const standby = new Standby(await bench.options({}, {}, state.copy()))
    await assert.rejects(standby.start(), { code: 'PLAN_CLOSED' })
  })

  it('does not fence who runs the next one', async () => {
    const { bench, state } = await closedPlan()
    const seed = await begin(bench, state)
    const next = await started(bench, { planNumber: 2 }, new StateDisk(), seed)
    await assert.rejects(started(bench, {}, state.copy()), {
      code: 'PLAN_CLOSED',
      message: /of plan 2, and this is plan 1/,
    })
    await bench.send(['d'])
    await drain(next)
    assert.equal((await bench.counted()).at(-1), 'd=4')
  })

  it('recovers from a mark of which it is not known whether it was written', async () => {
    for (const fault of ['lost', 'applied'] as const) {
      const bench = new Bench()
      let commits = 0
      const slot = await bench.slot({ commit: () => (++commits === 2 ? fault : 'none') })
      await slot.start()
      await slot.mark(closing)
      assert.deepEqual(slot.closing, fault === 'applied' ? closing : undefined)
    }
  })
})

describe('a plan that follows another', () => {
  it('begins with the state of its savepoint, at the positions and with the totals of before', async () => {
    const { bench, state } = await closedPlan()
    const closedAt = (await bench.epochs()).at(-1)!
    const seed = await begin(bench, state)
    await bench.send(['d'])
    seeded = 0
    const disk = new StateDisk()
    const slot = await started(bench, { planNumber: 2 }, disk, seed)
    assert.equal(seeded, 1)
    await drain(slot)
    assert.equal((await bench.counted()).at(-1), 'd=4')
    assert.equal(slot.counts.get('records'), 4)
    await slot.close()
    disk.crash(disk.unsynced)
    const epoch = (await bench.epochs()).at(-1)!
    assert.deepEqual([epoch.plan, epoch.epoch, epoch.generation], [2, 101, closedAt.generation + 8])
    // its store is one to go on from, without the savepoint
    const again = await started(bench, { planNumber: 2 }, disk)
    await bench.send(['e'])
    await drain(again)
    assert.equal((await bench.counted()).at(-1), 'e=5')
  })

  it('does not go on from a store of the plan before, however new', async () => {
    const { bench, state } = await closedPlan()
    const seed = await begin(bench, state)
    seeded = 0
    const slot = await started(bench, { planNumber: 2 }, state.copy(), seed)
    assert.equal(seeded, 1)
    assert.equal(slot.epoch, 100)
    await assert.rejects(started(bench, { planNumber: 2 }), {
      code: 'CHECKPOINT_STORE_FAILED',
      message: /savepoint 's'/,
    })
  })

  it('is rebuilt from its genesis, behind everything that the plans before have left', async () => {
    const { bench, state } = await closedPlan()
    const seed = await begin(bench, state)
    const first = await started(bench, { planNumber: 2 }, new StateDisk(), seed)
    await bench.send(['d', 'e'])
    await drain(first)
    seeded = 0
    const lost = await started(bench, { planNumber: 2 }, new StateDisk(), seed)
    assert.equal(seeded, 1)
    await bench.send(['f'])
    await drain(lost)
    assert.equal((await bench.counted()).at(-1), 'f=6')
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Clock, millis } from '../../kernel/index.js'
import type { LogUnderTest } from '../conformance/index.js'
import { logConformance } from '../conformance/index.js'
import { type Append, offset, type PollLimits } from '../port.js'
import { type CommitFault, type Faults, MemoryDisk, MemoryLog, noFaults } from './index.js'

for (const markers of [false, true]) {
  logConformance(`memory log${markers ? ' with markers' : ''}`, async (): Promise<LogUnderTest> => {
    const disk = new MemoryDisk({ markers })
    const log = new MemoryLog(disk)
    const delayed = (fault: CommitFault) => new MemoryLog(disk, { faults: { ...noFaults, commit: () => fault } })
    return {
      log,
      producer: log,
      trimmer: log,
      reopen: async () => new MemoryLog(disk),
      async openTransaction(id, appends) {
        const committer = await delayed('delayed').committer(id)
        await assert.rejects(committer.commit(appends))
        return { end: async how => (how === 'commit' ? disk.settle() : disk.abortDelayed()) }
      },
      async indefiniteCommit(id, appends) {
        const committer = await delayed('lost').committer(id)
        return { commit: () => committer.commit(appends), again: () => committer.commit(appends) }
      },
      dispose: () => log.close(),
    }
  })
}

const limits: PollLimits = { recordsMax: 100, bytesMax: 1 << 20, waitMsMax: millis(0) }
const one = (value: string): Append => ({
  topic: 't',
  partition: 0,
  records: [{ key: null, value: Buffer.from(value) }],
})

async function withFaults(faults: Partial<Faults>, clock?: Clock) {
  const disk = new MemoryDisk()
  disk.createTopic('t', 1)
  const log = new MemoryLog(disk, { faults: { ...noFaults, ...faults }, ...(clock === undefined ? {} : { clock }) })
  return { disk, log, reader: await log.reader([{ topic: 't', partition: 0, offset: offset(0) }]) }
}

const latest = async (log: MemoryLog): Promise<bigint> => (await log.range({ topic: 't', partition: 0 })).latest

describe('faults of the memory log', () => {
  const expected: [CommitFault, string | undefined, bigint][] = [
    ['none', undefined, 1n],
    ['refused', 'BACKEND_FAILED', 0n],
    ['lost', 'COMMIT_INDEFINITE', 0n],
    ['applied', 'COMMIT_INDEFINITE', 1n],
    ['delayed', 'COMMIT_INDEFINITE', 0n],
  ]
  for (const [fault, code, written] of expected) {
    it(`a commit that is ${fault}: ${code ?? 'no error'}, ${written} written`, async () => {
      const { log } = await withFaults({ commit: () => fault })
      const committer = await log.committer('id')
      if (code === undefined) await committer.commit([one('a')])
      else {
        await assert.rejects(committer.commit([one('a')]), { code })
        await assert.rejects(committer.commit([one('b')]), { code })
      }
      assert.equal(await latest(log), written)
    })
  }

  it('a delayed commit arrives when the disk settles, once', async () => {
    const { disk, log } = await withFaults({ commit: () => 'delayed' })
    await assert.rejects((await log.committer('id')).commit([one('a')]))
    assert.equal(disk.delayedCommits, 1)
    disk.settle()
    disk.settle()
    assert.equal(await latest(log), 1n)
  })

  it('a delayed commit of a fenced committer never arrives', async () => {
    const { disk, log } = await withFaults({ commit: ({ generation }) => (generation === 1 ? 'delayed' : 'none') })
    await assert.rejects((await log.committer('id')).commit([one('never')]))
    const newer = await log.committer('id')
    disk.settle()
    await newer.commit([one('newer')])
    assert.equal(await latest(log), 1n)
  })

  it('a committer that was refused has fenced nobody; one with an unknown outcome has', async () => {
    let fault: 'none' | 'refused' | 'indefinite' = 'none'
    const { log } = await withFaults({ committer: () => fault })
    const first = await log.committer('id')
    fault = 'refused'
    await assert.rejects(log.committer('id'), { code: 'BACKEND_FAILED' })
    await first.commit([one('a')])
    fault = 'indefinite'
    await assert.rejects(log.committer('id'), { code: 'BACKEND_FAILED' })
    await assert.rejects(first.commit([one('b')]), { code: 'SLOT_FENCED' })
  })

  it('polls return less, nothing, or later', async () => {
    const slept: number[] = []
    const clock: Clock = { nowMs: () => 7, sleep: async ms => void slept.push(ms) }
    const script = [{ recordsMax: 0 }, { recordsMax: 2 }, { delayMs: millis(40) }]
    const { log, reader } = await withFaults({ poll: ({ poll }) => script[poll] }, clock)
    await log.append([
      { topic: 't', partition: 0, records: Array.from({ length: 5 }, () => ({ key: null, value: null })) },
    ])
    assert.deepEqual(await reader.poll(limits), [])
    assert.deepEqual(
      (await reader.poll(limits)).map(batch => batch.count),
      [2],
    )
    const [rest] = await reader.poll(limits)
    assert.deepEqual([rest?.count, rest?.baseOffset, rest?.timestampMs?.[0]], [3, 2n, 7])
    assert.deepEqual(slept, [40])
  })

  it('a waiting poll is ended by the simulated clock', async () => {
    let wake = (): void => {}
    const clock: Clock = { nowMs: () => 0, sleep: () => new Promise(resolve => (wake = resolve)) }
    const { reader } = await withFaults({}, clock)
    const polling = reader.poll({ ...limits, waitMsMax: millis(1_000) })
    await Promise.resolve()
    wake()
    assert.deepEqual(await polling, [])
  })
})

describe('a power cut', () => {
  it('takes a suffix of the unsynced appends, and nothing that was synced', async () => {
    const { disk, log } = await withFaults({})
    for (const value of ['a', 'b', 'c', 'd']) {
      await log.append([one(value)])
      if (value === 'b') await log.sync()
    }
    assert.equal(disk.unsyncedWrites, 2)
    disk.powerCut(1)
    assert.equal(await latest(log), 3n)
    disk.powerCut()
    assert.equal(await latest(log), 3n)
  })

  it('spares every append before a commit: the log is written in order', async () => {
    const { disk, log } = await withFaults({})
    await log.append([one('input')])
    await (await log.committer('id')).commit([one('decision')])
    disk.powerCut()
    assert.equal(await latest(log), 2n)
  })
})

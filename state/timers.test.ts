import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventTime } from '../kernel/index.js'
import { MemoryDisk } from './backends/memory.js'
import { StateStore } from './store.js'
import type { DueTimer, StepTimers } from './timers.js'

const position = { epoch: 1, journalHash: 'h', fingerprint: 'f' }

async function store(disk = new MemoryDisk()) {
  const opened = await StateStore.open({ backend: disk.open(), keyGroups: 4 })
  return { opened, step: opened.step('step') }
}

function fireAll(timers: StepTimers, watermark: number): DueTimer[] {
  const fired: DueTimer[] = []
  for (let due = timers.due(eventTime(watermark)); due !== undefined; due = timers.due(eventTime(watermark))) {
    fired.push(due)
    timers.fired(due)
  }
  return fired
}

describe('timers', () => {
  it('fire by time, then by the bytes of the key', async () => {
    const { step } = await store()
    const keys = ['😀', '\uffff', 'b', 'a', '']
    await step.prefetch(keys)
    for (const at of [30, -5, 20]) {
      for (const key of keys) {
        step.enter(key)
        step.timers.timerAt(eventTime(at))
        step.timers.timerAt(eventTime(at))
      }
    }
    const expected = [-5, 20].flatMap(at => ['', 'a', 'b', '\uffff', '😀'].map(key => ({ key, at })))
    assert.deepEqual(fireAll(step.timers, 29), expected)
    assert.equal(step.timers.due(eventTime(29)), undefined)
    assert.equal(fireAll(step.timers, 30).length, 5)
  })

  it('one whose call missed is still there; one that its own call sets again is not fired twice', async () => {
    const { step } = await store()
    await step.prefetch(['k'])
    step.enter('k')
    step.timers.timerAt(eventTime(1))
    const due = step.timers.due(eventTime(5))!
    step.beginCall()
    step.timers.timerAt(eventTime(2))
    step.rollbackCall()
    assert.deepEqual(step.timers.due(eventTime(5)), due)
    step.beginCall()
    step.timers.timerAt(eventTime(1))
    step.endCall()
    step.timers.fired(due)
    assert.equal(step.timers.due(eventTime(5)), undefined)
  })

  it('are there again after a crash, as of the last write', async () => {
    const disk = new MemoryDisk()
    const first = await store(disk)
    await first.step.prefetch(['a', 'b'])
    for (const key of ['a', 'b']) {
      first.step.enter(key)
      for (const at of [7, 3, 5]) first.step.timers.timerAt(eventTime(at))
    }
    await first.opened.write(first.opened.serialise(), position, { sync: true })
    first.step.enter('a')
    first.step.timers.cancel(eventTime(3))
    first.step.timers.timerAt(eventTime(1))
    disk.crash()
    const { step, opened } = await store(disk)
    const inOrder = [3, 5, 7].flatMap(at => ['a', 'b'].map(key => ({ key, at })))
    assert.deepEqual(fireAll(step.timers, 9), inOrder)
    await opened.write(opened.serialise(), position, { sync: true })
    disk.crash()
    assert.equal((await store(disk)).step.timers.due(eventTime(99)), undefined)
  })

  it('moved again and again take no more memory', async () => {
    const { step, opened } = await store()
    await step.prefetch(['k'])
    step.enter('k')
    const before = opened.cacheBytes
    for (let at = 1; at <= 50_000; at++) {
      step.timers.cancel(eventTime(at - 1))
      step.timers.timerAt(eventTime(at))
      step.endCall()
    }
    assert.ok(opened.cacheBytes - before < 500)
    assert.deepEqual(fireAll(step.timers, 1e9), [{ key: 'k', at: 50_000 }])
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { beginningOfTime, eventTime } from '../../kernel/index.js'
import { compile, json, toJson, topology } from '../../topology/index.js'
import { advancedStages, Clocks, clockKey, clocksOf, slotWatermark } from './clocks.js'
import type { PartitionClock } from './journal.js'

const partitions = [0, 1].map(partition => ({ topic: 't', partition }))
const seen = (...times: (number | undefined)[]): Map<string, number> => {
  const map = new Map<string, number>()
  times.forEach((time, partition) => {
    if (time !== undefined) map.set(clockKey({ topic: 't', partition }), time)
  })
  return map
}
const short = (clocks: readonly PartitionClock[]) =>
  clocks.map(clock => `${clock.watermark_ms}${clock.idle ? ' idle' : ''}`)

/** Runs epochs as a slot does: what one shows is the next one's past. */
class Epochs {
  readonly #clocks: Clocks
  readonly #idleAfterMs: number

  constructor(idleAfterMs: number) {
    this.#clocks = new Clocks(partitions, 0)
    this.#idleAfterMs = idleAfterMs
  }

  next(nowMs: number, ...times: (number | undefined)[]): { clocks: readonly PartitionClock[]; watermark: number } {
    const clocks = this.#clocks.after(seen(...times), nowMs, this.#idleAfterMs)
    this.#clocks.restore(clocks)
    return { clocks, watermark: slotWatermark(clocks) }
  }
}

describe('watermarks', () => {
  it('are the least of the partitions, and none while one that is awake has shown nothing', () => {
    const epochs = new Epochs(1_000)
    assert.equal(epochs.next(0, 50).watermark, Number.NEGATIVE_INFINITY)
    assert.equal(epochs.next(1, undefined, 20).watermark, 20)
    assert.equal(epochs.next(2, 60, 30).watermark, 30)
  })

  it('never go back, whatever an epoch reads', () => {
    const epochs = new Epochs(1_000)
    epochs.next(0, 50, 70)
    assert.deepEqual(short(epochs.next(1, 10, 20).clocks), ['50', '70'])
  })

  it('are not held back by an idle partition', () => {
    const epochs = new Epochs(1_000)
    epochs.next(0, 50, 40)
    assert.deepEqual(epochs.next(999, 60).watermark, 40)
    const { clocks, watermark } = epochs.next(1_000, 80)
    assert.deepEqual(short(clocks), ['80', '40 idle'])
    assert.equal(watermark, 80)
  })

  it('wait for an idle partition again once it has spoken, and stay where they were', () => {
    const epochs = new Epochs(1_000)
    epochs.next(0, 50, 40)
    epochs.next(1_000, 80)
    const { clocks, watermark } = epochs.next(1_100, 90, 45)
    assert.deepEqual(short(clocks), ['90', '45'])
    assert.equal(watermark, 45)
  })

  it('are the least of all when every partition is idle', () => {
    const clocks = [
      { topic: 't', partition: 0, watermark_ms: 80, idle: true },
      { topic: 't', partition: 1, watermark_ms: 40, idle: true },
    ]
    assert.equal(slotWatermark(clocks), 40)
    assert.equal(slotWatermark([]), Number.NEGATIVE_INFINITY)
  })

  it('of an epoch that does not commit leave no trace', () => {
    const clocks = new Clocks(partitions, 0)
    clocks.after(seen(100, 100), 5, 1_000)
    assert.deepEqual(short(clocks.after(seen(10, 20), 6, 1_000)), ['10', '20'])
  })

  it('are taken from the journal, idleness included', () => {
    const clocks = new Clocks(partitions, 0)
    clocks.restore([
      { topic: 't', partition: 0, watermark_ms: 80, idle: false },
      { topic: 't', partition: 1, watermark_ms: null, idle: true },
      { topic: 'of another plan', partition: 0, watermark_ms: 1, idle: false },
    ])
    assert.deepEqual(short(clocks.after(seen(90), 1, 1_000)), ['90', 'null idle'])
  })
})

describe('the clocks of a plan with hops', () => {
  const app = topology('app')
  app
    .source(
      'in',
      json('any', value => String(value)),
      { eventTime: () => eventTime(0) },
    )
    .keyBy('key', value => value)
    .dedupe('once', { idOf: value => value, fingerprintOf: [], horizon: 1 as never })
    .to(
      'out',
      toJson<string>('any', value => value),
    )
  const plan = compile(app.graph, { slots: 2, partitions: 2 })
  const hop = 'weir.app.once.repartition'
  const inputs = [
    { topic: 'in', partition: 0 },
    { topic: hop, partition: 0 },
  ]
  const at = (upstream: number) => ({ topic: hop, partition: 0, upstream })

  it('are one for each slot that writes a partition', () => {
    assert.deepEqual(clocksOf(plan, inputs), [inputs[0], at(0), at(1)])
  })

  it('hold the others back until a slot was heard, or has been silent for long enough to be idle', () => {
    const clocks = new Clocks(clocksOf(plan, inputs), 0)
    const after = (nowMs: number, seen: Record<string, number>): readonly PartitionClock[] => {
      const result = clocks.after(new Map(Object.entries(seen)), nowMs, 1_000)
      clocks.restore(result)
      return result
    }
    const first = after(0, { 'in/0': 90, [clockKey(at(0))]: 50 })
    assert.equal(slotWatermark(first), Number.NEGATIVE_INFINITY)
    assert.equal(slotWatermark(after(1, { [clockKey(at(1))]: 20 })), 20)
    assert.equal(slotWatermark(after(500, { 'in/0': 90, [clockKey(at(0))]: 80 })), 20)
    assert.equal(slotWatermark(after(1_400, { 'in/0': 90 })), 80)
    assert.equal(slotWatermark(after(1_401, { [clockKey(at(1))]: 40 })), 40)
  })

  it('are not journaled for a slot that has never sent anything and is idle; a restart takes that for idle', () => {
    const clocks = new Clocks(clocksOf(plan, inputs), 0)
    const journaled = clocks.after(new Map([['in/0', 90]]), 5_000, 1_000)
    assert.deepEqual(
      journaled.map(({ topic }) => topic),
      ['in'],
    )
    const restarted = new Clocks(clocksOf(plan, inputs), 5_000)
    restarted.restore(journaled)
    assert.deepEqual(restarted.after(new Map(), 5_001, 1_000), journaled)
  })

  it('move the stages one after the other, never back, and never an earlier one by a later', () => {
    const clock = (topic: string, watermark_ms: number): PartitionClock => ({
      topic,
      partition: 0,
      watermark_ms,
      idle: false,
    })
    const none = [beginningOfTime, beginningOfTime]
    const moved = advancedStages(plan, none, [clock('in', 90), clock(hop, 50)])
    assert.deepEqual(moved, [90, 50])
    assert.deepEqual(advancedStages(plan, moved, [clock('in', 95), clock(hop, 30)]), [95, 50])
    assert.deepEqual(advancedStages(plan, moved, [clock('in', 95), clock(hop, 200)]), [95, 95])
  })
})

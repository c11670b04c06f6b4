import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Clocks, clockKey, slotWatermark } from './clocks.js'
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

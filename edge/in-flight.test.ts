import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InFlight } from './in-flight.js'

/** An engine that answers `perMs` requests a millisecond, under `offered` a millisecond. */
function run(inFlight: InFlight, clock: { ms: number }, ms: number, offered: number, perMs: number) {
  let accepted = 0
  let most = 0
  for (let t = 0; t < ms; t++) {
    clock.ms++
    for (let i = 0; i < perMs && inFlight.count > 0; i++) inFlight.leave()
    for (let i = 0; i < offered; i++) if (inFlight.enter()) accepted++
    most = Math.max(most, inFlight.count)
  }
  return { accepted, most }
}

function started(max = 2_000) {
  const clock = { ms: 0 }
  return { clock, inFlight: new InFlight({ max, queueMsMax: 50, nowMs: () => clock.ms }) }
}

describe('requests in flight', () => {
  it('are bounded by what the engine answers in the time that they may wait, once that is known', () => {
    const { clock, inFlight } = started()
    run(inFlight, clock, 500, 24, 8)
    const { accepted, most } = run(inFlight, clock, 2_000, 24, 8)
    assert.ok(most <= 8 * 50 * 1.3, `${most} waited`)
    assert.ok(accepted >= 8 * 2_000 * 0.99, 'and the engine never had less than it could do')
  })

  it('are hardly more than that from the first moment on', () => {
    const { clock, inFlight } = started()
    const { most } = run(inFlight, clock, 1_000, 24, 5)
    assert.ok(most <= 256 * 1.1 ** 2 + 1, `${most} waited`)
  })

  it('may be more and more while many come and none waits for long', () => {
    const { clock, inFlight } = started()
    run(inFlight, clock, 500, 24, 8)
    assert.ok(inFlight.bound < 1_000)
    // the bound is looked at where it could matter: when many wait
    for (let burst = 0; burst < 40; burst++) {
      run(inFlight, clock, 1, 200, 0)
      run(inFlight, clock, 120, 0, 8)
    }
    assert.equal(inFlight.bound, 2_000)
    assert.equal(run(inFlight, clock, 1, 1_500, 0).accepted, 1_500, 'a burst that is worked off')
    run(inFlight, clock, 400, 0, 8)
    assert.deepEqual([inFlight.count, inFlight.bound], [0, 2_000])
  })

  it('wait for an engine that says nothing, up to the bound there is', () => {
    const { clock, inFlight } = started()
    const { accepted } = run(inFlight, clock, 3_000, 1, 0)
    assert.deepEqual([accepted, inFlight.bound], [256, 256])
    assert.equal(inFlight.enter(), false)
  })

  it('is as small as it is told', () => {
    const { inFlight } = started(2)
    assert.deepEqual([inFlight.enter(), inFlight.enter(), inFlight.enter()], [true, true, false])
    inFlight.leave()
    assert.equal(inFlight.enter(), true)
  })
})

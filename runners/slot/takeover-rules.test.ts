import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { resolveTakeover, silenceOf, type TakeoverFacts } from './takeover.js'

const lively: TakeoverFacts = {
  caughtUp: true,
  given: false,
  ranHere: undefined,
  generation: 4,
  heartbeatMs: 250,
  silentMs: 100,
  takeovers: 0,
  longestGapMs: 0,
}
const decided = (facts: Partial<TakeoverFacts>) => resolveTakeover({ ...lively, ...facts })

describe('who follows a slot', () => {
  it('leaves it to an owner that commits', () => {
    assert.equal(decided({}), undefined)
    assert.equal(decided({ silentMs: 749 }), undefined)
  })

  it('takes it over when three heartbeats are missing', () => {
    assert.equal(decided({ silentMs: 750 }), 'silent')
  })

  it('takes it over at once from an owner that leaves', () => {
    assert.equal(decided({ heartbeatMs: 0, silentMs: 0 }), 'left')
  })

  it('never takes silence for death where the owner has promised nothing', () => {
    assert.equal(decided({ heartbeatMs: undefined, silentMs: 1e9 }), undefined)
  })

  it('takes over what it is given, once it has caught up', () => {
    assert.equal(decided({ given: true }), 'given')
    assert.equal(decided({ given: true, caughtUp: false }), undefined)
    assert.equal(decided({ caughtUp: false, silentMs: 1e9 }), undefined)
  })

  it('goes on with what ran here, if nobody has come after it', () => {
    assert.equal(decided({ ranHere: { generation: 4 } }), 'nobody since')
    assert.equal(decided({ ranHere: { generation: 3 } }), undefined)
  })

  it('asks for twice the silence with each take-over of the last minute but one, to a bound', () => {
    const silences = [0, 1, 2, 3, 4, 5, 9].map(takeovers => silenceOf({ takeovers, longestGapMs: 0 }, 250))
    assert.deepEqual(silences, [750, 750, 1_500, 3_000, 6_000, 10_000, 10_000])
    assert.equal(decided({ silentMs: 1_400, takeovers: 2 }), undefined)
  })

  it('gives an owner that has been slow twice the time it took', () => {
    assert.equal(silenceOf({ takeovers: 0, longestGapMs: 900 }, 250), 1_800)
    assert.equal(silenceOf({ takeovers: 0, longestGapMs: 1e6 }, 250), 10_000)
  })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Journaled, nearer, whyUnusable } from './nearer.js'

const onDisk = (recordsToFold: number) => ({ recordsToFold, bytesToRestore: 0 })
const stored = (recordsToFold: number, bytesToRestore: number) => ({ recordsToFold, bytesToRestore })

for (const [title, store, checkpoint, expected] of [
  ['a store that is lost has the checkpoint taken, however old', undefined, stored(1e9, 1e9), 'checkpoint'],
  ['a store that is as new as the checkpoint stays', onDisk(5_000), stored(5_000, 1), 'store'],
  ['a store that is newer stays', onDisk(10), stored(5_000, 0), 'store'],
  [
    'a store that is a little older stays: to restore takes longer than to fold',
    onDisk(10_000),
    stored(0, 1e8),
    'store',
  ],
  ['a store that is much older goes', onDisk(1_000_000), stored(0, 1e8), 'checkpoint'],
  ['a large checkpoint must be much newer', onDisk(1_000_000), stored(0, 1e10), 'store'],
] as const) {
  test(title, () => assert.equal(nearer(store, checkpoint), expected))
}

test('what the journal does not know is not gone on from', () => {
  const state = { epoch: 7, journalHash: 'h7', fingerprint: 'f' }
  const why = (change: object, journaled: Partial<Journaled> = {}) =>
    whyUnusable(
      'the store',
      { ...state, ...change },
      { lastEpoch: 9, hash: 'h7', plan: 2, ...journaled },
      { fingerprint: 'f', plan: 2 },
    )
  assert.equal(why({}), undefined)
  assert.match(why({ fingerprint: 'g' })!, /another topology/)
  assert.match(why({ epoch: 10 })!, /ahead of the journal/)
  assert.match(why({}, { hash: undefined })!, /no record of epoch 7/)
  assert.match(why({}, { hash: 'other' })!, /hash of epoch 7/)
  assert.match(why({}, { plan: 1 })!, /is of plan 1, and plan 2 has begun/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RecoveryFacts, resolveRecovery } from './recovery.js'

const journal = { lastEpoch: 9, fingerprint: 'f', plan: 2, closed: false, firstEpoch: 0, whole: true }
const trimmed = { ...journal, firstEpoch: 5, whole: false }
const healthy: RecoveryFacts = {
  journal,
  emptied: false,
  store: { epoch: 7, journalHash: 'h7', fingerprint: 'f' },
  journaledStore: { hash: 'h7', plan: 2, names: 'every position' },
  fingerprint: 'f',
  plan: 2,
  isCloser: false,
  mayBegin: false,
}
const decide = (change: Partial<RecoveryFacts>) => resolveRecovery({ ...healthy, ...change })
const refused = (change: Partial<RecoveryFacts>): [string, string] => {
  const decision = decide(change)
  assert.equal(decision.kind, 'refuse')
  return decision.kind === 'refuse' ? [decision.code, decision.reason] : assert.fail()
}

/** Each a store that the journal does not know. */
const unusable: readonly Partial<RecoveryFacts>[] = [
  { store: undefined },
  { journaledStore: undefined },
  { journaledStore: { hash: 'another', plan: 2, names: 'every position' } },
  { journaledStore: { hash: 'h7', plan: 1, names: 'every position' } },
  { store: { epoch: 10, journalHash: 'h', fingerprint: 'f' } },
  { store: { epoch: 7, journalHash: 'h7', fingerprint: 'g' } },
]

test('a store that the journal knows is gone on from, without what lies before', () => {
  const expected = { kind: 'continue', fromEpoch: 7, readFrom: 'store' }
  assert.deepEqual(decide({}), expected)
  assert.deepEqual(decide({ journal: { ...trimmed, firstEpoch: 7 } }), expected)
})

test('from a record of the older format on, the chain begins at the genesis', () => {
  const older = { journaledStore: { hash: 'h7', plan: 2, names: 'what it read' } } as const
  assert.deepEqual(decide(older), { kind: 'continue', fromEpoch: 7, readFrom: 'genesis' })
  assert.equal(refused({ ...older, journal: trimmed })[0], 'HISTORY_TRIMMED')
})

test('a store that the journal does not know is rebuilt', () => {
  for (const change of unusable) assert.equal(decide(change).kind, 'rebuild')
})

test('what was trimmed is not rebuilt: nothing is thrown away, and the reason is said', () => {
  for (const change of unusable) {
    const [code, reason] = refused({ ...change, journal: trimmed })
    assert.equal(code, 'HISTORY_TRIMMED')
    assert.match(reason, /begins with epoch 5, and the (store|journal)\b/)
  }
})

test('an empty journal is a start only for who brings a genesis', () => {
  const empty = { journal: undefined, journaledStore: undefined, plan: 1 }
  assert.deepEqual(decide({ ...empty, store: undefined, mayBegin: true }), { kind: 'begin', discardStore: false })
  assert.deepEqual(decide({ ...empty, mayBegin: true }), { kind: 'begin', discardStore: true })
  assert.equal(refused({ ...empty, store: undefined })[0], 'JOURNAL_WITHOUT_GENESIS')
  assert.equal(refused({ ...empty, mayBegin: true, emptied: true })[0], 'JOURNAL_WITHOUT_GENESIS')
  // that of a later plan is written by whoever begins it
  assert.equal(refused({ ...empty, plan: 2, mayBegin: true })[0], 'JOURNAL_WITHOUT_GENESIS')
})

test('epochs of another topology are not gone on with', () => {
  assert.equal(refused({ journal: { ...journal, fingerprint: 'g' } })[0], 'FINGERPRINT_MISMATCH')
})

test('a plan that is over is not gone on with, whatever its store is like', () => {
  const closed = { journal: { ...journal, closed: true } }
  for (const store of [healthy.store, undefined]) {
    assert.deepEqual(refused({ ...closed, store }), ['PLAN_CLOSED', 'plan 2 is closed, and the next one has not begun'])
    assert.equal(refused({ store, journal: { ...journal, plan: 3 } })[0], 'PLAN_CLOSED')
    // one that the journal does not know of yet: this process knows more than the log, or the log has lost its end
    assert.equal(refused({ store, journal: { ...journal, plan: 1 } })[0], 'PLAN_CLOSED')
  }
  assert.equal(decide({ ...closed, isCloser: true }).kind, 'continue')
  assert.equal(refused({ isCloser: true, journal: { ...journal, plan: 3 } })[0], 'PLAN_CLOSED')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RecoveryFacts, resolveRecovery } from './recovery.js'

const healthy: RecoveryFacts = {
  journal: { lastEpoch: 9, fingerprint: 'f' },
  store: { epoch: 7, journalHash: 'h7', fingerprint: 'f' },
  journaledHashOfStore: 'h7',
  fingerprint: 'f',
  mayBegin: false,
  acceptOtherFingerprint: false,
}
const decide = (change: Partial<RecoveryFacts>) => resolveRecovery({ ...healthy, ...change })

test('a store that the journal knows is gone on from', () => {
  assert.deepEqual(decide({}), { kind: 'continue', fromEpoch: 7 })
})

test('a store that the journal does not know is rebuilt', () => {
  assert.equal(decide({ store: undefined }).kind, 'rebuild')
  assert.equal(decide({ journaledHashOfStore: 'another' }).kind, 'rebuild')
  assert.equal(decide({ journaledHashOfStore: undefined }).kind, 'rebuild')
  assert.equal(decide({ store: { epoch: 10, journalHash: 'h', fingerprint: 'f' } }).kind, 'rebuild')
  assert.equal(decide({ store: { epoch: 7, journalHash: 'h7', fingerprint: 'g' } }).kind, 'rebuild')
})

test('an empty journal is a start only for who brings a genesis', () => {
  const empty = { journal: undefined, journaledHashOfStore: undefined }
  assert.deepEqual(decide({ ...empty, store: undefined, mayBegin: true }), { kind: 'begin', discardStore: false })
  assert.deepEqual(decide({ ...empty, mayBegin: true }), { kind: 'begin', discardStore: true })
  const refused = decide({ ...empty, store: undefined })
  assert.equal(refused.kind === 'refuse' && refused.code, 'JOURNAL_WITHOUT_GENESIS')
})

test('epochs of another topology need an explicit word', () => {
  const other = { journal: { lastEpoch: 9, fingerprint: 'g' } }
  const refused = decide(other)
  assert.equal(refused.kind === 'refuse' && refused.code, 'FINGERPRINT_MISMATCH')
  assert.equal(decide({ ...other, acceptOtherFingerprint: true }).kind, 'continue')
})

/**
 * Where a slot goes on from: decided purely from facts; slot.ts acts on it.
 *
 * The journal is right by definition. The store is a cache of it: used when it reflects a journaled epoch with the very
 * hash the journal has for it, thrown away otherwise (I2).
 */
import type { StatePosition } from '../../state/index.js'

export interface RecoveryFacts {
  /** undefined: the journal is empty. */
  readonly journal: { readonly lastEpoch: number; readonly fingerprint: string } | undefined
  /** undefined: the store is new or was wiped. */
  readonly store: StatePosition | undefined
  /** The journal's hash for the epoch that the store says it reflects; undefined when the journal has no such epoch. */
  readonly journaledHashOfStore: string | undefined
  readonly fingerprint: string
  /** The runner brought a genesis record, that is: it means to start a new job. */
  readonly mayBegin: boolean
  /** Replay epochs that another topology wrote. */
  readonly acceptOtherFingerprint: boolean
}

export type RecoveryDecision =
  | { readonly kind: 'begin'; readonly discardStore: boolean }
  | { readonly kind: 'continue'; readonly fromEpoch: number }
  | { readonly kind: 'rebuild'; readonly reason: string }
  | {
      readonly kind: 'refuse'
      readonly code: 'JOURNAL_WITHOUT_GENESIS' | 'FINGERPRINT_MISMATCH'
      readonly reason: string
    }

export function resolveRecovery(facts: RecoveryFacts): RecoveryDecision {
  const { journal, store } = facts
  if (journal === undefined) {
    if (facts.mayBegin) return { kind: 'begin', discardStore: store !== undefined }
    return { kind: 'refuse', code: 'JOURNAL_WITHOUT_GENESIS', reason: 'the journal is empty' }
  }
  if (journal.fingerprint !== facts.fingerprint && !facts.acceptOtherFingerprint) {
    return {
      kind: 'refuse',
      code: 'FINGERPRINT_MISMATCH',
      reason: `the journal was written by topology ${journal.fingerprint}, this is ${facts.fingerprint}`,
    }
  }
  if (store === undefined) return { kind: 'rebuild', reason: 'the store is empty' }
  if (store.fingerprint !== facts.fingerprint) return { kind: 'rebuild', reason: 'the store is of another topology' }
  if (store.epoch > journal.lastEpoch) return { kind: 'rebuild', reason: 'the store is ahead of the journal' }
  if (facts.journaledHashOfStore !== store.journalHash) {
    return { kind: 'rebuild', reason: `the store's hash of epoch ${store.epoch} is not the journal's` }
  }
  return { kind: 'continue', fromEpoch: store.epoch }
}

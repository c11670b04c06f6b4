/**
 * Where a slot goes on from: decided purely from facts; recover.ts acts on it.
 *
 * The journal is right by definition. The store is a cache of it: used when it reflects a journaled epoch with the very
 * hash the journal has for it, thrown away otherwise (I2). What was trimmed away cannot be folded again: then the store is
 * kept as it is, and the slot stays down.
 */
import type { StatePosition } from '../../state/index.js'
import { whyUnusable } from './nearer.js'

export interface RecoveryFacts {
  /** undefined: the journal is empty. */
  readonly journal:
    | {
        readonly lastEpoch: number
        readonly fingerprint: string
        /** The oldest epoch that is left; 0 while the genesis is there. */
        readonly firstEpoch: number
      }
    | undefined
  /** An empty journal that once had records. */
  readonly emptied: boolean
  /** undefined: the store is new or was wiped. */
  readonly store: StatePosition | undefined
  /** The journal's record of the epoch that the store says it reflects; undefined when the journal has no such epoch. */
  readonly journaledStore: { readonly hash: string; readonly names: 'every position' | 'what it read' } | undefined
  readonly fingerprint: string
  /** The runner brought a genesis record, that is: it means to start a new job. */
  readonly mayBegin: boolean
  /** Replay epochs that another topology wrote. */
  readonly acceptOtherFingerprint: boolean
}

export type RecoveryDecision =
  | { readonly kind: 'begin'; readonly discardStore: boolean }
  /** Read the journal from the record that the store reflects, or, where that does not say enough, from its genesis. */
  | { readonly kind: 'continue'; readonly fromEpoch: number; readonly readFrom: 'store' | 'genesis' }
  | { readonly kind: 'rebuild'; readonly reason: string }
  | {
      readonly kind: 'refuse'
      readonly code: 'JOURNAL_WITHOUT_GENESIS' | 'FINGERPRINT_MISMATCH' | 'HISTORY_TRIMMED'
      readonly reason: string
    }

export function resolveRecovery(facts: RecoveryFacts): RecoveryDecision {
  const { journal, store } = facts
  if (journal === undefined) {
    if (facts.emptied) {
      return { kind: 'refuse', code: 'JOURNAL_WITHOUT_GENESIS', reason: 'the journal is empty and had records once' }
    }
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
  const whole = journal.firstEpoch === 0
  const unusable =
    store === undefined
      ? 'the store is empty'
      : whyUnusable(
          'the store',
          store,
          { lastEpoch: journal.lastEpoch, hash: facts.journaledStore?.hash },
          facts.fingerprint,
        )
  if (unusable === undefined) {
    const fromEpoch = store!.epoch
    if (facts.journaledStore?.names === 'every position') return { kind: 'continue', fromEpoch, readFrom: 'store' }
    if (whole) return { kind: 'continue', fromEpoch, readFrom: 'genesis' }
  }
  if (whole) return { kind: 'rebuild', reason: unusable! }
  const because = unusable ?? 'the store reflects an epoch of an older format'
  return {
    kind: 'refuse',
    code: 'HISTORY_TRIMMED',
    reason: `the journal begins with epoch ${journal.firstEpoch}, and ${because}`,
  }
}

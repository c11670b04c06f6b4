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
        /** Of its last record. */
        readonly plan: number
        readonly closed: boolean
        /** Of that plan: the oldest epoch that is left, and whether it is the genesis. */
        readonly firstEpoch: number
        readonly whole: boolean
      }
    | undefined
  /** An empty journal that once had records. */
  readonly emptied: boolean
  /** undefined: the store is new or was wiped. */
  readonly store: StatePosition | undefined
  /** The journal's record of the epoch that the store says it reflects; undefined when the journal has no such epoch. */
  readonly journaledStore:
    | { readonly hash: string; readonly plan: number; readonly names: 'every position' | 'what it read' }
    | undefined
  readonly fingerprint: string
  readonly plan: number
  /** It may recover on what is closed: it writes no epoch there. */
  readonly isCloser: boolean
  /** The runner brought a genesis record, that is: it means to start a new job. */
  readonly mayBegin: boolean
}

export type RecoveryDecision =
  | { readonly kind: 'begin'; readonly discardStore: boolean }
  /** Read the journal from the record that the store reflects, or, where that does not say enough, from its genesis. */
  | { readonly kind: 'continue'; readonly fromEpoch: number; readonly readFrom: 'store' | 'genesis' }
  | { readonly kind: 'rebuild'; readonly reason: string }
  | {
      readonly kind: 'refuse'
      readonly code: 'JOURNAL_WITHOUT_GENESIS' | 'PLAN_CLOSED' | 'FINGERPRINT_MISMATCH' | 'HISTORY_TRIMMED'
      readonly reason: string
    }

export function resolveRecovery(facts: RecoveryFacts): RecoveryDecision {
  const { journal, store } = facts
  if (journal === undefined) {
    if (facts.emptied) {
      return { kind: 'refuse', code: 'JOURNAL_WITHOUT_GENESIS', reason: 'the journal is empty and had records once' }
    }
    if (facts.mayBegin && facts.plan === 1) return { kind: 'begin', discardStore: store !== undefined }
    return { kind: 'refuse', code: 'JOURNAL_WITHOUT_GENESIS', reason: 'the journal is empty' }
  }
  const over = whyOver(journal, facts)
  if (over !== undefined) return { kind: 'refuse', code: 'PLAN_CLOSED', reason: over }
  if (journal.fingerprint !== facts.fingerprint) {
    return {
      kind: 'refuse',
      code: 'FINGERPRINT_MISMATCH',
      reason: `the journal was written by topology ${journal.fingerprint}, this is ${facts.fingerprint}`,
    }
  }
  const unusable =
    store === undefined
      ? 'the store is empty'
      : whyUnusable(
          'the store',
          store,
          { lastEpoch: journal.lastEpoch, hash: facts.journaledStore?.hash, plan: facts.journaledStore?.plan },
          facts,
        )
  if (unusable === undefined) {
    const fromEpoch = store!.epoch
    if (facts.journaledStore?.names === 'every position') return { kind: 'continue', fromEpoch, readFrom: 'store' }
    if (journal.whole) return { kind: 'continue', fromEpoch, readFrom: 'genesis' }
  }
  if (journal.whole) return { kind: 'rebuild', reason: unusable! }
  const because = unusable ?? 'the store reflects an epoch of an older format'
  return {
    kind: 'refuse',
    code: 'HISTORY_TRIMMED',
    reason: `the journal begins with epoch ${journal.firstEpoch}, and ${because}`,
  }
}

/** Why this plan is not the one to run. */
export function whyOver(
  journal: { readonly plan: number; readonly closed: boolean },
  runs: { readonly plan: number; readonly isCloser: boolean },
): string | undefined {
  if (journal.plan !== runs.plan) return `the journal is of plan ${journal.plan}, and this is plan ${runs.plan}`
  if (journal.closed && !runs.isCloser) return `plan ${journal.plan} is closed, and the next one has not begun`
  return undefined
}

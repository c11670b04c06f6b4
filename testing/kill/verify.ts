/**
 * Holds the log of decisions against what callers were told and against the oracle: nothing lost, nothing twice, nothing
 * wrong. Shares no code with the engine.
 */
import { type Arrival, sortedOracle } from '../oracle/index.js'
import type { Ledger } from './load.js'

export interface Verdict {
  readonly decisions: number
  /** Acknowledged (200 or 202), but never decided. */
  readonly lost: readonly string[]
  /** Decided more than once. */
  readonly duplicated: readonly string[]
  /** Features, lateness or identity that differ from the oracle's or from the answer given. */
  readonly wrong: readonly string[]
}

interface DecisionLine {
  readonly decision_id: string
  readonly transaction_id: string
  readonly customer_id: string
  readonly late: boolean
  readonly features: Readonly<Record<string, number>>
  readonly source: { readonly offset: number }
}

const tolerance = 1e-9

/** @param lines every decision there is, as NDJSON lines, in the order of their log */
export function verify(lines: readonly string[], ledger: Ledger): Verdict {
  const decisions = lines.map(line => JSON.parse(line) as DecisionLine)
  const counted = new Map<string, number>()
  for (const { transaction_id: id } of decisions) counted.set(id, (counted.get(id) ?? 0) + 1)
  const acknowledged = new Set([...ledger.decided.keys(), ...ledger.pending])
  const wrong = [...ledger.contradictions]
  const inOrder = [...decisions].sort((a, b) => a.source.offset - b.source.offset)
  const arrivals: Arrival[] = []
  const known: DecisionLine[] = []
  for (const decision of inOrder) {
    const sent = ledger.sent.get(decision.transaction_id)
    if (sent === undefined || sent.customer_id !== decision.customer_id) {
      wrong.push(`${decision.transaction_id}: nobody sent it`)
      continue
    }
    const answered = ledger.decided.get(decision.transaction_id)
    if (answered !== undefined && answered !== decision.decision_id)
      wrong.push(`${decision.transaction_id}: another answer`)
    arrivals.push({ kind: 'transaction', ...sent })
    known.push(decision)
  }
  let i = 0
  for (const expected of sortedOracle(arrivals)) {
    const difference = differenceOf(known[i]!, expected)
    if (difference !== undefined) wrong.push(`${known[i]!.transaction_id}: ${difference}`)
    i++
  }
  return {
    decisions: decisions.length,
    lost: [...acknowledged].filter(id => !counted.has(id)),
    duplicated: [...counted].filter(([, count]) => count > 1).map(([id]) => id),
    wrong,
  }
}

type Expected = ReturnType<typeof sortedOracle> extends Generator<infer E> ? E : never

function differenceOf(decision: DecisionLine, expected: Expected): string | undefined {
  if (expected.outcome !== 'decision') return 'the oracle takes it for a duplicate'
  if (decision.late !== expected.late) return `late is ${decision.late}`
  const names = new Set([...expected.features.keys(), ...Object.keys(decision.features)])
  for (const name of names) {
    const is = decision.features[name]
    const due = expected.features.get(name)
    if (is === undefined || due === undefined || Math.abs(is - due) > tolerance) return `${name} is ${is}, due ${due}`
  }
  return undefined
}

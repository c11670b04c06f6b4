/** What a decision must be, compared with an oracle's answer. Knows nothing of the engine. */
import assert from 'node:assert/strict'
import type { DecisionLine } from './run.js'

/** A transaction of a Handbook file as a reader of the contract understands its line. */
export interface HandbookTransaction {
  readonly transaction_id: string
  /** ms since 1970, UTC. */
  readonly event_time: number
  readonly customer_id: string
  readonly terminal_id: string
  readonly amount_minor: number
  readonly fraud: boolean | null
}

/** A decided transaction as the oracles of testing/oracle state it. */
export interface ExpectedDecision {
  readonly late: boolean
  readonly historyIncomplete: boolean
  readonly features: ReadonlyMap<string, number>
}

const labelDelayMs = 7 * 86_400_000

export function transactionArrival(t: HandbookTransaction, currency: string) {
  const { transaction_id, customer_id, terminal_id, event_time, amount_minor } = t
  return { kind: 'transaction', transaction_id, customer_id, terminal_id, event_time, amount_minor, currency } as const
}

/** The label of a line, directly after its transaction, available seven days later. */
export function labelArrival(t: HandbookTransaction, fraud: boolean) {
  const { transaction_id, customer_id, terminal_id, event_time } = t
  const available_at = event_time + labelDelayMs
  return { kind: 'label', transaction_id, customer_id, terminal_id, event_time, available_at, fraud } as const
}

/** Counts and flags exactly, means and shares within 1e-9 (of the value, where that is above 1). */
export function assertDecision(
  decision: DecisionLine,
  t: HandbookTransaction,
  expected: ExpectedDecision,
  dataLine: number,
): void {
  const where = `data line ${dataLine}`
  assert.equal(decision.transaction_id, t.transaction_id, where)
  assert.equal(decision.customer_id, t.customer_id, where)
  assert.equal(decision.event_time, new Date(t.event_time).toISOString(), where)
  assert.equal(decision.decided_at, decision.event_time, where)
  assert.equal(decision.late, expected.late, `${where}: late`)
  assert.equal(decision.degraded, expected.historyIncomplete ? 'history_incomplete' : undefined, `${where}: degraded`)
  const { topic, partition, offset } = decision.source
  assert.ok(topic === 'transactions' && partition === 0 && offset === dataLine, `${where}: source`)
  for (const _ in decision.timings_us) assert.fail(`${where}: timings_us is empty in a replay`)
  assertFeatures(decision.features, expected.features, where)
}

function assertFeatures(
  found: Readonly<Record<string, number>>,
  expected: ReadonlyMap<string, number>,
  where: string,
): void {
  let names = 0
  for (const name in found) {
    names++
    const value = found[name]!
    const wanted = expected.get(name)
    if (wanted === undefined) assert.fail(`${where}: ${name} is ${value}, and should be absent`)
    const inexact = name.includes('avg_amount') || name.includes('risk')
    const allowed = inexact ? 1e-9 * Math.max(1, Math.abs(wanted)) : 0
    if (!(Math.abs(value - wanted) <= allowed)) assert.fail(`${where}: ${name} is ${value}, expected ${wanted}`)
  }
  assert.equal(names, expected.size, `${where}: features ${Object.keys(found)}, expected ${[...expected.keys()]}`)
}

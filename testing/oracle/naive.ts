/**
 * The oracle: every default feature, lateness and dedupe, recomputed from the list of arrivals by plain loops over the
 * whole history. Slow on purpose, and sharing nothing with the operators: read it beside docs of the features.
 */
import {
  type Arrival,
  allowedLateness,
  day,
  dedupeHorizon,
  type Expected,
  type LabelArrival,
  lateAfter,
  minorPerMajor,
  ownFeatures,
  type TransactionArrival,
  terminalDelay,
  windowsInDays,
} from './arrivals.js'

/** A transaction that got a decision. */
interface Accepted {
  readonly transaction: TransactionArrival
  /** Greatest event time its customer had shown when it arrived, its own included. */
  readonly customerClock: number
  readonly countsForCustomer: boolean
  readonly countsForTerminal: boolean
}

/** @returns one entry for each transaction, in the order of arrival */
export function naiveOracle(arrivals: readonly Arrival[]): Expected[] {
  const accepted: Accepted[] = []
  const labels: LabelArrival[] = []
  const results: Expected[] = []
  for (const arrival of arrivals) {
    if (arrival.kind === 'label') {
      labels.push(arrival)
      continue
    }
    const duplicate = duplicateOf(arrival, accepted)
    if (duplicate) {
      results.push({ outcome: 'duplicate', conflict: !samePayment(arrival, duplicate) })
      continue
    }
    const t = arrival.event_time
    const ofCustomer = accepted.filter(other => other.transaction.customer_id === arrival.customer_id)
    const ofTerminal = accepted.filter(other => other.transaction.terminal_id === arrival.terminal_id)
    const customerTime = greatestTime(ofCustomer)
    const terminalTime = greatestTime(ofTerminal)
    const countsForCustomer = t >= customerTime - allowedLateness
    const countsForTerminal = t >= terminalTime - allowedLateness
    const features = new Map(ownFeatures(arrival))
    if (countsForCustomer) customerFeatures(arrival, ofCustomer, features)
    if (countsForTerminal) terminalFeatures(arrival, ofTerminal, labels, features)
    results.push({
      outcome: 'decision',
      late: t < customerTime - lateAfter,
      historyIncomplete: !countsForCustomer || !countsForTerminal,
      features,
    })
    const customerClock = Math.max(t, customerTime)
    accepted.push({ transaction: arrival, customerClock, countsForCustomer, countsForTerminal })
  }
  return results
}

function greatestTime(accepted: readonly Accepted[]): number {
  return Math.max(Number.NEGATIVE_INFINITY, ...accepted.map(other => other.transaction.event_time))
}

/** The remembered transaction of the same customer with the same id. */
function duplicateOf(transaction: TransactionArrival, accepted: readonly Accepted[]): TransactionArrival | undefined {
  const ofCustomer = accepted.filter(other => other.transaction.customer_id === transaction.customer_id)
  const clock = Math.max(greatestTime(ofCustomer), transaction.event_time)
  for (const { transaction: other, customerClock } of ofCustomer) {
    if (other.transaction_id === transaction.transaction_id && clock - customerClock <= dedupeHorizon) return other
  }
  return undefined
}

function samePayment(one: TransactionArrival, other: TransactionArrival): boolean {
  return (
    one.amount_minor === other.amount_minor && one.currency === other.currency && one.terminal_id === other.terminal_id
  )
}

/** Over (t - w, t], the transaction itself included. */
function customerFeatures(current: TransactionArrival, history: readonly Accepted[], into: Map<string, number>): void {
  const t = current.event_time
  for (const days of windowsInDays) {
    let count = 1
    let sum = BigInt(current.amount_minor)
    for (const { transaction, countsForCustomer } of history) {
      if (!countsForCustomer || transaction.event_time <= t - days * day || transaction.event_time > t) continue
      count++
      sum += BigInt(transaction.amount_minor)
    }
    into.set(`customer_id_nb_tx_${days}day_window`, count)
    into.set(`customer_id_avg_amount_${days}day_window`, Number(sum) / (count * minorPerMajor(current.currency)))
  }
}

/** Over (t - 7d - w, t - 7d]. */
function terminalFeatures(
  current: TransactionArrival,
  history: readonly Accepted[],
  labels: readonly LabelArrival[],
  into: Map<string, number>,
): void {
  const end = current.event_time - terminalDelay
  for (const days of windowsInDays) {
    let count = 0
    let fraud = 0
    for (const { transaction, countsForTerminal } of history) {
      if (!countsForTerminal || transaction.event_time <= end - days * day || transaction.event_time > end) continue
      count++
      if (isFraud(transaction, labels, current.event_time)) fraud++
    }
    into.set(`terminal_id_nb_tx_${days}day_window`, count)
    into.set(`terminal_id_risk_${days}day_window`, count === 0 ? 0 : fraud / count)
  }
}

/** By the arrived label with the greatest available_at not after t; among equals the one that arrived last. */
function isFraud(transaction: TransactionArrival, labels: readonly LabelArrival[], t: number): boolean {
  let best: LabelArrival | undefined
  for (const label of labels) {
    if (label.customer_id !== transaction.customer_id || label.transaction_id !== transaction.transaction_id) continue
    if (label.terminal_id !== transaction.terminal_id || label.event_time !== transaction.event_time) continue
    if (label.available_at > t) continue
    if (best === undefined || label.available_at >= best.available_at) best = label
  }
  return best?.fraud ?? false
}

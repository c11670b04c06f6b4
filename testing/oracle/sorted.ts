/**
 * The oracle for long inputs: the same answers as naive.ts (a test compares them), from one sorted list per entity.
 * Still shares nothing with the operators. Sums must stay below 2^53 (checked). Half a million rows take seconds.
 */
import { assert } from '../../kernel/index.js'
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

interface Event {
  readonly time: number
  readonly amount: number
  /** All labels that have arrived for it, in the order of arrival. */
  readonly labels: readonly LabelArrival[]
}

/** An entity's events by time; of equal times in the order of arrival. */
class History {
  readonly events: Event[] = []

  get greatest(): number {
    return this.events[this.events.length - 1]?.time ?? Number.NEGATIVE_INFINITY
  }

  /** How many have time <= limit. */
  through(limit: number): number {
    let low = 0
    let high = this.events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.events[middle]!.time <= limit) low = middle + 1
      else high = middle
    }
    return low
  }

  insert(event: Event): void {
    this.events.splice(this.through(event.time), 0, event)
  }
}

interface FirstSeen {
  readonly transaction: TransactionArrival
  readonly customerClock: number
}

/** @returns one entry for each transaction, in the order of arrival */
export function* sortedOracle(arrivals: Iterable<Arrival>): Generator<Expected> {
  const customers = new Map<string, History>()
  const terminals = new Map<string, History>()
  const seen = new Map<string, FirstSeen>()
  const labels = new Map<string, LabelArrival[]>()
  for (const arrival of arrivals) {
    if (arrival.kind === 'label') {
      entry(labels, labelKey(arrival), () => []).push(arrival)
      continue
    }
    const t = arrival.event_time
    const customer = entry(customers, arrival.customer_id, () => new History())
    const terminal = entry(terminals, arrival.terminal_id, () => new History())
    const customerClock = Math.max(customer.greatest, t)
    const idKey = JSON.stringify([arrival.customer_id, arrival.transaction_id])
    const first = seen.get(idKey)
    if (first && customerClock - first.customerClock <= dedupeHorizon) {
      yield { outcome: 'duplicate', conflict: payment(first.transaction) !== payment(arrival) }
      continue
    }
    seen.set(idKey, { transaction: arrival, customerClock })
    const late = t < customer.greatest - lateAfter
    const ofCustomer = t >= customer.greatest - allowedLateness
    const ofTerminal = t >= terminal.greatest - allowedLateness
    const features = new Map(ownFeatures(arrival))
    const event = { time: t, amount: arrival.amount_minor, labels: entry(labels, labelKey(arrival), () => []) }
    if (ofCustomer) {
      customer.insert(event)
      customerFeatures(customer, t, minorPerMajor(arrival.currency), features)
    }
    if (ofTerminal) {
      terminalFeatures(terminal, t, features)
      terminal.insert(event)
    }
    yield { outcome: 'decision', late, historyIncomplete: !ofCustomer || !ofTerminal, features }
  }
}

function customerFeatures(history: History, t: number, minor: number, into: Map<string, number>): void {
  const end = history.through(t)
  for (const days of windowsInDays) {
    const start = history.through(t - days * day)
    let sum = 0
    for (let i = start; i < end; i++) sum += history.events[i]!.amount
    assert(Number.isSafeInteger(sum), 'sums of this oracle stay below 2^53')
    into.set(`customer_id_nb_tx_${days}day_window`, end - start)
    into.set(`customer_id_avg_amount_${days}day_window`, sum / ((end - start) * minor))
  }
}

function terminalFeatures(history: History, t: number, into: Map<string, number>): void {
  const end = history.through(t - terminalDelay)
  for (const days of windowsInDays) {
    const start = history.through(t - terminalDelay - days * day)
    let fraud = 0
    for (let i = start; i < end; i++) if (isFraud(history.events[i]!, t)) fraud++
    into.set(`terminal_id_nb_tx_${days}day_window`, end - start)
    into.set(`terminal_id_risk_${days}day_window`, end === start ? 0 : fraud / (end - start))
  }
}

function isFraud(event: Event, t: number): boolean {
  let fraud = false
  let greatest = Number.NEGATIVE_INFINITY
  for (const label of event.labels) {
    if (label.available_at > t || label.available_at < greatest) continue
    greatest = label.available_at
    fraud = label.fraud
  }
  return fraud
}

function labelKey(of: Arrival): string {
  return JSON.stringify([of.terminal_id, of.event_time, of.customer_id, of.transaction_id])
}

function payment(of: TransactionArrival): string {
  return JSON.stringify([of.amount_minor, of.currency, of.terminal_id])
}

function entry<V>(map: Map<string, V>, key: string, create: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = create()
    map.set(key, value)
  }
  return value
}

/**
 * Counts what became of every transaction, from dumps of the topics by Kafka's own console consumer. It shares no code with the
 * engine: features are recomputed from the contract's words, naively, in the order that the journal records.
 *
 * The order in which records were folded is read from the journal as anyone can read it: epoch by epoch; within one, labels
 * before transactions, partitions by number, each in offset order. Where one plan followed another, plan by plan. With several slots a terminal's records come together in
 * topics between the slots, whose order is not in these dumps: then terminals' features are left to the simulation.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'

export interface Dumped {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string
}

export interface Dumps {
  readonly transactions: readonly Dumped[]
  readonly labels: readonly Dumped[]
  readonly decisions: readonly Dumped[]
  readonly journal: readonly Dumped[]
}

export interface Verdict {
  readonly transactions: number
  readonly repeats: number
  readonly decisions: number
  readonly epochs: number
  readonly owners: number
  /** Each names its transaction. */
  readonly lost: readonly string[]
  readonly duplicated: readonly string[]
  readonly outOfOrder: readonly string[]
  readonly wrong: readonly string[]
}

interface Transaction {
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  readonly amount_minor: number
  /** ms, or ISO 8601 */
  readonly event_time: number | string
}

interface Label {
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  readonly event_time: number
  readonly available_at: number
  readonly label: 'fraud' | 'legitimate'
}

interface Decision {
  readonly transaction_id: string
  readonly customer_id: string
  readonly late: boolean
  readonly features: Readonly<Record<string, number>>
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number }
}

interface Epoch {
  readonly kind: string
  /** 1 where none is said. */
  readonly plan?: number
  /** Of a genesis: 0 where none is said. */
  readonly epoch?: number
  readonly generation: number
  readonly inputs: readonly { topic: string; partition: number; from: string; to: string }[]
}

const dayMs = 86_400_000
const windows = [1, 7, 30]

/** Lines of the console consumer with partition, offset, key and value, separated by tabs. */
export function parseDump(path: string): Dumped[] {
  const found: Dumped[] = []
  for (const line of linesOf(path)) {
    const parts = /^Partition:(\d+)\tOffset:(\d+)\t([^\t]*)\t(.*)$/.exec(line)
    if (parts === null) continue
    const [, partition, offset, key, value] = parts
    found.push({
      partition: Number(partition),
      offset: Number(offset),
      key: key === 'null' ? null : key!,
      value: value!,
    })
  }
  return found.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

/** A dump may be longer than a string can be. */
function* linesOf(path: string): Generator<string> {
  const file = openSync(path, 'r')
  try {
    const decoder = new StringDecoder('utf8')
    const chunk = Buffer.allocUnsafe(1 << 20)
    let rest = ''
    for (;;) {
      const length = readSync(file, chunk)
      if (length === 0) break
      const lines = (rest + decoder.write(chunk.subarray(0, length))).split('\n')
      rest = lines.pop()!
      yield* lines
    }
    if (rest !== '') yield rest
  } finally {
    closeSync(file)
  }
}

export function verify(dumps: Dumps): Verdict {
  const decided = new Map<string, Dumped[]>()
  for (const at of dumps.decisions) {
    const { customer_id, transaction_id } = JSON.parse(at.value) as Decision
    const id = `${customer_id}/${transaction_id}`
    const list = decided.get(id) ?? []
    list.push(at)
    decided.set(id, list)
  }
  const lost: string[] = []
  const duplicated: string[] = []
  const wrong: string[] = []
  const fold = new Fold()
  const seen = new Set<string>()
  const orders = new Map<string, string[]>()
  let repeats = 0
  const { steps, epochs, owners, slots } = folded(dumps, wrong)
  for (const step of steps) {
    if (step.kind === 'label') {
      fold.label(JSON.parse(step.at.value) as Label)
      continue
    }
    const transaction = JSON.parse(step.at.value) as Transaction
    const id = `${transaction.customer_id}/${transaction.transaction_id}`
    if (seen.has(id)) {
      repeats++
      continue
    }
    seen.add(id)
    const expected = fold.transaction(transaction)
    const of = decided.get(id) ?? []
    if (of.length === 0) lost.push(id)
    if (of.length > 1) duplicated.push(`${id}: ${of.length} times`)
    if (of.length === 0) continue
    const order = orders.get(transaction.customer_id) ?? []
    order.push(id)
    orders.set(transaction.customer_id, order)
    const decision = JSON.parse(of[0]!.value) as Decision
    const difference = differenceOf(decision, expected, step.at, slots)
    if (difference !== undefined) wrong.push(`${id}: ${difference}`)
  }
  for (const id of decided.keys()) if (!seen.has(id)) wrong.push(`${id}: decided, and never sent`)
  return {
    transactions: seen.size,
    repeats,
    decisions: dumps.decisions.length,
    epochs,
    owners,
    lost,
    duplicated,
    outOfOrder: inversions(orders, decided),
    wrong,
  }
}

interface Step {
  readonly kind: 'label' | 'transaction'
  readonly at: Dumped
}

/** Every record in the order in which the journal says it was folded; records that no epoch covers come last. */
function folded({ transactions, labels, journal }: Dumps, wrong: string[]) {
  const topics = { transactions: byPartition(transactions), labels: byPartition(labels) }
  const taken = new Map<string, number>()
  const steps: Step[] = []
  const last = new Map<number, number>()
  const owners = new Set<string>()
  let epochs = 0
  const records = journal.map(({ partition, value }) => ({ slot: partition, record: JSON.parse(value) as Epoch }))
  // Stable: within a slot's part of a plan the order of the journal stays.
  records.sort((a, b) => (a.record.plan ?? 1) - (b.record.plan ?? 1) || a.slot - b.slot)
  for (const { slot, record } of records) {
    const { kind, epoch = 0 } = record
    const before = last.get(slot) ?? -1
    last.set(slot, epoch)
    if (epoch <= before || (kind === 'epoch' && epoch !== before + 1)) {
      wrong.push(`the journal of slot ${slot} has epoch ${epoch} behind ${before}`)
    }
    if (kind !== 'epoch') continue
    epochs++
    owners.add(`${slot}/${record.generation}`)
    for (const topic of ['labels', 'transactions'] as const) {
      const ranges = record.inputs.filter(range => range.topic === topic).sort((a, b) => a.partition - b.partition)
      for (const { partition, from, to } of ranges) {
        const key = `${topic}/${partition}`
        const next = taken.get(key) ?? 0
        if (Number(from) < next) wrong.push(`epoch ${record.epoch} reads ${key} again from ${from}, below ${next}`)
        taken.set(key, Number(to))
        const kind = topic === 'labels' ? 'label' : 'transaction'
        // What lies between the ranges of two epochs is markers and aborted records, or it was skipped: then it is lost.
        for (const at of takeUntil(topics[topic].get(partition), Number(to))) {
          if (at.offset >= Number(from)) steps.push({ kind, at })
          else wrong.push(`${key}/${at.offset} lies between two epochs and was read by none`)
        }
      }
    }
  }
  for (const queue of topics.transactions.values())
    for (const at of queue.rest()) steps.push({ kind: 'transaction', at })
  return { steps, epochs, owners: owners.size, slots: last.size }
}

class Queue {
  readonly #records: readonly Dumped[]
  #next = 0

  constructor(records: readonly Dumped[]) {
    this.#records = records
  }

  until(offset: number): readonly Dumped[] {
    const from = this.#next
    while (this.#next < this.#records.length && this.#records[this.#next]!.offset < offset) this.#next++
    return this.#records.slice(from, this.#next)
  }

  rest(): readonly Dumped[] {
    return this.until(Number.POSITIVE_INFINITY)
  }
}

const takeUntil = (queue: Queue | undefined, offset: number): readonly Dumped[] => queue?.until(offset) ?? []

function byPartition(records: readonly Dumped[]): ReadonlyMap<number, Queue> {
  const lists = new Map<number, Dumped[]>()
  for (const record of records) {
    const list = lists.get(record.partition) ?? []
    list.push(record)
    lists.set(record.partition, list)
  }
  return new Map([...lists].map(([partition, list]) => [partition, new Queue(list)]))
}

/** A customer's decisions come in the order of its transactions. */
function inversions(
  orders: ReadonlyMap<string, readonly string[]>,
  decided: ReadonlyMap<string, readonly Dumped[]>,
): string[] {
  const found: string[] = []
  for (const [customer, ids] of orders) {
    let last: Dumped | undefined
    for (const id of ids) {
      const at = decided.get(id)![0]!
      if (at.key !== customer) found.push(`${id}: its key is ${at.key}`)
      if (last !== undefined && (at.partition !== last.partition || at.offset <= last.offset)) {
        found.push(`${id}: at ${at.partition}/${at.offset}, behind ${last.partition}/${last.offset}`)
      }
      last = at
    }
  }
  return found
}

interface Expected {
  readonly late: boolean
  readonly features: Readonly<Record<string, number>>
}

function differenceOf(decision: Decision, expected: Expected, at: Dumped, slots: number): string | undefined {
  const { partition, offset } = decision.source
  if (partition !== at.partition || offset !== at.offset) {
    return `source is ${partition}/${offset}, not ${at.partition}/${at.offset}`
  }
  if (decision.late !== expected.late) return `late is ${decision.late}`
  for (const [name, value] of Object.entries(expected.features)) {
    if (slots > 1 && name.startsWith('terminal_')) continue
    const found = decision.features[name]
    if (found === undefined || Math.abs(found - value) > 1e-9 * Math.max(1, Math.abs(value))) {
      return `${name} is ${found}, not ${value}`
    }
  }
  return undefined
}

interface Event {
  readonly time: number
  readonly amount: bigint
  readonly id: string
}

/** The contract's default features, in its words. */
class Fold {
  readonly #customers = new Map<string, Event[]>()
  readonly #terminals = new Map<string, Event[]>()
  readonly #labels = new Map<string, { availableAt: number; fraud: boolean }[]>()
  readonly #latest = new Map<string, number>()

  label({ customer_id, transaction_id, available_at, label }: Label): void {
    const id = `${customer_id}/${transaction_id}`
    const list = this.#labels.get(id) ?? []
    list.push({ availableAt: available_at, fraud: label === 'fraud' })
    this.#labels.set(id, list)
  }

  transaction(t: Transaction): Expected {
    const time = typeof t.event_time === 'string' ? Date.parse(t.event_time) : t.event_time
    const event: Event = { time, amount: BigInt(t.amount_minor), id: `${t.customer_id}/${t.transaction_id}` }
    const customer = put(this.#customers, t.customer_id, event)
    const latest = this.#latest.get(t.customer_id) ?? Number.NEGATIVE_INFINITY
    this.#latest.set(t.customer_id, Math.max(latest, time))
    const date = new Date(time)
    const features: Record<string, number> = {
      tx_amount: t.amount_minor / 100,
      tx_during_weekend: [0, 6].includes(date.getUTCDay()) ? 1 : 0,
      tx_during_night: date.getUTCHours() <= 6 ? 1 : 0,
    }
    const terminal = this.#terminals.get(t.terminal_id) ?? []
    for (const days of windows) {
      const own = within(customer, time - days * dayMs, time)
      features[`customer_id_nb_tx_${days}day_window`] = own.length
      const sum = own.reduce((total, { amount }) => total + amount, 0n)
      features[`customer_id_avg_amount_${days}day_window`] = Number(sum) / own.length / 100
      const there = within(terminal, time - (7 + days) * dayMs, time - 7 * dayMs)
      features[`terminal_id_nb_tx_${days}day_window`] = there.length
      const frauds = there.filter(({ id }) => this.#isFraud(id, time)).length
      features[`terminal_id_risk_${days}day_window`] = there.length === 0 ? 0 : frauds / there.length
    }
    put(this.#terminals, t.terminal_id, event)
    return { late: time < latest - 600_000, features }
  }

  /** Of the labels that have arrived and are available at `time`, the greatest (available_at, arrival) counts. */
  #isFraud(id: string, time: number): boolean {
    let best: { availableAt: number; fraud: boolean } | undefined
    for (const label of this.#labels.get(id) ?? []) {
      if (label.availableAt > time) continue
      if (best === undefined || label.availableAt >= best.availableAt) best = label
    }
    return best?.fraud ?? false
  }
}

function put(map: Map<string, Event[]>, key: string, event: Event): Event[] {
  const list = map.get(key) ?? []
  list.push(event)
  map.set(key, list)
  return list
}

/** Events with time in (after, to]. */
const within = (events: readonly Event[], after: number, to: number): readonly Event[] =>
  events.filter(({ time }) => time > after && time <= to)

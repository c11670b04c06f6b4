/**
 * What a run of several slots must have produced, or of several plans: recomputed from the raw input in the order in which the
 * journals say that each home was processed, and, for terminals, in the order of the records of the hop's partitions; plan by plan.
 *
 * In a plan of several slots a payment that throws before the hops is as if it had never been; one that throws between or behind
 * them has been counted by what lies before. In a plan of one slot there are no hops: wherever it throws, it has never been.
 */
import { isDeepStrictEqual } from 'node:util'
import { ByteReader, positiveMurmur2 } from '../../kernel/index.js'
import { decodeHeader, decodeRow, type Row } from '../../operators/index.js'
import type { HopNode, Plan } from '../../topology/index.js'
import { type Arrival, type Expected, naiveOracle } from '../oracle/index.js'
import type { Hits } from './chaos.js'
import { type EncodedLetter, letterOf } from './dead-letter.js'
import { Difference } from './difference.js'
import { type EpochSlice, type PlanHistory, readHistory } from './history.js'
import { labelOf, readRecord, transactionOf } from './naive-model.js'
import type { Payment, Verdict } from './records.js'
import { readTopic, type Stored } from './stored.js'
import { app, copiesOf, knownVerdict, largeAmount, legsOf, type SimDecision, topics } from './topology.js'
import { decisionOf } from './verify.js'
import type { World } from './world.js'

interface Arrived {
  readonly payment: Payment
  readonly source: readonly [number, number]
  readonly stored: Stored
  /** Which processed it, from 0. */
  readonly plan: number
  /** In one slot, without hops. */
  readonly alone: boolean
}

type Decided = Extract<Expected, { readonly outcome: 'decision' }>
interface Accepted extends Arrived {
  readonly expected: Decided
}

/** What a terminal's step is given: in its own slot straight from the inputs, or through the hop. */
type ToTerminal =
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'payment'; readonly arrived: Arrived }
  | { readonly kind: 'hop'; readonly partition: number; readonly stored: Stored; readonly plan: number }

/** What the journals say was read, in the order in which it was. */
interface Read {
  /** By the customer's partition. */
  readonly homes: readonly Arrived[][]
  /** Of one partition of terminals in its order; those of several lie mixed. */
  readonly toTerminals: ToTerminal[]
  /** By plan. */
  readonly verdicts: Verdict[][]
  readonly letters: EncodedLetter[]
}

const sourceOf = (partition: number, at: number): string => `${partition}/${at}`

/** @throws Difference */
export async function verifyExchange(world: World, hits: Hits): Promise<void> {
  const histories = await readHistory(world)
  const { partitions } = histories[0]!.plan.placement
  const raw = await readTopic(world.disk, topics.transactions)
  const read: Read = { homes: Array.from({ length: partitions }, () => []), toTerminals: [], verdicts: [], letters: [] }
  for (const [i, { plan, slots }] of histories.entries()) {
    read.verdicts.push([])
    for (const history of slots) for (const slice of history) readSlice(slice, { plan, number: i, raw, hits }, read)
  }
  const { homes, letters } = read
  const accepted = homes.map(arrivals => acceptedOf(arrivals, letters))
  const atTerminals = terminalResults(histories, accepted, read)
  await verifyDecisions(world, histories, accepted, atTerminals, letters)
  const payments = accepted.flat().map(({ payment }) => payment)
  await verifyAnyOrder(world, topics.legs, payments.flatMap(legsOf))
  const large = payments.filter(({ amount_minor }) => amount_minor >= largeAmount)
  await verifyAnyOrder(world, topics.large, large)
  await verifyAnyOrder(world, topics.deadLetters, letters)
  const strays = homes.flatMap((arrivals, home) => arrivals.filter(({ alone, source }) => !alone && source[0] !== home))
  const sequenced = accepted.flat().filter(({ alone }) => !alone).length
  verifyCounts(totalsOf(histories.at(-1)!), {
    rekeyed: strays.length,
    sequenced,
    resequenced: sequenced,
    dead_letters: letters.length,
  })
}

function totalsOf({ counts }: PlanHistory): ReadonlyMap<string, number> {
  const totals = new Map<string, number>()
  for (const [name, by] of counts.flatMap(of => Object.entries(of))) totals.set(name, (totals.get(name) ?? 0) + by)
  return totals
}

interface Reading {
  readonly plan: Plan
  /** From 0. */
  readonly number: number
  /** Transactions as they lie in the log. */
  readonly raw: readonly (readonly Stored[])[]
  readonly hits: Hits
}

function readSlice({ record, inputs }: EpochSlice, { plan, number, raw, hits }: Reading, into: Read): void {
  const { slots, partitions } = plan.placement
  const alone = slots === 1
  const homeOf = (payment: Payment): number => positiveMurmur2(Buffer.from(payment.customer_id)) % partitions
  const arrive = (payment: Payment, source: readonly [number, number], stored: Stored): void => {
    const arrived = { payment, source, stored, plan: number, alone }
    into.homes[homeOf(payment)]!.push(arrived)
    if (alone) into.toTerminals.push({ kind: 'payment', arrived })
  }
  const read = new Set<string>()
  for (const { topic, partition, records } of inputs) {
    for (const stored of records) {
      const place = `${topic}/${partition}/${stored.offset}`
      read.add(place)
      if (topic === topics.transactions || topic === topics.labels) {
        const value = readRecord(topic, stored)
        if (typeof value === 'string') {
          into.letters.push(letterOf(value, place, stored.key, stored.value))
        } else if (value !== null && !('amount_minor' in value)) {
          into.verdicts[number]!.push(value)
          if (alone) into.toTerminals.push({ kind: 'verdict', verdict: value })
        } else if (value !== null && (alone || homeOf(value) === partition)) {
          arrive(value, [partition, stored.offset], stored)
        }
      } else if (topic === rekeyed) {
        const row = rowOf(hopOf(plan.hops, rekeyed), stored)
        const { partition: from, offset } = row.source
        const original = raw[from]!.find(({ offset: at }) => at === offset)
        if (original === undefined) throw new Difference(`re-keyed from ${sourceOf(from, offset)}, where nothing is`)
        const payment = readRecord(topics.transactions, original) as Payment
        if (!isDeepStrictEqual(row.value, payment)) throw new Difference(`re-keyed ${JSON.stringify(row.value)}`)
        if (homeOf(payment) !== partition) throw new Difference(`re-keyed to ${partition}`)
        arrive(payment, [from, offset], original)
        hits.add('record re-keyed')
      } else if (topic === toTerminal) {
        into.toTerminals.push({ kind: 'hop', partition, stored, plan: number })
      }
    }
  }
  for (const at of record.excluded) {
    if (!at.topic.endsWith('.repartition')) continue
    hits.add('excluded behind a hop')
    if (!read.has(`${at.topic}/${at.partition}/${at.offset}`)) hits.add('excluded after it waited')
  }
}

const rekeyed = `weir.${app}.${topics.transactions}.rekeyed`
const toTerminal = `weir.${app}.terminal.repartition`

const hopOf = (hops: readonly HopNode[], topic: string): HopNode => hops.find(hop => hop.topic === topic)!

function rowOf({ format, topic }: HopNode, { value, offset }: Stored): Row {
  const from = new ByteReader(value!)
  decodeHeader(from)
  const row = decodeRow(from, { topic, partition: 0, offset }, format, 0)
  if (from.remaining > 0) throw new Difference(`${from.remaining} bytes behind a hop record`)
  return row
}

/** It is left out as if it had never come. */
const isLeftOut = ({ payment: { trap }, payment, alone }: Arrived): boolean =>
  trap === 'legs' || (alone && (trap === 'terminal' || (trap === 'policy' && copiesOf(payment) > 0)))

/** Of one home, in its order: what is no repeat and does not throw there; what does is a letter, unless it is a repeat. */
function acceptedOf(arrivals: readonly Arrived[], letters: EncodedLetter[]): Accepted[] {
  const sound: Arrived[] = []
  const resultsOf = (of: readonly Arrived[]): Expected[] => naiveOracle(of.map(({ payment }) => transactionOf(payment)))
  for (const arrived of arrivals) {
    if (!isLeftOut(arrived)) sound.push(arrived)
    else if (resultsOf([...sound, arrived]).at(-1)!.outcome === 'decision') letters.push(trapped(arrived))
  }
  return resultsOf(sound).flatMap((expected, i) =>
    expected.outcome === 'decision' ? [{ ...sound[i]!, expected }] : [],
  )
}

const trapped = ({ source, stored }: Arrived): EncodedLetter =>
  letterOf('OPERATOR_EXCEPTION', `${topics.transactions}/${source[0]}/${source[1]}`, stored.key, stored.value)

/** By source: what the oracle says of a payment's terminal, and of nothing else. */
function terminalResults(
  histories: readonly PlanHistory[],
  accepted: readonly (readonly Accepted[])[],
  { toTerminals, verdicts }: Read,
): ReadonlyMap<string, Decided> {
  const { partitions } = histories[0]!.plan.placement
  const arrivals = Array.from({ length: partitions }, () => [] as (readonly [arrival: Arrival, source: string])[])
  const arrive = (terminal: string, arrival: Arrival, source: string): void =>
    void arrivals[positiveMurmur2(Buffer.from(terminal)) % partitions]!.push([arrival, source])
  const isAccepted = new Set(accepted.flat().map(({ source }) => sourceOf(...source)))
  const hops = new HopRecords(histories, accepted)
  for (const item of toTerminals) {
    if (item.kind === 'verdict') arrive(item.verdict.terminal_id, labelOf(item.verdict), '')
    else if (item.kind === 'payment') {
      const { payment, source } = item.arrived
      if (!isAccepted.has(sourceOf(...source))) continue
      arrive(payment.terminal_id, transactionOf(payment), sourceOf(...source))
      for (const verdict of knownVerdict(payment)) arrive(payment.terminal_id, labelOf(verdict), '')
    } else {
      const row = hops.take(item)
      const value = row.value as Payment | Verdict
      const source = sourceOf(row.source.partition, row.source.offset)
      if (row.hop!.port === 1) arrive(value.terminal_id, labelOf(value as Verdict), source)
      else if ((value as Payment).trap !== 'terminal') {
        arrive(value.terminal_id, transactionOf(value as Payment), source)
      }
    }
  }
  hops.verify(verdicts)
  const results = new Map<string, Decided>()
  for (const ofPartition of arrivals) {
    const payments = ofPartition.filter(([arrival]) => arrival.kind === 'transaction')
    naiveOracle(ofPartition.map(([arrival]) => arrival)).forEach((expected, i) => {
      const [, source] = payments[i]!
      if (expected.outcome !== 'decision') throw new Difference(`a repeat of ${source} has left its home`)
      results.set(source, expected)
    })
  }
  return results
}

/** What went to terminals through the hop, plan by plan: every payment once, numbered in its home's order, and every label. */
class HopRecords {
  readonly #histories: readonly PlanHistory[]
  readonly #accepted: readonly (readonly Accepted[])[]
  readonly #labels: unknown[][]
  /** By plan, home and number: the source. */
  readonly #numbered: (string | undefined)[][][]

  constructor(histories: readonly PlanHistory[], accepted: readonly (readonly Accepted[])[]) {
    this.#histories = histories
    this.#accepted = accepted
    this.#labels = histories.map(() => [])
    this.#numbered = histories.map(() => accepted.map(() => []))
  }

  /** @throws Difference */
  take({ partition, stored, plan }: Extract<ToTerminal, { readonly kind: 'hop' }>): Row {
    const { hops, placement } = this.#histories[plan]!.plan
    const row = rowOf(hopOf(hops, toTerminal), stored)
    const value = row.value as Payment | Verdict
    if (positiveMurmur2(Buffer.from(value.terminal_id)) % placement.partitions !== partition) {
      throw new Difference(`${value.terminal_id} in partition ${partition}`)
    }
    const { home, sequence, port } = row.hop!
    if (port === 1) this.#labels[plan]!.push(value)
    else {
      const numbered = this.#numbered[plan]![home]!
      if (numbered[sequence] !== undefined) throw new Difference(`number ${sequence} of home ${home}, twice`)
      numbered[sequence] = sourceOf(row.source.partition, row.source.offset)
    }
    return row
  }

  /** @throws Difference */
  verify(verdicts: readonly (readonly Verdict[])[]): void {
    this.#histories.forEach(({ plan }, number) => {
      const through = plan.placement.slots > 1
      const ofPlan = this.#accepted.map(payments => payments.filter(one => through && one.plan === number))
      const known = ofPlan.flat().flatMap(({ payment }) => knownVerdict(payment))
      sameInAnyOrder('labels', this.#labels[number]!, through ? [...verdicts[number]!, ...known] : [])
      ofPlan.forEach((payments, home) => {
        const inOrder = payments.map(({ source }) => sourceOf(...source))
        const sent = this.#numbered[number]![home]!
        if (isDeepStrictEqual(sent, inOrder)) return
        throw new Difference(`home ${home} sent ${sent.join(' ')}, and should have sent ${inOrder.join(' ')}`)
      })
    })
  }
}

/** A partition of the decisions is its home's payments, in their order. */
async function verifyDecisions(
  { disk }: World,
  histories: readonly PlanHistory[],
  accepted: readonly (readonly Accepted[])[],
  atTerminals: ReadonlyMap<string, Decided>,
  letters: EncodedLetter[],
): Promise<void> {
  const partitions = await readTopic(disk, topics.decisions)
  partitions.forEach((records, partition) => {
    let next = 0
    for (const payment of accepted[partition]!) {
      const { trap } = payment.payment
      const copies = copiesOf(payment.payment)
      if (trap === 'terminal') letters.push(trapped(payment))
      if (trap === 'policy') for (let i = 0; i < copies; i++) letters.push(trapped(payment))
      if (trap !== null) continue
      const expected = merged(payment.expected, atTerminals.get(sourceOf(...payment.source))!)
      const { featureNames } = histories[payment.plan]!.plan
      for (let i = 0; i < copies; i++) {
        const stored = records[next++]
        const actual = stored && (JSON.parse(stored.value!.toString('utf8')) as SimDecision)
        const wanted = actual && decisionOf({ ...payment, expected }, actual, featureNames)
        if (actual !== undefined && isDeepStrictEqual(actual, wanted)) continue
        throw new Difference(
          `decision ${next - 1} of partition ${partition}, plan ${payment.plan + 1}:\n  is        ${JSON.stringify(actual)}\n  should be ${JSON.stringify(wanted ?? payment)}`,
        )
      }
    }
    if (next < records.length)
      throw new Difference(`partition ${partition} has ${records.length - next} decisions too many`)
  })
}

/** What hangs on the customer by the one, what hangs on the terminal by the other. */
function merged(byCustomer: Decided, byTerminal: Decided): Decided {
  const features = new Map<string, number>()
  const take = (of: Decided, prefix: string): boolean => {
    const taken = [...of.features].filter(([name]) => name.startsWith(prefix))
    for (const [name, value] of taken) features.set(name, value)
    return taken.length > 0
  }
  const whole = [take(byCustomer, 'customer_id_'), take(byTerminal, 'terminal_id_')]
  return { outcome: 'decision', late: byCustomer.late, historyIncomplete: whole.includes(false), features }
}

async function verifyAnyOrder({ disk }: World, topic: string, expected: readonly object[]): Promise<void> {
  const actual = (await readTopic(disk, topic))
    .flat()
    .map(({ value }) => JSON.parse(value!.toString('utf8')) as unknown)
  sameInAnyOrder(topic, actual, expected)
}

function sameInAnyOrder(what: string, actual: readonly unknown[], expected: readonly unknown[]): void {
  const [found, wanted] = [actual, expected].map(values => values.map(value => JSON.stringify(value)).sort()) as [
    string[],
    string[],
  ]
  const at = wanted.findIndex((value, i) => value !== found[i])
  if (at >= 0) throw new Difference(`${what}: ${found[at]} instead of ${wanted[at]}`)
  if (found.length > wanted.length) throw new Difference(`${what}: ${found[wanted.length]} is too much`)
}

function verifyCounts(counts: ReadonlyMap<string, number>, expected: Readonly<Record<string, number>>): void {
  for (const [name, wanted] of Object.entries(expected)) {
    const actual = counts.get(name) ?? 0
    if (actual !== wanted) throw new Difference(`${name} is counted ${actual} times, and should be ${wanted}`)
  }
}

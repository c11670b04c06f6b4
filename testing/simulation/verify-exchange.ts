/**
 * What a run of several slots must have produced: recomputed from the raw input in the order in which the journals say that
 * each home was processed, and, for terminals, in the order of the records of the hop's partitions.
 *
 * A payment that throws before the hops is as if it had never been; one that throws between or behind them has been counted
 * by what lies before.
 */
import { isDeepStrictEqual } from 'node:util'
import { ByteReader, positiveMurmur2 } from '../../kernel/index.js'
import { decodeHeader, decodeRow, type Row } from '../../operators/index.js'
import type { HopNode } from '../../topology/index.js'
import { type Arrival, type Expected, naiveOracle } from '../oracle/index.js'
import type { Hits } from './chaos.js'
import { type EncodedLetter, letterOf } from './dead-letter.js'
import { Difference } from './difference.js'
import { readHistory, readTopic, type Stored } from './history.js'
import { labelOf, readRecord, transactionOf } from './naive-model.js'
import type { Payment, Verdict } from './records.js'
import { app, copiesOf, knownVerdict, largeAmount, legsOf, type SimDecision, topics } from './topology.js'
import { decisionOf } from './verify.js'
import type { World } from './world.js'

interface Arrived {
  readonly payment: Payment
  readonly source: readonly [number, number]
  readonly stored: Stored
}

type Decided = Extract<Expected, { readonly outcome: 'decision' }>
interface Accepted extends Arrived {
  readonly expected: Decided
}

const sourceOf = (partition: number, at: number): string => `${partition}/${at}`

/** @throws Difference */
export async function verifyExchange(world: World, hits: Hits): Promise<void> {
  const { disk, plan } = world
  const { slots, partitions } = plan.placement
  const raw = await readTopic(disk, topics.transactions)
  const homeOf = (payment: Payment): number => positiveMurmur2(Buffer.from(payment.customer_id)) % partitions
  const homes: Arrived[][] = Array.from({ length: partitions }, () => [])
  const letters: EncodedLetter[] = []
  const verdicts: Verdict[] = []
  const counts = new Map<string, number>()
  let waited = 0
  for (let slot = 0; slot < slots; slot++) {
    const history = await readHistory(world, slot)
    for (const { record, inputs } of history) {
      const read = new Set<string>()
      for (const { topic, partition, records } of inputs) {
        for (const stored of records) {
          read.add(`${topic}/${partition}/${stored.offset}`)
          if (topic === topics.transactions || topic === topics.labels) {
            const value = readRecord(topic, stored)
            if (typeof value === 'string') {
              letters.push(letterOf(value, `${topic}/${partition}/${stored.offset}`, stored.key, stored.value))
            } else if (value !== null && !('amount_minor' in value)) {
              verdicts.push(value)
            } else if (value !== null && homeOf(value) === partition) {
              homes[partition]!.push({ payment: value, source: [partition, stored.offset], stored })
            }
          } else if (topic === rekeyed) {
            const row = rowOf(hopOf(plan.hops, rekeyed), stored)
            const { partition: from, offset } = row.source
            const original = raw[from]!.find(({ offset: at }) => at === offset)
            if (original === undefined)
              throw new Difference(`re-keyed from ${sourceOf(from, offset)}, where nothing is`)
            const payment = readRecord(topics.transactions, original) as Payment
            if (!isDeepStrictEqual(row.value, payment)) throw new Difference(`re-keyed ${JSON.stringify(row.value)}`)
            if (homeOf(payment) !== partition) throw new Difference(`re-keyed to ${partition}`)
            homes[partition]!.push({ payment, source: [from, offset], stored: original })
            hits.add('record re-keyed')
          }
        }
      }
      for (const at of record.excluded) {
        if (!at.topic.endsWith('.repartition')) continue
        hits.add('excluded behind a hop')
        if (!read.has(`${at.topic}/${at.partition}/${at.offset}`)) waited++
      }
    }
    for (const [name, by] of Object.entries(history.at(-1)?.record.counts ?? {})) {
      counts.set(name, (counts.get(name) ?? 0) + by)
    }
  }
  if (waited > 0) hits.add('excluded after it waited', waited)

  const accepted = homes.map(arrivals => acceptedOf(arrivals, letters))
  for (const { payment } of accepted.flat()) verdicts.push(...knownVerdict(payment))
  const atTerminals = await terminalResults(world, accepted, verdicts)
  await verifyDecisions(world, accepted, atTerminals, letters)
  await verifyAnyOrder(
    world,
    topics.legs,
    accepted.flat().flatMap(({ payment }) => legsOf(payment)),
  )
  await verifyAnyOrder(
    world,
    topics.large,
    accepted.flat().flatMap(({ payment }) => (payment.amount_minor >= largeAmount ? [payment] : [])),
  )
  await verifyAnyOrder(world, topics.deadLetters, letters)
  const strays = homes.flat().filter(({ payment, source }) => homeOf(payment) !== source[0]).length
  verifyCounts(counts, { rekeyed: strays, sequenced: accepted.flat().length, resequenced: accepted.flat().length })
  verifyCounts(counts, { dead_letters: letters.length })
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

/** Of one home, in its order: what is no repeat and does not throw there; what does is a letter, unless it is a repeat. */
function acceptedOf(arrivals: readonly Arrived[], letters: EncodedLetter[]): Accepted[] {
  const sound: Arrived[] = []
  const resultsOf = (of: readonly Arrived[]): Expected[] => naiveOracle(of.map(({ payment }) => transactionOf(payment)))
  for (const arrived of arrivals) {
    if (arrived.payment.trap !== 'legs') sound.push(arrived)
    else if (resultsOf([...sound, arrived]).at(-1)!.outcome === 'decision') letters.push(trapped(arrived))
  }
  return resultsOf(sound).flatMap((expected, i) =>
    expected.outcome === 'decision' ? [{ ...sound[i]!, expected }] : [],
  )
}

const trapped = ({ source, stored }: Arrived): EncodedLetter =>
  letterOf('OPERATOR_EXCEPTION', `${topics.transactions}/${source[0]}/${source[1]}`, stored.key, stored.value)

/** By source: what the oracle says of a payment's terminal, and of nothing else. */
async function terminalResults(
  { disk, plan }: World,
  accepted: readonly (readonly Accepted[])[],
  verdicts: readonly Verdict[],
): Promise<ReadonlyMap<string, Decided>> {
  const labels: unknown[] = []
  const hop = hopOf(plan.hops, toTerminal)
  const results = new Map<string, Decided>()
  const numbered = accepted.map(() => [] as (string | undefined)[])
  for (const [partition, records] of (await readTopic(disk, toTerminal)).entries()) {
    const arrivals: { readonly arrival: Arrival; readonly source: string }[] = []
    for (const stored of records) {
      const row = rowOf(hop, stored)
      const value = row.value as Payment | Verdict
      const source = sourceOf(row.source.partition, row.source.offset)
      if (positiveMurmur2(Buffer.from(value.terminal_id)) % plan.placement.partitions !== partition) {
        throw new Difference(`${value.terminal_id} in partition ${partition}`)
      }
      if (row.hop!.port === 1) {
        labels.push(value)
        arrivals.push({ arrival: labelOf(value as Verdict), source })
        continue
      }
      const { home, sequence } = row.hop!
      if (numbered[home]![sequence] !== undefined) throw new Difference(`number ${sequence} of home ${home}, twice`)
      numbered[home]![sequence] = source
      if ((value as Payment).trap !== 'terminal') arrivals.push({ arrival: transactionOf(value as Payment), source })
    }
    const payments = arrivals.filter(({ arrival }) => arrival.kind === 'transaction')
    naiveOracle(arrivals.map(({ arrival }) => arrival)).forEach((expected, i) => {
      const { source } = payments[i]!
      if (expected.outcome !== 'decision') throw new Difference(`a repeat of ${source} has left its home`)
      results.set(source, expected)
    })
  }
  sameInAnyOrder('labels', labels, verdicts)
  accepted.forEach((payments, home) => {
    const inOrder = payments.map(({ source }) => sourceOf(...source))
    if (!isDeepStrictEqual(numbered[home], inOrder)) {
      throw new Difference(`home ${home} sent ${numbered[home]!.join(' ')}, and should have sent ${inOrder.join(' ')}`)
    }
  })
  return results
}

/** A partition of the decisions is its home's payments, in their order. */
async function verifyDecisions(
  { disk, plan }: World,
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
      for (let i = 0; i < copies; i++) {
        const stored = records[next++]
        const actual = stored && (JSON.parse(stored.value!.toString('utf8')) as SimDecision)
        const wanted = actual && decisionOf({ ...payment, expected }, actual, plan.featureNames)
        if (actual !== undefined && isDeepStrictEqual(actual, wanted)) continue
        throw new Difference(
          `decision ${next - 1} of partition ${partition}:\n  is        ${JSON.stringify(actual)}\n  should be ${JSON.stringify(wanted ?? payment)}`,
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

/**
 * What the run must have produced, recomputed from the raw input in the order that the journal fixes (I3): the oracle for
 * features and repeats, a naive twin of the process step, and plain loops for the rest.
 */
import { days, minutes, positiveMurmur2 } from '../../kernel/index.js'
import type { EpochRecord } from '../../runners/slot/index.js'
import { type Arrival, type Expected, naiveOracle } from '../oracle/index.js'
import { type EncodedLetter, letterOf } from './dead-letter.js'
import { Difference } from './difference.js'
import type { EpochSlice } from './history.js'
import { NaiveWatch } from './naive-watch.js'
import { type Payment, parsePayment, parseVerdict, type Verdict } from './records.js'
import type { Stored } from './stored.js'
import { knownVerdict, largeAmount, legsOf, topics } from './topology.js'
import type { Alert } from './watch.js'

/** A decision but for what the model, which may fail, adds. */
export interface ExpectedDecision {
  readonly payment: Payment
  readonly source: readonly [number, number]
  readonly expected: Extract<Expected, { readonly outcome: 'decision' }>
}

/** One record out, in its place. */
export interface ExpectedOutput {
  readonly epoch: number
  readonly topic: string
  readonly partition: number
  readonly value: ExpectedDecision | Alert | EncodedLetter | object
}

export interface Prediction {
  readonly outputs: readonly ExpectedOutput[]
  readonly counts: ReadonlyMap<string, number>
  /** Of each epoch: the lines of its dead letters, as the journal's hash has them. */
  readonly letterLines: readonly string[]
}

interface Arrived {
  readonly payment: Payment
  readonly source: readonly [number, number]
}

interface Sorted {
  readonly record: EpochRecord
  readonly payments: readonly Arrived[]
  readonly verdicts: readonly Verdict[]
  readonly letters: readonly { readonly letter: EncodedLetter; readonly partition: number }[]
}

export function predict(history: readonly EpochSlice[], partitionsOf: (topic: string) => number): Prediction {
  const counts = new Map<string, number>()
  const count = (name: string, by = 1): void => void counts.set(name, (counts.get(name) ?? 0) + by)
  const watermarks = new Map<string, number>()
  const epochs = history.map(slice => sortOut(slice, watermarks, count))
  const results = oracleResults(epochs)
  const watch = new NaiveWatch()
  const outputs: ExpectedOutput[] = []
  const letterLines: string[] = []
  let watermark = Number.NEGATIVE_INFINITY
  for (const { record, payments, verdicts, letters } of epochs) {
    const put = (topic: string, key: string, value: ExpectedOutput['value']): void => {
      const partition = positiveMurmur2(Buffer.from(key)) % partitionsOf(topic)
      outputs.push({ epoch: record.epoch, topic, partition, value })
      count(topic)
    }
    count('labels', verdicts.length)
    for (const { payment, source } of payments) {
      const expected = results.get(payment)!
      if (expected.outcome === 'duplicate') {
        count('duplicates')
        if (expected.conflict) count('conflicts')
        continue
      }
      count('labels', knownVerdict(payment).length)
      if (expected.late) count('late')
      if (payment.trap !== null || watch.throwsOn(payment.customer_id, payment.terminal_id)) {
        throw new Difference(
          `epoch ${record.epoch}: an operator throws on ${payment.transaction_id}, and it went through`,
        )
      }
      put(topics.decisions, payment.customer_id, { payment, source, expected })
      const { customer_id, transaction_id, terminal_id, event_time } = payment
      for (const alert of watch.payment(customer_id, transaction_id, terminal_id, event_time)) {
        put(topics.alerts, alert.who, alert)
      }
      for (const leg of legsOf(payment)) put(topics.legs, customer_id, leg)
      if (payment.amount_minor >= largeAmount) put(topics.large, customer_id, payment)
    }
    watermark = Math.max(watermark, slotWatermark(record))
    for (const alert of watch.watermark(watermark)) put(topics.alerts, alert.who, alert)
    for (const { letter, partition } of letters) {
      const to = partition % partitionsOf(topics.deadLetters)
      outputs.push({ epoch: record.epoch, topic: topics.deadLetters, partition: to, value: letter })
    }
    letterLines.push(letters.map(({ letter }) => `${letter.source} ${letter.code}\n`).join(''))
  }
  return { outputs, counts, letterLines }
}

/** Decodes an epoch's records and sets aside what is none; checks the watermarks that the journal says. */
function sortOut(
  { record, inputs }: EpochSlice,
  watermarks: Map<string, number>,
  count: (name: string, by?: number) => void,
): Sorted {
  const excluded = new Set(record.excluded.map(at => `${at.topic}/${at.partition}/${at.offset}`))
  const payments: Arrived[] = []
  const verdicts: Verdict[] = []
  const letters: Sorted['letters'][number][] = []
  for (const { topic, partition, records } of inputs) {
    const clock = `${topic}/${partition}`
    const outOfOrder = topic === topics.labels ? days(30) : minutes(10)
    for (const stored of records) {
      count('records')
      const source = `${clock}/${stored.offset}`
      const value = readRecord(topic, stored)
      if (value === null) {
        count('blank')
        continue
      }
      const code = typeof value === 'string' ? value : excluded.delete(source) ? 'OPERATOR_EXCEPTION' : undefined
      if (code !== undefined || typeof value === 'string') {
        count('dead_letters')
        letters.push({ letter: letterOf(code ?? '', source, stored.key, stored.value), partition })
        continue
      }
      watermarks.set(clock, Math.max(watermarks.get(clock) ?? Number.NEGATIVE_INFINITY, value.event_time - outOfOrder))
      if ('amount_minor' in value) payments.push({ payment: value, source: [partition, stored.offset] })
      else verdicts.push(value)
    }
  }
  if (excluded.size > 0) throw new Difference(`epoch ${record.epoch} excludes ${[...excluded]}, which it did not read`)
  for (const { topic, partition, watermark_ms } of record.clocks) {
    if ((watermarks.get(`${topic}/${partition}`) ?? null) !== watermark_ms) {
      throw new Difference(`epoch ${record.epoch}: watermark of ${topic}/${partition} is ${watermark_ms}`)
    }
  }
  return { record, payments, verdicts, letters }
}

/** A code of an error, or null for a blank, or the record. */
export function readRecord(topic: string, { value, timestampMs }: Stored): Payment | Verdict | string | null {
  if (value === null) return 'MALFORMED_RECORD'
  const text = value.toString('utf8')
  const parsed = topic === topics.labels ? parseVerdict(text) : parsePayment(text)
  if (parsed === undefined) return 'MALFORMED_RECORD'
  if (parsed !== null && parsed.event_time > timestampMs + days(1)) return 'INVALID_EVENT_TIME'
  return parsed
}

/** Verdicts of an epoch come before its payments; known ones directly after theirs, unless it is a repeat. */
function oracleResults(epochs: readonly Sorted[]): ReadonlyMap<Payment, Expected> {
  const payments = epochs.flatMap(epoch => epoch.payments.map(({ payment }) => payment))
  const first = naiveOracle(payments.map(transactionOf))
  const repeats = new Set(payments.filter((_, i) => first[i]!.outcome === 'duplicate'))
  const arrivals: Arrival[] = []
  for (const { verdicts, payments: ofEpoch } of epochs) {
    arrivals.push(...verdicts.map(labelOf))
    for (const { payment } of ofEpoch) {
      arrivals.push(transactionOf(payment))
      if (!repeats.has(payment)) arrivals.push(...knownVerdict(payment).map(labelOf))
    }
  }
  const results = naiveOracle(arrivals)
  return new Map(payments.map((payment, i) => [payment, results[i]!]))
}

export const transactionOf = (payment: Payment): Arrival => ({ kind: 'transaction', ...payment })
export const labelOf = (verdict: Verdict): Arrival => ({ kind: 'label', ...verdict })

/** The least of the partitions that are awake; of all, when none is. */
function slotWatermark({ clocks }: EpochRecord): number {
  const awake = clocks.filter(clock => !clock.idle)
  const times = (awake.length > 0 ? awake : clocks).map(clock => clock.watermark_ms ?? Number.NEGATIVE_INFINITY)
  return Math.min(...times)
}

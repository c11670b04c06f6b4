/**
 * What arrives, drawn from the seed: disorder, equal times, repeats (A,A and A,B,A), conflicts, late records, verdicts
 * early, late and superseded, bytes that are no record, null values, traps, and hostile times.
 *
 * Two kinds of history, because idle keys expire 67 days of event time after their last record (docs/decisions/0005) and
 * the oracle never forgets: a short one spans less than that and has records later than every bound; a long one expires
 * keys, and nothing in it is late enough to ask for what has expired.
 */
import { days, hours, minutes, positiveMurmur2 } from '../../kernel/index.js'
import type { AppendRecord } from '../../log/index.js'
import type { Random } from './random.js'
import type { Payment, Trap, Verdict } from './records.js'
import { topics } from './topology.js'

/** What a producer sends at once. */
export interface Shipment {
  /** The clock moves by this much before. */
  readonly afterMs: number
  /** Everything before must be processed first: what is recent afterwards is known to all partitions. */
  readonly drainFirst: boolean
  /** By a transaction of its own, which leaves gaps in the offsets. */
  readonly transactional: boolean
  readonly records: readonly { readonly topic: string; readonly partition: number; readonly record: AppendRecord }[]
}

/** UTF-8 and UTF-16 order these differently. */
const customers = ['c1', 'c2', 'c3', 'zoë', '\uff5e', '\u{1f600}', 'c', 'C'] as const
const currencies = ['EUR', 'EUR', 'EUR', 'JPY', 'KWD'] as const
/** One in each part of a plan: with several slots those are before, between and behind the hops. */
const trapsOf = (slots: number): readonly Trap[] =>
  slots === 1 ? ['watch', 'legs', 'policy'] : ['legs', 'terminal', 'policy']
const labelsPerPaymentMax = 4

export const startMs = Date.UTC(2024, 0, 1)

export class InputGenerator {
  readonly #random: Random
  readonly #partitions: number
  readonly #slots: number
  readonly #long: boolean
  readonly #customers: number
  readonly #terminals: number
  readonly #trapChance: number
  readonly #oddChance: number
  readonly #sent: Payment[] = []
  #nowMs = startMs
  #greatestMs = startMs
  #ids = 0
  #ancients = 0
  /** Payments whose verdict was sent before them. */
  #announced: Payment[] = []

  constructor(random: Random, partitions: number, slots = 1) {
    this.#random = random
    this.#slots = slots
    this.#partitions = partitions
    this.#long = random.chance(0.3)
    this.#customers = random.between(1, customers.length)
    this.#terminals = random.between(1, 6)
    this.#trapChance = random.pick([0, 0, 0.01, 0.05])
    this.#oddChance = random.pick([0, 0.05, 0.2])
  }

  shipments(): Shipment[] {
    const random = this.#random
    const bulk = random.chance(0.05)
    // Each record of several slots is processed three times.
    const most = this.#slots === 1 ? 120 : 60
    const total = bulk ? random.between(150, 260) : random.between(30, most)
    const largest = bulk ? 200 : random.pick([1, 5, 20])
    const shipments: Shipment[] = []
    for (let left = total; left > 0; ) {
      const drainFirst = this.#long && random.chance(0.08)
      const afterMs = drainFirst ? days(random.between(20, 90)) : this.#pause(total)
      this.#nowMs += afterMs
      if (drainFirst) this.#leap()
      const count = Math.min(left, random.between(Math.ceil(largest / 3), largest))
      const records = Array.from({ length: count }, () => this.#record())
      shipments.push({ afterMs, drainFirst, transactional: random.chance(0.2), records })
      left -= count
    }
    return shipments
  }

  /** What came before is no longer recent. */
  #leap(): void {
    this.#greatestMs = this.#nowMs
    this.#announced = []
  }

  /** Without leaps a history stays within 30 days, whatever it draws. */
  #pause(total: number): number {
    const random = this.#random
    const longest = this.#long ? days(3) : Math.floor(days(25) / total)
    return random.pick([0, minutes(1), hours(1), longest, random.below(longest)])
  }

  #record(): Shipment['records'][number] {
    const random = this.#random
    if (random.chance(this.#oddChance)) return this.#odd()
    if (random.chance(0.2) && this.#sent.length > 0) return this.#verdict(this.#recent())
    if (random.chance(0.05)) {
      const payment = this.#newPayment()
      this.#announced.push(payment)
      return this.#verdict(payment)
    }
    if (this.#announced.length > 0 && random.chance(0.3)) return this.#payment(this.#announced.pop()!)
    if (random.chance(0.15) && this.#sent.length > 0) return this.#repeat(this.#recent())
    return this.#payment(this.#newPayment())
  }

  /** Of the last ones; in a long history never one that may have expired. */
  #recent(): Payment {
    const usable = this.#sent.filter(payment => !this.#long || payment.event_time > this.#greatestMs - days(20))
    return usable.length === 0 ? this.#remember(this.#newPayment()) : this.#random.pick(usable.slice(-30))
  }

  #newPayment(): Payment {
    const random = this.#random
    const id = this.#sent.length > 0 && random.chance(0.03) ? this.#idOfAnother() : `t-${this.#ids++}`
    return {
      transaction_id: id,
      customer_id: customers[random.below(this.#customers)]!,
      terminal_id: `terminal-${random.below(this.#terminals)}`,
      event_time: this.#eventTime(),
      amount_minor: random.chance(0.03) ? 10 ** 15 - random.below(1_000) : random.below(100_000),
      currency: random.pick(currencies),
      inline_label: random.chance(0.15) ? random.chance(0.5) : null,
      legs: random.chance(0.5) ? 0 : random.between(1, 9),
      trap: random.chance(this.#trapChance) ? random.pick(trapsOf(this.#slots)) : null,
    }
  }

  /** Another customer's: then it is another transaction, and its own: then it is a conflict. */
  #idOfAnother(): string {
    return this.#recent().transaction_id
  }

  #eventTime(): number {
    const random = this.#random
    const kind = random.below(20)
    if (kind < 3) return this.#greatestMs
    if (kind < 6) return this.#nowMs - random.below(minutes(30))
    if (kind < 8) return this.#nowMs - random.below(days(this.#long ? 24 : 3))
    if (kind < 9) return this.#nowMs - random.below(days(this.#long ? 24 : 32))
    if (kind < 10) return this.#nowMs + random.below(days(1) + minutes(1))
    return this.#nowMs - random.below(minutes(2))
  }

  #payment(payment: Payment): Shipment['records'][number] {
    this.#remember(payment)
    return this.#at(topics.transactions, payment.customer_id, JSON.stringify(payment))
  }

  #remember(payment: Payment): Payment {
    this.#sent.push(payment)
    this.#greatestMs = Math.max(this.#greatestMs, Math.min(payment.event_time, this.#nowMs))
    return payment
  }

  #repeat(payment: Payment): Shipment['records'][number] {
    const random = this.#random
    const change = random.pick([
      {},
      {},
      {},
      { amount_minor: payment.amount_minor + 1 },
      { terminal_id: 'terminal-0' },
      { event_time: this.#nowMs },
    ])
    return this.#at(topics.transactions, payment.customer_id, JSON.stringify({ ...payment, ...change }))
  }

  #verdict(payment: Payment): Shipment['records'][number] {
    const random = this.#random
    const verdict: Verdict = {
      transaction_id: payment.transaction_id,
      customer_id: payment.customer_id,
      terminal_id: payment.terminal_id,
      event_time: payment.event_time,
      // Few values, so that some supersede others of the same moment.
      available_at: payment.event_time + days(random.below(labelsPerPaymentMax) * 3),
      fraud: random.chance(0.5),
    }
    return this.#at(topics.labels, payment.customer_id, JSON.stringify(verdict))
  }

  /** What no topology should choke on. */
  #odd(): Shipment['records'][number] {
    const random = this.#random
    const topic = random.chance(0.8) ? topics.transactions : topics.labels
    const kind = random.below(8)
    if (kind === 0) return this.#at(topic, 'odd', null)
    if (kind === 1) return this.#at(topic, 'odd', '')
    if (kind === 2) return this.#at(topic, 'odd', '{"transaction_id":"half')
    if (kind === 3) return this.#at(topic, 'odd', Buffer.of(0xff, 0x00, 0x0a, 0xc3))
    if (kind === 4) return this.#at(topic, 'odd', '{"__proto__":{"event_time":1},"transaction_id":"x"}')
    if (kind === 5)
      return this.#at(topics.transactions, 'odd', JSON.stringify({ ...this.#newPayment(), event_time: -1 }))
    // A stranger each time, dated long before everyone or far ahead of the log; it must move nobody else's clock.
    const stranger = { customer_id: `stranger-${this.#ids}`, terminal_id: `nowhere-${this.#ids}` }
    const event_time = kind === 6 ? days(this.#ancients++) : this.#nowMs + days(random.pick([2, 400, 80_000]))
    return this.#at(
      topics.transactions,
      stranger.customer_id,
      JSON.stringify({ ...this.#newPayment(), ...stranger, transaction_id: `t-${this.#ids++}`, event_time }),
    )
  }

  #at(topic: string, key: string, text: string | Uint8Array | null): Shipment['records'][number] {
    const random = this.#random
    const misrouted = random.chance(0.03)
    const home = positiveMurmur2(Buffer.from(key)) % this.#partitions
    return {
      topic,
      partition: misrouted ? random.below(this.#partitions) : home,
      record: {
        key: random.chance(0.02) ? null : Buffer.from(key),
        value: typeof text === 'string' ? Buffer.from(text) : text,
      },
    }
  }
}

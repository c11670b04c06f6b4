/**
 * The seeded simulator behind `weir generate`, after the idea of the transaction simulator in "Reproducible Machine
 * Learning for Credit Card Fraud Detection: Practical Handbook" (Le Borgne, Siblini, Lebichot, Bontempi, 2022, chapter
 * 3, https://fraud-detection-handbook.github.io): its design and constants are followed, its code and data are not used.
 *
 * A customer stands at a point, spends a mean amount of 5 to 100 (deviation: half of it) and pays 0 to 4 times a day on
 * average, around noon, at terminals within the radius. Fraud, the later scenario winning where two apply:
 *   1. any amount above 220;
 *   2. each day a few terminals are compromised: all they take within 28 days, that day included, is fraud;
 *   3. each day a few cards are compromised: within 14 days a third of their payments are fraud, five times the amount.
 *
 * Invariants:
 * 1. Same settings, same transactions, on every platform (random.ts).
 * 2. Event time never goes back; equal times are ordered by customer, then by draw.
 * 3. Memory: one entry a terminal, three a customer and one day's transactions, however many days there are (I6).
 */
import { days, type EventTimeMs, eventTime, plus } from '../../kernel/index.js'
import { type GenerateOptions, type Settings, settingsOf } from './options.js'
import { expNegative, Purpose, Random } from './random.js'
import { TerminalMap, worldSide } from './terminals.js'

export interface GeneratedTransaction {
  readonly transactionId: string
  /** Whole seconds. */
  readonly eventTime: EventTimeMs
  readonly customerId: string
  readonly terminalId: string
  /** Cents. */
  readonly amountMinor: number
  readonly fraud: boolean
  /** 0 legitimate, 1 large amount, 2 compromised terminal, 3 compromised card. */
  readonly scenario: number
}

export const largeAmountMinor = 22_000
export const terminalCompromisedDays = 28
export const cardCompromisedDays = 14
const cardFraudFactor = 5
const secondsPerDay = 86_400
/** A Poisson of mean 4 passes this once in 10^16 days. */
const transactionsPerCustomerDayMax = 32
/** `second * indexRange + index` orders a day by one exact number: 86,400 x 2^28 is below 2^53. */
const indexRange = 2 ** 28

/** Labelled transactions in event-time order. @throws WeirError USAGE for an option out of its range, at the call */
export function generate(options: GenerateOptions = {}): Iterable<GeneratedTransaction> {
  const settings = settingsOf(options)
  return { [Symbol.iterator]: () => transactionsOf(settings) }
}

function* transactionsOf(settings: Settings): Generator<GeneratedTransaction, void, undefined> {
  const day = new SimulatedDay(settings)
  let sequence = 0
  for (let d = 0; d < settings.days; d++) {
    day.fill(d)
    const midnight = plus(settings.startAt, days(d))
    for (let i = 0; i < day.count; i++) {
      const at = day.order[i]! % indexRange
      const scenario = day.scenario[at]!
      yield {
        transactionId: `${settings.idPrefix}${sequence++}`,
        eventTime: eventTime(midnight + Math.floor(day.order[i]! / indexRange) * 1_000),
        customerId: String(day.customer[at]!),
        terminalId: String(day.terminal[at]!),
        amountMinor: day.amountMinor[at]!,
        fraud: scenario !== 0,
        scenario,
      }
    }
  }
}

/** The customers and terminals, and the transactions of the day that was filled last, as columns. */
class SimulatedDay {
  count = 0
  /** Ascending; entry i is second of the day * indexRange + place in the columns. */
  order: Float64Array
  customer: Int32Array
  terminal: Int32Array
  amountMinor: Float64Array
  scenario: Uint8Array

  readonly #settings: Settings
  readonly #random = new Random()
  readonly #terminals: TerminalMap
  readonly #near: Int32Array
  /** Day from which the terminal or card is clean again. */
  readonly #terminalCleanFrom: Int32Array
  readonly #cardCleanFrom: Int32Array

  constructor(settings: Settings) {
    this.#settings = settings
    this.#terminals = new TerminalMap(settings.seed, settings.terminals, settings.radius, this.#random)
    this.#near = new Int32Array(settings.terminals)
    this.#terminalCleanFrom = new Int32Array(settings.terminals)
    this.#cardCleanFrom = new Int32Array(settings.customers)
    const room = Math.max(1_024, settings.customers * 2)
    this.order = new Float64Array(room)
    this.customer = new Int32Array(room)
    this.terminal = new Int32Array(room)
    this.amountMinor = new Float64Array(room)
    this.scenario = new Uint8Array(room)
  }

  /** Days are filled in turn from 0: what was compromised the days before is remembered. */
  fill(day: number): void {
    const { compromisedTerminalsPerDay, compromisedCardsPerDay, customers } = this.#settings
    this.#compromise(
      Purpose.compromisedTerminals,
      day,
      compromisedTerminalsPerDay,
      this.#terminalCleanFrom,
      day + terminalCompromisedDays,
    )
    this.#compromise(
      Purpose.compromisedCards,
      day,
      compromisedCardsPerDay,
      this.#cardCleanFrom,
      day + cardCompromisedDays,
    )
    this.count = 0
    for (let id = 0; id < customers; id++) this.#customerDay(id, day)
    this.order.subarray(0, this.count).sort()
  }

  /** Draws `n` different members and marks them until `cleanFrom`. */
  #compromise(purpose: Purpose, day: number, n: number, marks: Int32Array, cleanFrom: number): void {
    this.#random.restart(this.#settings.seed, purpose, day, 0)
    // One drawn today already carries today's mark: that tells it from one drawn on an earlier day.
    for (let drawn = 0; drawn < n; ) {
      const id = this.#random.below(marks.length)
      if (marks[id] === cleanFrom) continue
      marks[id] = cleanFrom
      drawn++
    }
  }

  #customerDay(id: number, day: number): void {
    const random = this.#random
    random.restart(this.#settings.seed, Purpose.customer, id, 0)
    const x = random.unit() * worldSide
    const y = random.unit() * worldSide
    const meanMinor = 500 + random.below(9_501)
    const noneToday = expNegative(random.unit() * 4)
    random.restart(this.#settings.seed, Purpose.customerDay, id, day)
    const transactions = random.poisson(noneToday, transactionsPerCustomerDayMax)
    if (transactions === 0) return
    const reachable = this.#terminals.near(x, y, this.#near)
    // Someone far from every terminal pays nowhere.
    if (reachable === 0) return
    for (let n = 0; n < transactions; n++) {
      const second = Math.floor(secondsPerDay / 2 + 20_000 * random.normal())
      let amountMinor = Math.round(meanMinor + (meanMinor / 2) * random.normal())
      if (amountMinor < 0) amountMinor = random.below(2 * meanMinor + 1)
      const terminal = this.#near[random.below(reachable)]!
      const third = random.below(3) === 0
      // As in the Handbook, what falls outside the day is not made up for.
      if (second <= 0 || second >= secondsPerDay) continue
      let scenario = amountMinor > largeAmountMinor ? 1 : 0
      if (this.#terminalCleanFrom[terminal]! > day) scenario = 2
      if (third && this.#cardCleanFrom[id]! > day) {
        scenario = 3
        amountMinor *= cardFraudFactor
      }
      this.#push(second, id, terminal, amountMinor, scenario)
    }
  }

  #push(second: number, customer: number, terminal: number, amountMinor: number, scenario: number): void {
    const at = this.count++
    if (at === this.order.length) this.#grow()
    this.order[at] = second * indexRange + at
    this.customer[at] = customer
    this.terminal[at] = terminal
    this.amountMinor[at] = amountMinor
    this.scenario[at] = scenario
  }

  #grow(): void {
    const room = this.order.length * 2
    this.order = copyInto(new Float64Array(room), this.order)
    this.customer = copyInto(new Int32Array(room), this.customer)
    this.terminal = copyInto(new Int32Array(room), this.terminal)
    this.amountMinor = copyInto(new Float64Array(room), this.amountMinor)
    this.scenario = copyInto(new Uint8Array(room), this.scenario)
  }
}

function copyInto<T extends Float64Array | Int32Array | Uint8Array>(larger: T, from: T): T {
  larger.set(from)
  return larger
}

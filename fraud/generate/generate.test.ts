import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isWeirError, sha256Hex } from '../../kernel/index.js'
import {
  cardCompromisedDays,
  type GeneratedTransaction,
  type GenerateOptions,
  generate,
  handbookCsvHeader,
  largeAmountMinor,
  terminalCompromisedDays,
  toHandbookCsvLine,
  toTransactionJsonLine,
} from './index.js'

const dayMs = 86_400_000
const start = Date.UTC(2024, 0, 1)
const small: GenerateOptions = { customers: 300, terminals: 600, days: 40, seed: 7, radius: 10 }
const dayOf = (t: GeneratedTransaction): number => Math.floor((t.eventTime - start) / dayMs)
const csvOf = (options: GenerateOptions): string => [...generate(options)].map(toHandbookCsvLine).join('\n')

test('the same options give the same bytes, and these bytes', () => {
  const csv = csvOf(small)
  assert.equal(csvOf(small), csv)
  // Pinned: a change here changes every data set that was made from a seed, and the bundled model.
  assert.equal(sha256Hex(csv), 'de4fb9a051476d0be9df432fb7083382e3679b5475fda9e45c0797e44cf54ef3')
  assert.notEqual(csvOf({ ...small, seed: 8 }), csv)
  assert.notEqual(csvOf({ ...small, seed: 7 + 2 ** 32 }), csv)
})

test('fewer days are a prefix of more days', () => {
  const long = [...generate(small)]
  const short = [...generate({ ...small, days: 13 })]
  assert.ok(short.length > 1_000)
  assert.deepEqual(short, long.slice(0, short.length))
})

test('event time never goes back, ids count up, and every value is within its bounds', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.maxSafeNat(),
        customers: fc.integer({ min: 1, max: 60 }),
        terminals: fc.integer({ min: 1, max: 60 }),
        days: fc.integer({ min: 1, max: 5 }),
        radius: fc.double({ min: 0.001, max: 1_000, noNaN: true }),
      }),
      options => {
        let previous = start
        let n = 0
        for (const t of generate(options)) {
          assert.ok(t.eventTime >= previous && t.eventTime < start + options.days * dayMs && t.eventTime % 1_000 === 0)
          assert.equal(t.transactionId, String(n++))
          assert.ok(Number(t.customerId) < options.customers && Number(t.terminalId) < options.terminals)
          assert.ok(Number.isSafeInteger(t.amountMinor) && t.amountMinor >= 0 && t.amountMinor <= 5 * 40_000)
          assert.equal(t.fraud, t.scenario > 0)
          previous = t.eventTime
        }
      },
    ),
    { numRuns: 100, seed: 1 },
  )
})

test('rates, amounts and times are those of the Handbook', () => {
  let n = 0
  let minor = 0
  let atNight = 0
  const scenarios = [0, 0, 0, 0]
  for (const t of generate({ seed: 3, days: 31 })) {
    if (dayOf(t) < 28) continue
    n++
    minor += t.amountMinor
    if ((t.eventTime % dayMs) / 3_600_000 < 6) atNight++
    scenarios[t.scenario]!++
  }
  // 5,000 customers x mean 2 a day, less the 3 % that fall outside the day.
  assert.ok(n / 3 > 9_300 && n / 3 < 10_000, `${n / 3} a day`)
  assert.ok(minor / n > 5_200 && minor / n < 5_600, `mean ${minor / n} cents`)
  // Normal around noon, deviation 20,000 s: P(-2.16 < z < -1.08) of P(|z| < 2.16).
  assert.ok(atNight / n > 0.12 && atNight / n < 0.14, `${atNight / n} before six`)
  // 56 of 10,000 terminals; 42 of 5,000 cards, a third of their payments.
  assert.ok(scenarios[2]! / n > 0.004 && scenarios[2]! / n < 0.0075, `${scenarios[2]! / n} scenario 2`)
  assert.ok(scenarios[3]! / n > 0.0018 && scenarios[3]! / n < 0.0038, `${scenarios[3]! / n} scenario 3`)
})

test('a customer pays only within the radius: few terminals each', () => {
  const reached = new Map<string, Set<string>>()
  for (const t of generate({ ...small, customers: 50, terminals: 1_000, radius: 3, days: 60 })) {
    reached.set(t.customerId, (reached.get(t.customerId) ?? new Set()).add(t.terminalId))
  }
  // A circle of radius 3 in 100 x 100 holds 2.8 of 1,000 terminals on average.
  for (const terminals of reached.values()) assert.ok(terminals.size <= 12, `${terminals.size} terminals`)
  // A radius over the whole world reaches them all, and still ends.
  const everywhere = new Set<string>()
  for (const t of generate({ ...small, customers: 20, terminals: 30, radius: 1_000 })) everywhere.add(t.terminalId)
  assert.equal(everywhere.size, 30)
})

test('scenario 1: every amount above 220 is fraud, and without compromises nothing else is', () => {
  const quiet = { ...small, compromisedTerminalsPerDay: 0, compromisedCardsPerDay: 0 }
  let large = 0
  for (const t of generate(quiet)) {
    assert.equal(t.scenario, t.amountMinor > largeAmountMinor ? 1 : 0)
    large += t.scenario
  }
  assert.ok(large > 0)
})

test('scenario 2: a compromised terminal takes nothing but fraud, for 28 days', () => {
  const all = [...generate({ ...small, days: 60, compromisedTerminalsPerDay: 1, compromisedCardsPerDay: 0 })]
  const fraudDays = new Map<string, Set<number>>()
  for (const t of all) {
    if (t.scenario === 2) fraudDays.set(t.terminalId, (fraudDays.get(t.terminalId) ?? new Set()).add(dayOf(t)))
  }
  assert.ok(fraudDays.size >= 55)
  for (const t of all) {
    const days = fraudDays.get(t.terminalId)
    if (days === undefined || t.scenario === 2) continue
    assert.ok(!days.has(dayOf(t)), 'nothing legitimate on a day of the compromise')
    const first = Math.min(...days)
    const last = Math.max(...days)
    // Within 28 days lies one compromise, or two that overlap: nothing legitimate between its first and last day.
    if (last - first < terminalCompromisedDays) assert.ok(dayOf(t) < first || dayOf(t) > last)
  }
  const spans = [...fraudDays.values()].map(d => Math.max(...d) - Math.min(...d))
  // Most terminals are compromised once; none of those shows fraud over more days, and some over all of them.
  assert.ok(spans.filter(span => span < terminalCompromisedDays).length > spans.length * 0.8)
  assert.ok(spans.includes(terminalCompromisedDays - 1))
})

test('scenario 3: the same traffic, with a third of the compromised cards five-fold', () => {
  const quiet = { ...small, compromisedTerminalsPerDay: 0, compromisedCardsPerDay: 0 }
  const before = [...generate(quiet)]
  const after = [...generate({ ...quiet, compromisedCardsPerDay: 2 })]
  assert.equal(after.length, before.length)
  const compromised = new Map<string, number>()
  for (const [i, t] of after.entries()) {
    const was = before[i]!
    assert.equal(t.amountMinor, t.scenario === 3 ? was.amountMinor * 5 : was.amountMinor)
    assert.equal(t.customerId, was.customerId)
    if (t.scenario === 3 && !compromised.has(t.customerId)) compromised.set(t.customerId, dayOf(t))
  }
  let during = 0
  let stolen = 0
  for (const t of after) {
    const first = compromised.get(t.customerId)
    if (first === undefined || dayOf(t) <= first || dayOf(t) >= first + cardCompromisedDays / 2) continue
    during++
    if (t.scenario === 3) stolen++
  }
  assert.ok(stolen / during > 0.2 && stolen / during < 0.45, `${stolen} of ${during}`)
})

test('lines', () => {
  const [first] = generate({ ...small, idPrefix: 'a-' })
  assert.ok(first)
  const made = {
    ...first,
    eventTime: (start + 31_000) as typeof first.eventTime,
    customerId: '596',
    terminalId: '3156',
  }
  const line = (amountMinor: number, scenario: number): string =>
    toHandbookCsvLine({ ...made, amountMinor, scenario, fraud: scenario > 0 })
  assert.equal(handbookCsvHeader.split(',').length, line(0, 0).split(',').length)
  assert.equal(line(5_716, 0), 'a-0,2024-01-01T00:00:31Z,596,3156,57.16,0,0')
  assert.equal(line(5, 2), 'a-0,2024-01-01T00:00:31Z,596,3156,0.05,1,2')
  assert.equal(line(120_030, 3), 'a-0,2024-01-01T00:00:31Z,596,3156,1200.30,1,3')
  assert.deepEqual(JSON.parse(toTransactionJsonLine({ ...made, amountMinor: 5_716 })), {
    transaction_id: 'a-0',
    event_time: '2024-01-01T00:00:31.000Z',
    customer_id: '596',
    terminal_id: '3156',
    amount_minor: 5_716,
    currency: 'EUR',
  })
})

const wrong: GenerateOptions[] = [
  { seed: -1 },
  { seed: 0.5 },
  { customers: 0 },
  { customers: 1e9 },
  { terminals: Number.NaN },
  { days: 0 },
  { days: 36_525, startDate: '2050-01-01' },
  { startDate: '2024-02-30' },
  { startDate: '1969-12-31' },
  { startDate: 'today' },
  { radius: 0 },
  { idPrefix: '"' },
  { terminals: 3, compromisedTerminalsPerDay: 4 },
]
for (const options of wrong) {
  test(`refuses ${JSON.stringify(options)} at the call`, () => {
    assert.throws(
      () => generate(options),
      error => isWeirError(error, 'USAGE'),
    )
  })
}

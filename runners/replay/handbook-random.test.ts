/**
 * Random small files through a replay, compared with the naive oracle: disorder, equal times, window boundaries, repeated
 * ids and conflicts, labels, hostile times, huge amounts, blank and malformed lines between them, in CSV and NDJSON.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { type Arrival, type Expected, naiveOracle } from '../../testing/oracle/index.js'
import { assertDecision, type HandbookTransaction, labelArrival, transactionArrival } from './testing/expectations.js'
import { replayContent } from './testing/run.js'

type Line = { readonly kind: 'blank' | 'malformed'; readonly text: string } | (HandbookTransaction & { kind: 'good' })

const day = 86_400_000
const start = Date.UTC(2024, 1, 20)

/** Days and seconds that fall on, just before and just behind the ends of windows. */
const time = fc.oneof(
  {
    weight: 20,
    arbitrary: fc
      .tuple(fc.constantFrom(0, 1, 6, 7, 8, 14, 30, 31, 37, 67, 68, 100), fc.constantFrom(-601, -600, -1, 0, 0, 0, 1))
      .map(([days, seconds]) => start + days * day + seconds * 1_000),
  },
  { weight: 10, arbitrary: fc.integer({ min: 0, max: 40 * 86_400 }).map(seconds => start + seconds * 1_000) },
  { weight: 1, arbitrary: fc.constantFrom(0, Date.UTC(2099, 11, 31, 23, 59, 59), Date.UTC(1999, 11, 31)) },
)

const good: fc.Arbitrary<Line> = fc.record({
  kind: fc.constant('good' as const),
  transaction_id: fc.constantFrom(...'abcdefghijklmnop', '__proto__', '9007199254740993'),
  event_time: time,
  customer_id: fc.constantFrom('c1', 'c2', '__proto__', 'ü "quoted", with a comma'),
  terminal_id: fc.constantFrom('t1', 't2', 'constructor'),
  amount_minor: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.constantFrom(0, 1, 10 ** 15)),
  fraud: fc.constantFrom(true, false, null),
})

const line: fc.Arbitrary<Line> = fc.oneof(
  { weight: 16, arbitrary: good },
  { weight: 1, arbitrary: fc.constantFrom('', ' ', '\t').map(text => ({ kind: 'blank', text }) as const) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('x', 'a,2024-02-30T00:00:00Z,c1,t1,1.00,0', '{"transaction_id":"a"}')
      .map(text => ({ kind: 'malformed', text }) as const),
  },
)

const files = fc.record({
  lines: fc.array(line, { minLength: 1, maxLength: 60, size: 'max' }),
  format: fc.constantFrom('csv', 'ndjson'),
  partitions: fc.constantFrom(1, 4),
  epochRecords: fc.constantFrom(1, 5, 4_096),
})

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'

function render(lines: readonly Line[], format: string): string {
  const texts = lines.map(entry => (entry.kind === 'good' ? renderGood(entry, format) : entry.text))
  return `${[...(format === 'csv' ? [header] : []), ...texts].join('\n')}\n`
}

function renderGood(t: HandbookTransaction, format: string): string {
  const at = new Date(t.event_time).toISOString().slice(0, 19)
  const cents = String(t.amount_minor).padStart(3, '0')
  const tx_amount = `${cents.slice(0, -2)}.${cents.slice(-2)}`
  const tx_fraud = t.fraud === null ? '' : t.fraud ? '1' : '0'
  const { transaction_id, customer_id, terminal_id } = t
  if (format === 'ndjson') {
    return JSON.stringify({ transaction_id, tx_datetime: `${at}Z`, customer_id, terminal_id, tx_amount, tx_fraud })
  }
  const quoted = `"${customer_id.replaceAll('"', '""')}"`
  return [transaction_id, at, quoted, terminal_id, tx_amount, tx_fraud].join(',')
}

/** A repeated id carries no label, so the oracle is asked for the repeats first. */
function expectedOf(transactions: readonly HandbookTransaction[]): Expected[] {
  const bare = naiveOracle(transactions.map(t => transactionArrival(t, 'EUR')))
  const arrivals = transactions.flatMap((t, i): Arrival[] => {
    const arrival = transactionArrival(t, 'EUR')
    return bare[i]!.outcome === 'decision' && t.fraud !== null ? [arrival, labelArrival(t, t.fraud)] : [arrival]
  })
  return naiveOracle(arrivals)
}

/** Enough for every combination of format, partitions and epochs; a run takes about 50 ms. */
const runs = 120

it(`${runs} random files are decided as the naive oracle decides them`, async () => {
  await fc.assert(
    fc.asyncProperty(files, async ({ lines, format, partitions, epochRecords }) => {
      const content = render(lines, format)
      const result = await replayContent(content, { name: `in.${format}`, partitions, epochRecords })
      const transactions = lines.flatMap((entry, at) => (entry.kind === 'good' ? [{ t: entry, at }] : []))
      const expected = expectedOf(transactions.map(({ t }) => t))
      let decided = 0
      transactions.forEach(({ t, at }, i) => {
        const wanted = expected[i]!
        if (wanted.outcome === 'duplicate') return
        const decision = result.decisions[decided++]
        assert.ok(decision !== undefined, `data line ${at} has no decision`)
        assertDecision(decision, t, wanted, at)
      })
      const count = (kind: Line['kind']): number => lines.filter(entry => entry.kind === kind).length
      assert.deepEqual(result.summary, {
        lines: lines.length,
        blank_lines: count('blank'),
        decisions: decided,
        duplicates: transactions.length - decided,
        conflicts: expected.filter(wanted => wanted.outcome === 'duplicate' && wanted.conflict).length,
        dead_letters: count('malformed'),
      })
      const headerLines = format === 'csv' ? 1 : 0
      assert.deepEqual(
        result.deadLetters.map(letter => letter.line),
        lines.flatMap((entry, at) => (entry.kind === 'malformed' ? [at + headerLines + 1] : [])),
      )
    }),
    { seed: 20_240_101, numRuns: runs },
  )
})

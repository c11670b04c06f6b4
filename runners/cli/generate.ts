import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import {
  type GeneratedTransaction,
  generate,
  handbookCsvHeader,
  toHandbookCsvLine,
  toTransactionJsonLine,
} from '../../fraud/index.js'
import { messageOf, WeirError } from '../../kernel/index.js'
import { parseFlags, required, text, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir generate --output FILE [flags]

Writes simulated card transactions with three kinds of labelled fraud: large amounts, compromised terminals (28 days),
compromised cards (14 days). The same seed and flags give the same bytes.

  --output FILE       .csv or .csv.gz: Handbook columns; .ndjson or .ndjson.gz: Weir's transactions, without labels
  --seed N            default 1
  --customers N       default 5000
  --terminals N       default twice the customers
  --days N            default 60
  --start DATE        first day, YYYY-MM-DD, default 2024-01-01
  --json              the summary as JSON

example:
  npx --no-install weir generate --seed 7 --days 10 --output transactions.csv.gz
`

export const generateVerb: Verb = {
  name: 'generate',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      output: { type: 'string' },
      seed: { type: 'string' },
      customers: { type: 'string' },
      terminals: { type: 'string' },
      days: { type: 'string' },
      start: { type: 'string' },
      json: { type: 'boolean' },
    })
    const output = required(values, 'output')
    const match = /\.(csv|ndjson)(\.gz)?$/.exec(output)
    if (match === null)
      throw new WeirError('USAGE', `--output '${output}' ends in none of .csv, .csv.gz, .ndjson, .ndjson.gz`)
    const bounds = { min: 1, max: Number.MAX_SAFE_INTEGER }
    const customers = wholeNumber(values, 'customers', { ...bounds, fallback: 5_000 })
    const start = text(values, 'start')
    const counts = { transactions: 0, frauds: 0 }
    const transactions = generate({
      seed: wholeNumber(values, 'seed', { min: 0, max: Number.MAX_SAFE_INTEGER, fallback: 1 }),
      customers,
      ...(text(values, 'terminals') !== undefined && {
        terminals: wholeNumber(values, 'terminals', { ...bounds, fallback: 1 }),
      }),
      days: wholeNumber(values, 'days', { ...bounds, fallback: 60 }),
      ...(start !== undefined && { startDate: start }),
    })
    const lines = Readable.from(match[1] === 'csv' ? csv(transactions, counts) : ndjson(transactions, counts))
    const file = createWriteStream(output)
    try {
      if (match[2] === undefined) await pipeline(lines, file, { signal: io.signal })
      else await pipeline(lines, createGzip(), file, { signal: io.signal })
    } catch (error) {
      throw new WeirError('OUTPUT_UNWRITABLE', `cannot write ${output}: ${messageOf(error)}`, { cause: error })
    }
    io.out(
      values.json === true
        ? `${JSON.stringify(counts)}\n`
        : `${counts.transactions} transactions, ${counts.frauds} of them fraud\n`,
    )
    return 0
  },
}

/** Lines in chunks: one stream event a line would cost more than the line. */
const chunkLines = 1_024

function* chunks(
  transactions: Iterable<GeneratedTransaction>,
  counts: { transactions: number; frauds: number },
  toLine: (t: GeneratedTransaction) => string,
): Generator<string> {
  let lines: string[] = []
  for (const t of transactions) {
    counts.transactions++
    if (t.fraud) counts.frauds++
    lines.push(toLine(t))
    if (lines.length === chunkLines) {
      yield `${lines.join('\n')}\n`
      lines = []
    }
  }
  if (lines.length > 0) yield `${lines.join('\n')}\n`
}

function* csv(
  transactions: Iterable<GeneratedTransaction>,
  counts: { transactions: number; frauds: number },
): Generator<string> {
  yield `${handbookCsvHeader}\n`
  yield* chunks(transactions, counts, toHandbookCsvLine)
}

function ndjson(
  transactions: Iterable<GeneratedTransaction>,
  counts: { transactions: number; frauds: number },
): Generator<string> {
  return chunks(transactions, counts, toTransactionJsonLine)
}

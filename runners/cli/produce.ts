import { type ProduceSummary, produce } from '../client/index.js'
import { textOf } from '../config/index.js'
import { createProgress } from '../replay/index.js'
import { clientFlags, clientHelp, clientOf, configOf } from './settings.js'
import { oneOf, parseFlags, required, text, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir produce --input FILE [flags]

Sends a file of transactions to a running Weir, each customer's in the order of the file, and counts what became of them.
Labels of a Handbook file (tx_fraud) are sent too, available seven days after their transaction. Sending a file again is
safe: a transaction that Weir knows makes no second decision.

  --input FILE        csv, csv.gz, ndjson or ndjson.gz
  --format FORMAT     handbook: the columns of the Fraud-Detection-Handbook; transactions (default): Weir's own records
  --currency CODE     of Handbook amounts; default EUR
  --concurrency N     requests under way at once, 1 to 1024, default 64
  --rate N            transactions a second, at most; default as fast as Weir takes them
${clientHelp}
  --json              the summary as JSON

Lines that are not sent, refused or given up are named on stderr. Exit code 1 when a transaction or a label failed.

example:
  npx --no-install weir generate --days 2 --customers 200 --output transactions.csv
  npx --no-install weir produce --format handbook --input transactions.csv
`

export const produceVerb: Verb = {
  name: 'produce',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      ...clientFlags,
      input: { type: 'string' },
      format: { type: 'string' },
      currency: { type: 'string' },
      concurrency: { type: 'string' },
      rate: { type: 'string' },
      json: { type: 'boolean' },
    })
    const concurrency = wholeNumber(values, 'concurrency', { min: 1, max: 1_024, fallback: 64 })
    const rate = wholeNumber(values, 'rate', { min: 1, max: 1_000_000, fallback: 1 })
    const job = {
      input: required(values, 'input'),
      format: oneOf(values, 'format', ['handbook', 'transactions'] as const, 'transactions'),
      currency: text(values, 'currency') ?? 'EUR',
      cardKey: textOf(configOf(values), 'card_key'),
      concurrency,
      perSecond: values.rate === undefined ? undefined : rate,
    }
    const client = clientOf(values, concurrency)
    const progress = createProgress(io.err, io.interactive, 'produce')
    try {
      const { summary, stopped } = await produce(job, {
        client,
        signal: io.signal,
        report: line => {
          progress.finish()
          io.err(`${line}\n`)
        },
        progress: (done, total, records) => progress.update(done, total, records),
        nowMs: () => performance.now(),
      }).finally(() => progress.finish())
      io.out(values.json === true ? `${JSON.stringify(summary)}\n` : inWords(summary))
      if (stopped !== undefined) throw stopped
      // each of them was named on stderr
      return summary.failed + summary.labels_failed === 0 ? 0 : 1
    } finally {
      client.close()
    }
  },
}

function inWords(summary: ProduceSummary): string {
  const lines = Object.entries(summary).map(([name, count]) => `${name.replace('_', ' ').padEnd(15)}${count}`)
  return `${lines.join('\n')}\n`
}

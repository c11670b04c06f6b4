import { type ProduceIo, type ProduceJob, produce } from '../client/index.js'
import { textOf } from '../config/index.js'
import { createProgress } from '../replay/index.js'
import { clientHelp, clientOf, configOf, eitherFlags, kafkaHelp, speaksKafka } from './settings.js'
import { oneOf, parseFlags, required, text, type Values, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir produce --input FILE [flags]

Sends a file of transactions, each customer's in the order of the file, and counts what became of them: to Kafka where brokers
are configured, else to a running Weir by HTTP. Labels of a Handbook file (tx_fraud) are sent too, available seven days after
their transaction. Sending a file again is safe: a transaction that Weir knows makes no second decision.

  --input FILE        csv, csv.gz, ndjson or ndjson.gz
  --format FORMAT     handbook: the columns of the Fraud-Detection-Handbook; transactions (default): Weir's own records
  --currency CODE     of Handbook amounts; default EUR
  --rate N            transactions a second, at most; default as fast as Weir takes them
  --json              the summary as JSON
by HTTP:
  --concurrency N     requests under way at once, 1 to 1024, default 64
${clientHelp}
to Kafka, in Avro where a schema registry is configured, card numbers as tokens (WEIR_CARD_KEY, that of the workers):
${kafkaHelp}

Lines that are not sent, refused or given up are named on stderr. Exit code 1 when a transaction or a label failed.

example:
  npx --no-install weir generate --days 2 --customers 200 --output transactions.csv
  npx --no-install weir produce --format handbook --input transactions.csv
  npx --no-install weir produce --format handbook --input transactions.csv --brokers localhost:9092
`

export const produceVerb: Verb = {
  name: 'produce',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      ...eitherFlags,
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
    const progress = createProgress(io.err, io.interactive, 'produce')
    const jobIo = {
      signal: io.signal,
      report: (line: string) => {
        progress.finish()
        io.err(`${line}\n`)
      },
      progress: (done: number, total: number, records: number) => progress.update(done, total, records),
      nowMs: () => performance.now(),
    }
    const send = speaksKafka(values) ? sendToKafka : sendByHttp
    const { summary, stopped, failed } = await send(values, job, jobIo).finally(() => progress.finish())
    io.out(values.json === true ? `${JSON.stringify(summary)}\n` : inWords(summary))
    if (stopped !== undefined) throw stopped
    // each of them was named on stderr
    return failed === 0 ? 0 : 1
  },
}

interface Outcome {
  readonly summary: Readonly<Record<string, number>>
  readonly stopped: unknown
  readonly failed: number
}

type JobIo = Omit<ProduceIo, 'client'>

async function sendByHttp(values: Values, job: ProduceJob, io: JobIo): Promise<Outcome> {
  const client = clientOf(values, job.concurrency)
  try {
    const { summary, stopped } = await produce(job, { ...io, client })
    return { summary, stopped, failed: summary.failed + summary.labels_failed }
  } finally {
    client.close()
  }
}

async function sendToKafka(values: Values, job: ProduceJob, io: JobIo): Promise<Outcome> {
  const { openKafka, produceToKafka } = await import('../kafka-client/index.js')
  const client = await openKafka(configOf(values))
  try {
    const { summary, stopped } = await produceToKafka(job, client, io)
    return { summary: { ...summary }, stopped, failed: 0 }
  } finally {
    await client.log.close()
  }
}

function inWords(summary: Outcome['summary']): string {
  const lines = Object.entries(summary).map(([name, count]) => `${name.replace('_', ' ').padEnd(15)}${count}`)
  return `${lines.join('\n')}\n`
}

import { systemClock, WeirError } from '../../kernel/index.js'
import { parseBytes, shareMemory } from '../memory/index.js'
import { createProgress, type ReplayArguments, type ReplaySummary, replay } from '../replay/index.js'
import { oneOf, parseFlags, required, text, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir replay --input FILE --output FILE [flags]

Runs the fraud topology over a file of transactions and writes one decision for each, in input order.

  --input FILE        csv, csv.gz, ndjson or ndjson.gz
  --format FORMAT     handbook: the columns of the Fraud-Detection-Handbook; transactions (default): Weir's own records
  --output FILE       decisions as NDJSON; lines that cannot be decided go to FILE.dead-letter.ndjson
  --currency CODE     of Handbook amounts; default EUR
  --partitions N      placement of keys, 1 to 1024, default 1; changes no value and no order
  --model FILE|none   a model.onnx with its model.json beside it; default the bundled one
  --rules FILE        a rule set; default the bundled one
  --features FILE     a feature set; default the bundled one
  --memory-budget N   what its memory stays below, such as 512m or 2g; default 768m
  --epoch-records N   records in an epoch, at most (1 to 16,384); changes no byte, only how much an interrupted replay repeats
  --fresh             start over instead of resuming an unfinished replay
  --json              the summary as JSON
  --profile           where the time went, as a line of JSON on stderr

An interrupted replay resumes when the same command is given again.

example:
  npx --no-install weir generate --days 10 --output transactions.csv.gz
  npx --no-install weir replay --format handbook --input transactions.csv.gz --output decisions.ndjson
`

const memoryBudgetDefault = '768m'

export const replayVerb: Verb = {
  name: 'replay',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      input: { type: 'string' },
      output: { type: 'string' },
      format: { type: 'string' },
      currency: { type: 'string' },
      partitions: { type: 'string' },
      model: { type: 'string' },
      rules: { type: 'string' },
      features: { type: 'string' },
      'memory-budget': { type: 'string' },
      'epoch-records': { type: 'string' },
      fresh: { type: 'boolean' },
      json: { type: 'boolean' },
      profile: { type: 'boolean' },
    })
    const progress = createProgress(io.err, io.interactive)
    const job: ReplayArguments = {
      input: required(values, 'input'),
      output: required(values, 'output'),
      format: oneOf(values, 'format', ['handbook', 'transactions'] as const, 'transactions'),
      currency: text(values, 'currency') ?? 'EUR',
      partitions: wholeNumber(values, 'partitions', { min: 1, max: 1_024, fallback: 1 }),
      model: text(values, 'model'),
      rules: text(values, 'rules'),
      features: text(values, 'features'),
      memory: shareMemory(budgetOf(text(values, 'memory-budget') ?? memoryBudgetDefault), { slots: 1, threads: 0 }),
      epochRecords:
        values['epoch-records'] === undefined
          ? undefined
          : // a decision encoder holds no more
            wholeNumber(values, 'epoch-records', { min: 1, max: 16_384, fallback: 1 }),
      fresh: values.fresh === true,
      // Without a key of the deployment's own, tokens are stable but guessable: docs/security.md.
      cardKey: process.env.WEIR_CARD_KEY ?? 'weir-development-card-key',
    }
    const outcome = await replay(job, {
      clock: systemClock,
      progress,
      signal: io.signal,
      warn: line => io.err(`${line}\n`),
    }).finally(() => progress.finish())
    if (values.profile === true) io.err(`${JSON.stringify(profile(outcome.phasesMs))}\n`)
    if (outcome.interrupted) {
      throw new WeirError('INTERRUPTED', `stopped after ${outcome.summary.lines} lines`)
    }
    io.out(values.json === true ? `${JSON.stringify(outcome.summary)}\n` : inWords(outcome.summary))
    return 0
  },
}

/** @throws WeirError USAGE */
function budgetOf(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === undefined) throw new WeirError('USAGE', `--memory-budget is '${text}', not a size such as 512m or 2g`)
  return bytes
}

/** Of this process since it began; the phases cover the epochs. */
function profile(phasesMs: ReadonlyMap<string, number>): Record<string, unknown> {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  return {
    phases_ms: Object.fromEntries(phasesMs),
    cpu_ms: (userCPUTime + systemCPUTime) / 1_000,
    max_rss_mb: maxRSS / 1_024,
  }
}

function inWords(summary: ReplaySummary): string {
  const lines = Object.entries(summary).map(([name, count]) => `${name.replace('_', ' ').padEnd(14)}${count}`)
  return `${lines.join('\n')}\n`
}

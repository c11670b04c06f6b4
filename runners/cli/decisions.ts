import { WeirError } from '../../kernel/index.js'
import { clientHelp, clientOf, configOf, eitherFlags, kafkaHelp, speaksKafka } from './settings.js'
import { parseFlags, type Values, type Verb, type VerbIo, wholeNumber } from './verb.js'

const help = `usage: weir decisions [--from-beginning] [--count N] [flags]

Follows the decisions, one line of JSON each, until Ctrl-C: those on Kafka where brokers are configured, else those of a running
Weir by HTTP. From Kafka only what is committed, each customer's in their order.

  --from-beginning    with all that the log still has; without it, what is decided from now on
  --count N           ends after N decisions
by HTTP:
${clientHelp}
from Kafka:
${kafkaHelp}

example:
  npx --no-install weir decisions --from-beginning --count 10
  npx --no-install weir decisions --from-beginning --brokers localhost:9092
`

const newline = Buffer.from('\n')

interface Follow {
  readonly from: 'beginning' | 'end'
  /** undefined: for ever */
  readonly count: number | undefined
}

export const decisionsVerb: Verb = {
  name: 'decisions',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      ...eitherFlags,
      'from-beginning': { type: 'boolean' },
      count: { type: 'string' },
      // it is all that this verb prints
      json: { type: 'boolean' },
    })
    const counted = values.count !== undefined
    const limit = wholeNumber(values, 'count', { min: 1, max: Number.MAX_SAFE_INTEGER, fallback: 1 })
    const count = counted ? limit : undefined
    const from = values['from-beginning'] === true ? 'beginning' : 'end'
    const lines = speaksKafka(values) ? fromKafka : overHttp
    let seen = 0
    for await (const line of lines(values, { from, count }, io)) {
      await io.write(Buffer.concat([line, newline]))
      if (++seen === count) return 0
    }
    if (io.signal.aborted) return 0
    throw new WeirError('UNREACHABLE', `the server ended the stream after ${seen} decisions`)
  },
}

async function* overHttp(values: Values, follow: Follow, { signal }: VerbIo): AsyncGenerator<Buffer> {
  const client = clientOf(values)
  try {
    yield* client.decisions({ ...follow, signal })
  } finally {
    client.close()
  }
}

async function* fromKafka(values: Values, { from }: Follow, { signal, err }: VerbIo): AsyncGenerator<Buffer> {
  const { followDecisions, openKafka } = await import('../kafka-client/index.js')
  const client = await openKafka(configOf(values))
  try {
    yield* followDecisions(client, { from, signal, report: line => err(`${line}\n`) })
  } finally {
    await client.log.close()
  }
}

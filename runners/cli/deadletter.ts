import { WeirError } from '../../kernel/index.js'
import { maskCards } from '../../schemas/avro/index.js'
import { type DeadLetter, deadLetters, openKafka, placeOf, replayDeadLetters } from '../kafka-client/index.js'
import { configOf, kafkaClientFlags, kafkaHelp } from './settings.js'
import { parseArguments, text, type Values, type Verb, type VerbIo, wholeNumber } from './verb.js'

const help = `usage: weir deadletter list [--code CODE] [--at P/OFFSET] [--count N] [--json]
       weir deadletter replay --at P/OFFSET | --code CODE | --all [--dry-run] [--again] [--json]

Lists the records on Kafka that became no decision, with what was wrong and where they came from; or sends some of them again to
the topic that they came from, key and value byte for byte, with the header weir.replayed.from, once their cause is mended.

A dead letter is not sent again twice: the copy and a mark of it in weir.<app>.replays are one transaction, and replays exclude
each other. What was sent again before is counted and left out, unless --again asks for it.

  --at P/OFFSET,...   these, by their place in transactions.dead-letter, as list shows it
  --code CODE         those with this error
  --all               every one
  --count N           list: ends after N
  --dry-run           replay: says what it would send
  --again             replay: also what was sent again before
  --json              list: one line of JSON each; replay: the summary. Card numbers are masked
  --app NAME          name of the deployment (WEIR_APP)
${kafkaHelp}

example:
  npx --no-install weir deadletter list --brokers localhost:9092
  npx --no-install weir deadletter replay --code UNKNOWN_SCHEMA --dry-run --brokers localhost:9092
`

/** Of a value, as text. */
const shownBytesMax = 4_096

export const deadletterVerb: Verb = {
  name: 'deadletter',
  help,
  run: async (args, io) => {
    const { values, operands } = parseArguments(
      args,
      {
        ...kafkaClientFlags,
        at: { type: 'string' },
        code: { type: 'string' },
        all: { type: 'boolean' },
        count: { type: 'string' },
        'dry-run': { type: 'boolean' },
        again: { type: 'boolean' },
        json: { type: 'boolean' },
      },
      ['list or replay'],
    )
    switch (operands[0]) {
      case 'list':
        return list(values, io)
      case 'replay':
        return replay(values, io)
      default:
        throw new WeirError('USAGE', `'${operands[0]}' is neither list nor replay`)
    }
  },
}

async function list(values: Values, io: VerbIo): Promise<number> {
  const selects = selection(values)
  const count = wholeNumber(values, 'count', {
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    fallback: Number.MAX_SAFE_INTEGER,
  })
  const client = await openKafka(configOf(values))
  try {
    let seen = 0
    for await (const letter of deadLetters(client, io.signal)) {
      if (!selects(letter)) continue
      await io.write(values.json === true ? `${JSON.stringify(inJson(letter))}\n` : `${inWords(letter)}\n`)
      if (++seen === count) break
    }
    return 0
  } finally {
    await client.log.close()
  }
}

async function replay(values: Values, io: VerbIo): Promise<number> {
  const ways = [values.at, values.code, values.all].filter(way => way !== undefined)
  if (ways.length === 0) throw new WeirError('USAGE', 'say which: --at, --code or --all')
  if (values.all === true && ways.length > 1) throw new WeirError('USAGE', '--all excludes --at and --code')
  const options = { again: values.again === true, dryRun: values['dry-run'] === true, signal: io.signal }
  const client = await openKafka(configOf(values))
  try {
    const summary = await replayDeadLetters(client, selection(values), options)
    const { selected, sent, already, not_ours, left_out } = summary
    const verb = options.dryRun ? 'would be sent again' : 'sent again'
    const others = `${already} had been before, ${not_ours} from no topic of ours, ${left_out} too long to be kept`
    const words = `${selected} selected: ${sent} ${verb}, ${others}`
    io.out(values.json === true ? `${JSON.stringify(summary)}\n` : `${words}\n`)
    return 0
  } finally {
    await client.log.close()
  }
}

/** @throws WeirError USAGE */
function selection(values: Values): (letter: DeadLetter) => boolean {
  const code = text(values, 'code')
  const places = text(values, 'at')?.split(',')
  const wrong = places?.find(place => !/^\d{1,9}\/\d{1,18}$/.test(place))
  if (wrong !== undefined) throw new WeirError('USAGE', `--at has '${wrong}', not PARTITION/OFFSET`)
  const wanted = places && new Set(places)
  return letter =>
    (code === undefined || letter.code === code) && (wanted?.has(`${letter.partition}/${letter.offset}`) ?? true)
}

function inWords(letter: DeadLetter): string {
  const { partition, offset, code, message, source, key, replayed } = letter
  const from = `${source.topic}/${source.partition}/${source.offset}`
  const again = replayed ? '  (sent again)' : ''
  return `${partition}/${offset}  ${oneLine(`${code}  ${from}  ${keyText(key) ?? '(no key)'}  ${message}`)}${again}`
}

function inJson(letter: DeadLetter): Record<string, unknown> {
  const { partition, offset, atMs, code, message, source, key, value, replayed } = letter
  return {
    at: `${partition}/${offset}`,
    place: placeOf(letter),
    buried_at: new Date(atMs).toISOString(),
    code,
    message: maskCards(message),
    source: { ...source, offset: Number(source.offset) },
    key: keyText(key),
    value: valueText(value),
    value_bytes: value?.length ?? null,
    replayed,
  }
}

const keyText = (key: Buffer | null): string | null => (key === null ? null : oneLine(key.toString('utf8')))

/** null where it is null, or not text: Avro may hold a card number that nothing here would mask. */
function valueText(value: Buffer | null): string | null {
  if (value === null || value[0] === 0) return null
  return maskCards(value.subarray(0, shownBytesMax).toString('utf8'))
}

/** For a terminal: what others wrote must not move its cursor. */
const oneLine = (text: string): string => maskCards(text).replaceAll(/\p{Cc}+/gu, ' ')

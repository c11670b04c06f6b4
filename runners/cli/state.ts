import { WeirError } from '../../kernel/index.js'
import type { SlotInspection } from '../slot/index.js'
import { clientFlags, clientHelp, clientOf } from './settings.js'
import { printable } from './stdout.js'
import { isStored, storedState, storedStateFlags } from './stored-state.js'
import { parseArguments, required, text, type Verb } from './verb.js'

const help = `usage: weir state get --step STEP --key KEY [--json] [--show-pii] [--url URL]
       weir state get --step STEP --key KEY --savepoint NAME|--checkpoint EPOCH --store DIR [flags]

Shows what a step keeps of a key as of the last committed epoch: of a velocity step its windows, of dedupe how many ids it
remembers, of other steps their values; and the key's timers. Looking leaves no trace. A key without state is no error.
Of a checkpoint or savepoint no Weir need run; only the segments of the key's group are read.

  --step STEP         such as customer; a wrong one is answered with those there are
  --key KEY           such as a customer_id
  --show-pii          keys, ids and texts whole; without it their first and last character and their length
${clientHelp}
                      On Kafka: of a worker with --port; one without the key's slot says SLOT_ELSEWHERE
  --json              the answer as JSON
  --savepoint NAME    as it was in this savepoint
  --checkpoint EPOCH  as it was in this checkpoint of the key's slot; newest for the newest
  --store DIR         of these: a directory, or s3://BUCKET/PREFIX; default that of the configuration
  --key-file FILE     keys, where checkpoints are encrypted
  --app, --features   of the deployment that made them, as for weir worker

example:
  npx --no-install weir state get --step customer --key customer-7
`

export const stateVerb: Verb = {
  name: 'state',
  help,
  run: async (args, io) => {
    const flags = { step: 'string', key: 'string', json: 'boolean', 'show-pii': 'boolean' } as const
    const own = Object.fromEntries(Object.entries(flags).map(([name, type]) => [name, { type }]))
    const { values, operands } = parseArguments(args, { ...clientFlags, ...storedStateFlags, ...own }, ['get'])
    if (operands[0] !== 'get') throw new WeirError('USAGE', `'${operands[0]}' is not get`)
    const step = required(values, 'step')
    const key = required(values, 'key')
    const print = (shown: SlotInspection, kept: string): number => {
      io.out(`${values.json === true ? JSON.stringify(shown) : printable(inWords(shown, kept))}\n`)
      return 0
    }
    const showPii = values['show-pii'] === true
    if (isStored(values)) {
      const { shown, where } = await storedState(values, { step, key }, showPii)
      return print(shown, `in the ${where}`)
    }
    if (text(values, 'store') !== undefined)
      throw new WeirError('USAGE', '--store goes with --savepoint or --checkpoint')
    const client = clientOf(values)
    try {
      const shown = JSON.parse((await client.state(step, key, showPii)).toString('utf8')) as SlotInspection
      const written = shown.dirty ? 'not written back yet' : 'written back'
      return print(shown, `${shown.resident ? 'in memory' : 'on disk'}, ${written}`)
    } finally {
      client.close()
    }
  },
}

/** @param kept where its state is */
function inWords(shown: SlotInspection, kept: string): string {
  const { step, key, slot, group, epoch, found, states, timers } = shown
  const where = `slot ${slot}, key group ${group}, epoch ${epoch}`
  const head = `step ${step}, key ${key}: ${found ? '' : 'no state, '}${where}`
  if (!found) return head
  const lines: [string, string][] = [['kept', kept]]
  for (const { name, kind, codec, present, value, truncated, expires_at } of states) {
    const until = expires_at === undefined ? '' : `, expires ${expires_at}`
    lines.push([name, `${kind} ${codec}${present ? until : ', absent'}${truncated ? ', truncated' : ''}`])
    if (present) addFields(lines, '  ', value)
  }
  lines.push(['timers', timers.length === 0 ? 'none' : timers.join(', ')])
  const width = Math.max(...lines.map(([field]) => field.length))
  return [head, ...lines.map(([field, value]) => `${field.padEnd(width)}  ${value}`.trimEnd())].join('\n')
}

/** A line for each part of a value; what holds only plain parts is one line. */
function addFields(lines: [string, string][], indent: string, value: unknown): void {
  if (!isNested(value)) {
    lines.push([`${indent}value`, plain(value)])
    return
  }
  for (const [name, part] of Object.entries(value)) {
    if (isNested(part) && Object.values(part).some(isNested)) {
      lines.push([`${indent}${name}`, ''])
      addFields(lines, `${indent}  `, part)
    } else lines.push([`${indent}${name}`, plain(part)])
  }
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null

function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(', ')
  if (!isNested(value)) return String(value ?? '-')
  return Object.entries(value)
    .map(([name, part]) => `${name} ${plain(part)}`)
    .join(', ')
}

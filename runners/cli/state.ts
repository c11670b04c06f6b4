import { WeirError } from '../../kernel/index.js'
import type { SlotInspection } from '../slot/index.js'
import { clientFlags, clientHelp, clientOf } from './settings.js'
import { printable } from './stdout.js'
import { parseArguments, required, type Verb } from './verb.js'

const help = `usage: weir state get --step STEP --key KEY [--json] [--show-pii] [--url URL]

Shows what a step keeps of a key as of the last committed epoch: of a velocity step its windows, of dedupe how many ids it
remembers, of other steps their values; and the key's timers. Looking leaves no trace. A key without state is no error.

  --step STEP         such as customer; a wrong one is answered with those there are
  --key KEY           such as a customer_id
  --show-pii          keys, ids and texts whole; without it their first and last character and their length
${clientHelp}
                      On Kafka: of a worker with --port; one without the key's slot says SLOT_ELSEWHERE
  --json              the answer as JSON

example:
  npx --no-install weir state get --step customer --key customer-7
`

export const stateVerb: Verb = {
  name: 'state',
  help,
  run: async (args, io) => {
    const flags = { step: 'string', key: 'string', json: 'boolean', 'show-pii': 'boolean' } as const
    const own = Object.fromEntries(Object.entries(flags).map(([name, type]) => [name, { type }]))
    const { values, operands } = parseArguments(args, { ...clientFlags, ...own }, ['get'])
    if (operands[0] !== 'get') throw new WeirError('USAGE', `'${operands[0]}' is not get`)
    const step = required(values, 'step')
    const key = required(values, 'key')
    const client = clientOf(values)
    try {
      const answer = (await client.state(step, key, values['show-pii'] === true)).toString('utf8').trimEnd()
      io.out(`${values.json === true ? answer : printable(inWords(JSON.parse(answer) as SlotInspection))}\n`)
      return 0
    } finally {
      client.close()
    }
  },
}

function inWords(shown: SlotInspection): string {
  const { step, key, slot, group, epoch, found, resident, dirty, states, timers } = shown
  const where = `slot ${slot}, key group ${group}, epoch ${epoch}`
  const head = `step ${step}, key ${key}: ${found ? '' : 'no state, '}${where}`
  if (!found) return head
  const written = dirty ? 'not written back yet' : 'written back'
  const lines: [string, string][] = [['kept', `${resident ? 'in memory' : 'on disk'}, ${written}`]]
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

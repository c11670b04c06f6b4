import { WeirError } from '../../kernel/index.js'
import { clientFlags, clientHelp, clientOf } from './settings.js'
import { parseFlags, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir decisions [--from-beginning] [--count N] [--url URL]

Follows the decisions of a running Weir: one line of JSON each, until Ctrl-C.

  --from-beginning    with all that the log still has; without it, what is decided from now on
  --count N           ends after N decisions
${clientHelp}

example:
  npx --no-install weir decisions --from-beginning --count 10
`

const newline = Buffer.from('\n')

export const decisionsVerb: Verb = {
  name: 'decisions',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      ...clientFlags,
      'from-beginning': { type: 'boolean' },
      count: { type: 'string' },
      // it is all that this verb prints
      json: { type: 'boolean' },
    })
    const counted = values.count !== undefined
    const count = wholeNumber(values, 'count', { min: 1, max: Number.MAX_SAFE_INTEGER, fallback: 1 })
    const client = clientOf(values)
    try {
      const from = values['from-beginning'] === true ? 'beginning' : 'end'
      let seen = 0
      for await (const line of client.decisions({ from, count: counted ? count : undefined, signal: io.signal })) {
        await io.write(Buffer.concat([line, newline]))
        if (++seen === count && counted) break
      }
      if (io.signal.aborted || (counted && seen === count)) return 0
      throw new WeirError('UNREACHABLE', `the server ended the stream after ${seen} decisions`)
    } finally {
      client.close()
    }
  },
}

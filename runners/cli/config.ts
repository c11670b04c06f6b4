import { describeConfig, unknownVariables } from '../config/index.js'
import { configOf, settingFlags } from './settings.js'
import { parseFlags, type Verb } from './verb.js'

const help = `usage: weir config [--config FILE] [--json] [flags of weir up]

Shows every setting: its value, where that comes from (default, file, environment, flag), and what it is for. Secrets are
masked. What stands in weir.config.yaml is overridden by WEIR_* environment variables, and those by flags.
An unknown setting in the file is an error; an unknown WEIR_* variable is named on stderr.

  --config FILE       default weir.config.yaml where it exists
  --json              as JSON

example:
  WEIR_HTTP_PORT=9090 npx --no-install weir config
`

export const configVerb: Verb = {
  name: 'config',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, { ...settingFlags, json: { type: 'boolean' } })
    const rows = describeConfig(configOf(values))
    for (const name of unknownVariables(process.env)) io.err(`${name} in the environment is no setting of Weir\n`)
    if (values.json === true) {
      io.out(`${JSON.stringify(rows, null, 2)}\n`)
      return 0
    }
    const shown = rows.map(row => ({ ...row, value: row.value === null ? '-' : String(row.value) }))
    const widths = (['key', 'value', 'source'] as const).map(name => Math.max(...shown.map(row => row[name].length)))
    for (const { key, value, source, about } of shown) {
      const columns = [key, value, source].map((cell, i) => cell.padEnd(widths[i]!))
      io.out(`${columns.join('  ')}  ${about}\n`)
    }
    return 0
  },
}

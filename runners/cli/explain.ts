import { decisionFromJson, explainDecision } from '../../fraud/index.js'
import { clientFlags, clientHelp, clientOf } from './settings.js'
import { printable } from './stdout.js'
import { parseArguments, text, type Verb } from './verb.js'

const help = `usage: weir explain ID [--customer ID] [--url URL] [--json]

Says in words why a transaction was decided as it was: outcome, score, reasons, rules, features.

  --customer ID       whose transaction it is, where several customers have one of this id
${clientHelp}
  --json              the decision as JSON, with the words as \`explanation\`

An id that begins with a dash comes after --.

example:
  npx --no-install weir explain tx-1 --customer customer-7
`

export const explainVerb: Verb = {
  name: 'explain',
  help,
  run: async (args, io) => {
    const { values, operands } = parseArguments(
      args,
      { ...clientFlags, customer: { type: 'string' }, json: { type: 'boolean' } },
      ['ID'],
    )
    const client = clientOf(values)
    try {
      const customer = text(values, 'customer')
      if (values.json === true) {
        io.out(`${await client.decision(operands[0]!, customer, 'include_explanation=true')}\n`)
      } else {
        io.out(`${printable(explainDecision(decisionFromJson(await client.decision(operands[0]!, customer))))}\n`)
      }
      return 0
    } finally {
      client.close()
    }
  },
}

import { decisionFromJson, explainDecision } from '../../fraud/index.js'
import { clientFlags, clientHelp, clientOf } from './settings.js'
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

/** Control characters but line ends as \\u00XX: rules and ids must not speak to the terminal. */
function printable(words: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return words.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, character => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

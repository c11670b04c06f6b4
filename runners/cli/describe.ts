import { defaultTopology } from '../../fraud/index.js'
import { compile, describeGraph, describeMermaid, describeText, type SourceFormat } from '../../topology/index.js'
import { oneOf, parseFlags, type Verb } from './verb.js'

/** Formats are wired where bytes are: here only their names matter. */
const records = (name: string): SourceFormat<never> => ({ name, decode: () => null })

const help = `usage: weir describe [--format text|mermaid|json]

Shows the fraud topology: steps, what they read, the features that they compute.

  --format FORMAT     text (default), mermaid or json
  --json              the same as --format json

example:
  npx --no-install weir describe --format mermaid
`

export const describeVerb: Verb = {
  name: 'describe',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, { format: { type: 'string' }, json: { type: 'boolean' } })
    const format = values.json === true ? 'json' : oneOf(values, 'format', ['text', 'mermaid', 'json'] as const, 'text')
    const { graph } = defaultTopology({ transactions: records('transactions'), labels: records('labels') })
    const plan = compile(graph)
    if (format === 'json') {
      io.out(
        `${JSON.stringify({ app: graph.app, fingerprint: plan.fingerprint, steps: describeGraph(graph) }, null, 2)}\n`,
      )
    } else {
      io.out(format === 'mermaid' ? describeMermaid(graph) : describeText(graph))
    }
    return 0
  },
}

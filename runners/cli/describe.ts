import { defaultTopology } from '../../fraud/index.js'
import {
  commitsOf,
  compile,
  describeHops,
  describeMermaid,
  describeSteps,
  describeText,
  type SourceFormat,
} from '../../topology/index.js'
import { oneOf, parseFlags, type Verb, wholeNumber } from './verb.js'

/** Formats are wired where bytes are: here only their names matter. */
const records = (name: string): SourceFormat<never> => ({ name, decode: () => null })

const help = `usage: weir describe [--slots N] [--format text|mermaid|json]

Shows the fraud topology: steps, what they read, the features that they compute. With more than one slot also the
hops: what goes from slot to slot, and what that costs.

  --slots N           as planned for N slots; default 1
  --format FORMAT     text (default), mermaid or json
  --json              the same as --format json

example:
  npx --no-install weir describe --slots 3 --format mermaid
`

export const describeVerb: Verb = {
  name: 'describe',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      format: { type: 'string' },
      json: { type: 'boolean' },
      slots: { type: 'string' },
    })
    const format = values.json === true ? 'json' : oneOf(values, 'format', ['text', 'mermaid', 'json'] as const, 'text')
    const slots = wholeNumber(values, 'slots', { fallback: 1, min: 1, max: 1_024 })
    const { graph } = defaultTopology({ transactions: records('transactions'), labels: records('labels') })
    const plan = compile(graph, { slots, partitions: slots })
    if (format === 'json') {
      const hops = slots === 1 ? {} : { slots, commits: commitsOf(plan), hops: describeHops(plan) }
      const steps = describeSteps(plan.steps)
      io.out(`${JSON.stringify({ app: plan.app, fingerprint: plan.fingerprint, steps, ...hops }, null, 2)}\n`)
    } else {
      io.out(format === 'mermaid' ? describeMermaid(plan) : describeText(plan))
    }
    return 0
  },
}

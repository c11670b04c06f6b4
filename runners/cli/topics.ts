import { isWeirError, WeirError } from '../../kernel/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import { textOf } from '../config/index.js'
import { standingOf } from '../plans/index.js'
import { journalTopicOf } from '../slot/index.js'
import { comparedSettings, differences, edgesDefault, type TopicSpec, topicSpecs } from '../topics/index.js'
import { hopTopicsOf, kafkaAccess } from '../worker/index.js'
import { configOf, kafkaFlags, kafkaHelp } from './settings.js'
import { parseArguments, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir topics create [flags]

Creates the topics of a deployment where they are missing, and verifies those that exist; may be repeated. Replication is 3
where there are three brokers.

  --partitions N      of transactions, labels, decisions and dead letters; default 8
  --slots N           how many slots share the work at first; default 1. Later weir rescale changes that
  --edges N           how many HTTP edges run at once: partitions of their replies; default 4
  --app NAME          name of the deployment (WEIR_APP)
  --json              what was found, as JSON
${kafkaHelp}

example:
  WEIR_KAFKA_BROKERS=localhost:9092 weir topics create --partitions 8
`

export const topicsVerb: Verb = {
  name: 'topics',
  help,
  run: async (args, io) => {
    const { values, operands } = parseArguments(
      args,
      {
        ...kafkaFlags,
        partitions: { type: 'string' },
        slots: { type: 'string' },
        edges: { type: 'string' },
        json: { type: 'boolean' },
      },
      ['create'],
    )
    if (operands[0] !== 'create') throw new WeirError('USAGE', `'${operands[0]}' is not create`)
    const partitions = wholeNumber(values, 'partitions', { min: 1, max: 1_024, fallback: 8 })
    const asked = wholeNumber(values, 'slots', { min: 1, max: partitions, fallback: 1 })
    const edges = wholeNumber(values, 'edges', { min: 1, max: 1_024, fallback: edgesDefault })
    const config = configOf(values)
    const log = await KafkaLog.open(kafkaAccess(config))
    try {
      const wrong: string[] = []
      const app = textOf(config, 'app')
      const there = await journalOf(log, app)
      const slots = there?.slots ?? asked
      if (slots !== asked && values.slots !== undefined) {
        io.err(
          `weir: the deployment has ${slots} slots, and --slots ${asked} says how many a new one has; see weir rescale\n`,
        )
      }
      const hops = hopTopicsOf(app, { slots, partitions })
      for (const spec of topicSpecs({ app, partitions, slots, edges, hops })) {
        // It keeps the partitions of plans that had more slots.
        const partitions = spec.name === journalTopicOf(app) ? (there?.partitions ?? slots) : spec.partitions
        const { created, found } = await createOrVerify(log, { ...spec, partitions })
        wrong.push(...found)
        if (values.json === true) continue
        io.out(`${spec.name.padEnd(35)} ${found.length > 0 ? found.join('; ') : created ? 'created' : 'ok'}\n`)
      }
      if (values.json === true) io.out(`${JSON.stringify({ differences: wrong })}\n`)
      return wrong.length === 0 ? 0 : 1
    } finally {
      await log.close()
    }
  },
}

/** What the journal says, where there is one with a plan. */
async function journalOf(
  log: KafkaLog,
  app: string,
): Promise<{ readonly slots: number; readonly partitions: number } | undefined> {
  try {
    const { slots, last } = await standingOf(log, app)
    if (last[0] === undefined) return undefined
    return { slots, partitions: await log.partitionCount(journalTopicOf(app)) }
  } catch (error) {
    if (isWeirError(error, 'UNKNOWN_TOPIC')) return undefined
    throw error
  }
}

async function createOrVerify(log: KafkaLog, spec: TopicSpec): Promise<{ created: boolean; found: readonly string[] }> {
  try {
    const existing = await log.describeTopic(spec.name, [...comparedSettings])
    return { created: false, found: differences(spec, existing, log.brokerCount) }
  } catch (error) {
    if (!isWeirError(error, 'UNKNOWN_TOPIC')) throw error
    await log.createTopic(spec.name, spec.partitions, { config: spec.config })
    return { created: true, found: [] }
  }
}

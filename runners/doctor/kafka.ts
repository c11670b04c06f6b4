/** Brokers and schema registry, where they are configured. */
import { type Clock, isWeirError } from '../../kernel/index.js'
import { KafkaLog } from '../../log/kafka/index.js'
import { HttpSchemaRegistry, subjectOf } from '../../schemas/registry/index.js'
import { type Config, textOf } from '../config/index.js'
import { topicSpecs } from '../topics/index.js'
import { kafkaAccess, registryAccess } from '../worker/index.js'
import { fail, ok, type Verdict } from './check.js'

/** Of one attempt: a person waits for the answer. */
const attemptsMax = 4

export async function checkKafka(config: Config): Promise<Verdict> {
  const access = kafkaAccess(config)
  const log = await KafkaLog.open({ ...access, limits: { attemptsMax } })
  try {
    const missing: string[] = []
    for (const { name } of topicSpecs({ app: textOf(config, 'app'), partitions: 1, slots: 1 })) {
      try {
        await log.partitionCount(name)
      } catch (error) {
        if (!isWeirError(error, 'UNKNOWN_TOPIC')) throw error
        missing.push(`${access.prefix ?? ''}${name}`)
      }
    }
    const what = `Kafka answers with ${log.brokerCount} brokers`
    if (missing.length === 0) return ok(`${what}, and all topics are there`)
    return fail(`${what}; it has no topic ${missing.join(', ')}`, 'run weir topics create')
  } finally {
    await log.close()
  }
}

export async function checkRegistry(config: Config, clock: Clock): Promise<Verdict> {
  const access = registryAccess(config)
  if (access === undefined) return ok('no schema registry is configured: values are JSON')
  const topic = `${kafkaAccess(config).prefix ?? ''}transactions`
  const found = await new HttpSchemaRegistry({ ...access, clock }).latest(subjectOf(topic))
  return ok(`the schema registry answers, ${found === undefined ? 'without' : 'with'} a schema of ${topic}`)
}

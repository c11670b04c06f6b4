/** A client's way to the topics of a deployment: what the verbs that speak to Kafka share. */
import { type Clock, systemClock } from '../../kernel/index.js'
import { defaultLimits, KafkaLog } from '../../log/kafka/index.js'
import { HttpSchemaRegistry } from '../../schemas/registry/index.js'
import { type Config, textOf } from '../config/index.js'
import { kafkaAccess, registryAccess } from '../worker/index.js'

export interface KafkaClient {
  readonly app: string
  readonly log: KafkaLog
  /** Put before the topics' names in Kafka. */
  readonly prefix: string
  /** Undefined: values are JSON. */
  readonly registry: HttpSchemaRegistry | undefined
  readonly clock: Clock
}

/** Ten seconds with their pauses: somebody waits at the terminal. */
const attemptsMax = 15

/** Nothing is asked of the brokers yet; close its log. @throws WeirError USAGE */
export async function openKafka(config: Config): Promise<KafkaClient> {
  const access = kafkaAccess(config)
  const address = registryAccess(config)
  return {
    app: textOf(config, 'app'),
    log: await KafkaLog.open({ ...access, limits: { ...defaultLimits, attemptsMax } }),
    prefix: access.prefix ?? '',
    registry: address && new HttpSchemaRegistry({ ...address, clock: systemClock }),
    clock: systemClock,
  }
}

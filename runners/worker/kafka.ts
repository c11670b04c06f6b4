/** How Kafka is reached, from the configuration: for the log and for kafkajs. Secrets go no further than this. */
import { readFileSync } from 'node:fs'
import { messageOf, WeirError } from '../../kernel/index.js'
import type { KafkaOptions, KafkaSasl, KafkaTls } from '../../log/kafka/index.js'
import { type Config, optionalTextOf, type SettingKey, textOf } from '../config/index.js'
import type { RegistryAccess } from './job.js'
import { type KafkaConfig, logLevel } from './kafkajs.js'

export type KafkaAccess = Pick<KafkaOptions, 'brokers' | 'prefix' | 'clientId' | 'tls' | 'sasl'>

const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const

/** @throws WeirError USAGE */
export function kafkaAccess(config: Config): KafkaAccess {
  const brokers = (optionalTextOf(config, 'kafka.brokers') ?? '').split(',').flatMap(broker => broker.trim() || [])
  if (brokers.length === 0) throw new WeirError('USAGE', 'no broker is named: set WEIR_KAFKA_BROKERS or --brokers')
  const wrong = brokers.find(broker => !/^[^\s:/]+:\d{1,5}$|^\[[0-9a-f:]+\]:\d{1,5}$/i.test(broker))
  if (wrong !== undefined) throw new WeirError('USAGE', `broker '${wrong}' is not host:port`)
  const tls = tlsOf(config)
  const sasl = saslOf(config)
  return {
    brokers,
    prefix: optionalTextOf(config, 'topic_prefix') ?? '',
    clientId: `weir-${textOf(config, 'app')}`,
    ...(tls && { tls }),
    ...(sasl && { sasl }),
  }
}

/** For group membership and administration. */
export function kafkajsConfig({ brokers, clientId, tls, sasl }: KafkaAccess): KafkaConfig {
  return {
    brokers: [...brokers],
    clientId: clientId ?? 'weir',
    ...(tls && { ssl: tls }),
    ...(sasl && { sasl: kafkajsSasl(sasl) }),
    // What happens is told by events; kafkajs's own lines would repeat it, at its own levels.
    logLevel: logLevel.NOTHING,
    connectionTimeout: 5_000,
    requestTimeout: 10_000,
  }
}

function kafkajsSasl({ mechanism, username, password }: KafkaSasl): NonNullable<KafkaConfig['sasl']> {
  switch (mechanism) {
    case 'PLAIN':
      return { mechanism: 'plain', username, password }
    case 'SCRAM-SHA-256':
      return { mechanism: 'scram-sha-256', username, password }
    case 'SCRAM-SHA-512':
      return { mechanism: 'scram-sha-512', username, password }
  }
}

function tlsOf(config: Config): KafkaTls | undefined {
  const ssl = optionalTextOf(config, 'kafka.ssl')
  if (ssl !== undefined && ssl !== 'true' && ssl !== 'false') {
    throw new WeirError('USAGE', `kafka.ssl is '${ssl}', not true or false`)
  }
  const ca = pem(config, 'kafka.ssl_ca')
  const cert = pem(config, 'kafka.ssl_cert')
  const key = pem(config, 'kafka.ssl_key')
  if ((cert === undefined) !== (key === undefined)) {
    throw new WeirError('USAGE', 'kafka.ssl_cert and kafka.ssl_key belong together')
  }
  if (ssl === 'false') return undefined
  if (ssl === undefined && ca === undefined && cert === undefined) return undefined
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
}

function pem(config: Config, key: SettingKey): string | undefined {
  const path = optionalTextOf(config, key)
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new WeirError('USAGE', `${key}: cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}

function saslOf(config: Config): KafkaSasl | undefined {
  const mechanism = optionalTextOf(config, 'kafka.sasl_mechanism')?.toUpperCase()
  const username = optionalTextOf(config, 'kafka.sasl_username')
  const password = optionalTextOf(config, 'kafka.sasl_password')
  if (mechanism === undefined && username === undefined && password === undefined) return undefined
  const known = mechanisms.find(name => name === (mechanism ?? 'PLAIN'))
  if (known === undefined) throw new WeirError('USAGE', `kafka.sasl_mechanism is not one of ${mechanisms.join(', ')}`)
  if (username === undefined || password === undefined) {
    throw new WeirError('USAGE', 'SASL needs WEIR_KAFKA_SASL_USERNAME and WEIR_KAFKA_SASL_PASSWORD')
  }
  return { mechanism: known, username, password }
}

/** undefined where no registry is configured. @throws WeirError USAGE */
export function registryAccess(config: Config): Omit<RegistryAccess, 'decisionSchema'> | undefined {
  const url = optionalTextOf(config, 'schema_registry.url')
  const username = optionalTextOf(config, 'schema_registry.username')
  const password = optionalTextOf(config, 'schema_registry.password')
  if (url === undefined) return undefined
  if ((username === undefined) !== (password === undefined)) {
    throw new WeirError('USAGE', 'the registry needs both a user name and a password, or neither')
  }
  return { url, ...(username !== undefined && password !== undefined && { credentials: { username, password } }) }
}

/** Settings as flags of a verb, and the address of the Weir that a verb talks to. */
import { WeirError } from '../../kernel/index.js'
import { WeirClient } from '../client/index.js'
import { type Config, loadConfig, numberOf, optionalTextOf, settings, textOf } from '../config/index.js'
import { type OptionTable, text, type Values } from './verb.js'

const embedded = settings.filter(setting => !('kafka' in setting) && !('worker' in setting))

const flagsOf = (rows: readonly { readonly flag: string }[]): OptionTable => ({
  config: { type: 'string' },
  ...Object.fromEntries(rows.map(setting => [setting.flag, { type: 'string' }] as const)),
})

const helpOf = (rows: readonly { readonly flag: string; readonly env: string; readonly about: string }[]): string =>
  rows.map(({ flag, env, about }) => `  ${`--${flag}`.padEnd(19)} ${about} (${env})`).join('\n')

/** A flag for every setting of `up`, and --config. */
export const settingFlags: OptionTable = flagsOf(embedded)
export const settingHelp: string = helpOf(embedded)

/** The same for verbs that speak to Kafka. */
export const kafkaFlags: OptionTable = flagsOf(settings)
export const kafkaHelp: string = helpOf(settings.filter(setting => 'kafka' in setting))

export const checkpointHelp: string = helpOf(settings.filter(setting => 'worker' in setting))

/** The same for clients of Kafka. */
export const kafkaClientFlags: OptionTable = flagsOf(
  settings.filter(setting => 'kafka' in setting || setting.key === 'app' || setting.key === 'card_key'),
)

/** @throws WeirError USAGE */
export function configOf(values: Values): Config {
  return loadConfig({ flags: values, env: process.env, file: text(values, 'config') })
}

/** Where the edge of this configuration listens, as its clients on this machine reach it. */
export function addressOf(config: Config): string {
  const host = textOf(config, 'http.host')
  // an address for listening everywhere is none to connect to
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${numberOf(config, 'http.port')}`
}

/** Flags of every verb that talks to a running Weir. */
export const clientFlags: OptionTable = { config: { type: 'string' }, url: { type: 'string' } }

export const clientHelp = `  --url URL           of a running Weir; default that of the configuration, http://127.0.0.1:8080
  --config FILE       default weir.config.yaml where it exists
  WEIR_TOKEN          in the environment: sent as Authorization: Bearer, where the deployment asks for one`

/** Flags of verbs that speak to Kafka where brokers are configured, and else to a running Weir. */
export const eitherFlags: OptionTable = { ...clientFlags, ...kafkaClientFlags }

/** @throws WeirError USAGE where both are named */
export function speaksKafka(values: Values): boolean {
  if (text(values, 'url') === undefined) return optionalTextOf(configOf(values), 'kafka.brokers') !== undefined
  if (text(values, 'brokers') === undefined) return false
  throw new WeirError('USAGE', '--url is a running weir up, --brokers is Kafka: name one of them')
}

/** @throws WeirError USAGE */
export function clientOf(values: Values, connectionsMax = 1): WeirClient {
  const url = text(values, 'url') ?? addressOf(configOf(values))
  return new WeirClient({ url, token: process.env.WEIR_TOKEN, connectionsMax })
}

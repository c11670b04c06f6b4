/**
 * Configuration: weir.config.yaml, then WEIR_* environment variables, then flags; the later wins. One table says all there is.
 *
 * Invariants: an unknown key of the file is an error, not ignored; secrets are never printed.
 */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { type DurationMs, days, hours, messageOf, millis, minutes, seconds, WeirError } from '../../kernel/index.js'
import { parseBytes } from '../memory/index.js'
import { kafkaSettings } from './kafka.js'
import type { Setting } from './setting.js'

export const settings = [
  {
    key: 'app',
    env: 'WEIR_APP',
    flag: 'app',
    kind: 'text',
    fallback: 'fraud',
    about: 'name of the deployment: journal, decision ids',
  },
  {
    key: 'data_dir',
    env: 'WEIR_DATA_DIR',
    flag: 'data-dir',
    kind: 'text',
    fallback: '.weir',
    about: 'where state lies',
  },
  {
    key: 'http.host',
    env: 'WEIR_HTTP_HOST',
    flag: 'host',
    kind: 'text',
    fallback: '127.0.0.1',
    about: 'address to listen on',
  },
  {
    key: 'http.port',
    env: 'WEIR_HTTP_PORT',
    flag: 'port',
    kind: 'number',
    fallback: 8_080,
    min: 0,
    max: 65_535,
    about: 'port to listen on; 0 takes a free one',
  },
  {
    key: 'http.in_flight_max',
    env: 'WEIR_HTTP_IN_FLIGHT_MAX',
    flag: 'in-flight-max',
    kind: 'number',
    fallback: 1_000,
    min: 1,
    max: 100_000,
    about: 'requests that may wait for a decision; more are refused with 429',
  },
  {
    key: 'model',
    env: 'WEIR_MODEL',
    flag: 'model',
    kind: 'text',
    fallback: undefined,
    about: 'an .onnx file, or none; default the bundled one',
  },
  {
    key: 'rules',
    env: 'WEIR_RULES',
    flag: 'rules',
    kind: 'text',
    fallback: undefined,
    about: 'a rule set; default the bundled one',
  },
  {
    key: 'features',
    env: 'WEIR_FEATURES',
    flag: 'features',
    kind: 'text',
    fallback: undefined,
    about: 'a feature set; default the bundled one',
  },
  {
    key: 'memory.budget',
    env: 'WEIR_MEMORY_BUDGET',
    flag: 'memory-budget',
    kind: 'bytes',
    fallback: '1g',
    about: 'what the memory of the process stays below; divided among its parts',
  },
  {
    key: 'write_back_records',
    env: 'WEIR_WRITE_BACK_RECORDS',
    flag: 'write-back-records',
    kind: 'number',
    fallback: 200_000,
    min: 1,
    max: 100_000_000,
    about: 'state is written back after so many records: a restart folds no more again',
  },
  {
    key: 'retention.transactions',
    env: 'WEIR_RETENTION_TRANSACTIONS',
    flag: 'retention-transactions',
    kind: 'duration',
    fallback: '7d',
    about: 'transactions are kept this long, as 12h, 7d or forever',
  },
  {
    key: 'retention.labels',
    env: 'WEIR_RETENTION_LABELS',
    flag: 'retention-labels',
    kind: 'duration',
    fallback: '67d',
    about: 'labels are kept this long in the log',
  },
  {
    key: 'retention.decisions',
    env: 'WEIR_RETENTION_DECISIONS',
    flag: 'retention-decisions',
    kind: 'duration',
    fallback: '67d',
    about: 'decisions are kept this long; at least the dedupe horizon',
  },
  {
    key: 'retention.provisional',
    env: 'WEIR_RETENTION_PROVISIONAL',
    flag: 'retention-provisional',
    kind: 'duration',
    fallback: '67d',
    about: 'provisional answers are kept this long',
  },
  {
    key: 'retention.dead_letters',
    env: 'WEIR_RETENTION_DEAD_LETTERS',
    flag: 'retention-dead-letters',
    kind: 'duration',
    fallback: '30d',
    about: 'dead letters are kept this long',
  },
  {
    key: 'card_key',
    env: 'WEIR_CARD_KEY',
    flag: 'card-key',
    kind: 'text',
    fallback: 'weir-development-card-key',
    secret: true,
    about: 'key of the tokens that stand for card numbers',
  },
  {
    key: 'checkpoints.store',
    env: 'WEIR_CHECKPOINTS_STORE',
    flag: 'checkpoints-store',
    kind: 'text',
    fallback: undefined,
    worker: true,
    about: 'directory or s3://BUCKET/PREFIX that all workers share for checkpoints of state; default none',
  },
  {
    key: 'checkpoints.keys',
    env: 'WEIR_CHECKPOINTS_KEYS',
    flag: 'checkpoints-keys',
    kind: 'text',
    fallback: undefined,
    secret: true,
    about: 'keys that encrypt checkpoints, one a line, the one that writes first; default none',
  },
  {
    key: 'checkpoints.key_file',
    env: 'WEIR_CHECKPOINTS_KEY_FILE',
    flag: 'checkpoints-key-file',
    kind: 'text',
    fallback: undefined,
    worker: true,
    about: 'file of such keys, readable by its owner alone',
  },
  {
    key: 'checkpoints.every',
    env: 'WEIR_CHECKPOINTS_EVERY',
    flag: 'checkpoints-every',
    kind: 'duration',
    fallback: '5m',
    worker: true,
    about: 'time from one checkpoint of a slot to the next',
  },
  {
    key: 'checkpoints.keep',
    env: 'WEIR_CHECKPOINTS_KEEP',
    flag: 'checkpoints-keep',
    kind: 'number',
    fallback: 3,
    min: 2,
    max: 10_000,
    worker: true,
    about: 'checkpoints of a slot that are kept; the journal is trimmed behind the oldest',
  },
  {
    key: 'checkpoints.journal',
    env: 'WEIR_CHECKPOINTS_JOURNAL',
    flag: 'checkpoints-journal',
    kind: 'text',
    fallback: 'trim',
    worker: true,
    about: 'trim, or keep all of it for audits',
  },
  {
    key: 'standbys',
    env: 'WEIR_STANDBYS',
    flag: 'standbys',
    kind: 'number',
    fallback: 0,
    min: 0,
    max: 1,
    worker: true,
    about: '1: each slot is followed by another worker, which takes over within a second; the same for all workers',
  },
  ...kafkaSettings,
] as const satisfies readonly Setting[]

export type SettingKey = (typeof settings)[number]['key']
type Source = 'default' | 'file' | 'environment' | 'flag'

export interface EffectiveSetting {
  readonly value: string | number | undefined
  readonly source: Source
}

export type Config = ReadonlyMap<SettingKey, EffectiveSetting>

export interface ConfigInputs {
  readonly flags: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Given by --config: it must exist. */
  readonly file: string | undefined
}

const defaultFile = 'weir.config.yaml'

/** @throws WeirError USAGE naming the place and the mistake */
export function loadConfig(inputs: ConfigInputs): Config {
  const file = readConfigFile(inputs.file)
  const config = new Map<SettingKey, EffectiveSetting>()
  for (const setting of settings) {
    const candidates: readonly (readonly [unknown, Source, string])[] = [
      [inputs.flags[setting.flag], 'flag', `--${setting.flag}`],
      [inputs.env[setting.env], 'environment', setting.env],
      [file.get(setting.key), 'file', setting.key],
      [setting.fallback, 'default', ''],
    ]
    const [raw, source, where] = candidates.find(([value]) => value !== undefined && value !== '') ?? [
      undefined,
      'default',
      '',
    ]
    config.set(setting.key, { value: raw === undefined ? undefined : checked(setting, raw, where), source })
  }
  return config
}

export function textOf(config: Config, key: SettingKey): string {
  return String(config.get(key)?.value)
}

export function optionalTextOf(config: Config, key: SettingKey): string | undefined {
  const value = config.get(key)?.value
  return value === undefined ? undefined : String(value)
}

export function numberOf(config: Config, key: SettingKey): number {
  return Number(config.get(key)?.value)
}

/** Infinity for `forever`. */
export function durationOf(config: Config, key: SettingKey): DurationMs {
  return parseDuration(textOf(config, key)) ?? millis(Number.NaN)
}

/** Of a setting of kind 'bytes'. */
export function bytesOf(config: Config, key: SettingKey): number {
  return parseBytes(textOf(config, key)) ?? Number.NaN
}

const units: Readonly<Record<string, (n: number) => DurationMs>> = {
  ms: millis,
  s: seconds,
  m: minutes,
  h: hours,
  d: days,
}

/** @returns undefined for what is no duration */
function parseDuration(text: string): DurationMs | undefined {
  if (text === 'forever') return millis(Number.POSITIVE_INFINITY)
  const [, number, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? []
  return unit === undefined ? undefined : units[unit]!(Number(number))
}

/** For `weir config`: every setting with its source, secrets masked. */
export function describeConfig(
  config: Config,
): readonly { key: string; value: string | number | null; source: Source; about: string }[] {
  return settings.map((setting: Setting) => {
    const { value, source } = config.get(setting.key as SettingKey) ?? { value: undefined, source: 'default' as const }
    const shown = setting.secret && value !== undefined ? '***' : (value ?? null)
    return { key: setting.key, value: shown, source, about: setting.about }
  })
}

/** What else of Weir reads WEIR_* variables: clients, set-up, tests. */
const otherVariables = /^WEIR_(TOKEN|SETUP_\w+|REQUIRE_SERVICES|MAVEN_URL|HANDBOOK_DIR|PROPERTY_RUNS|TEST_\w+)$/

/** Names of WEIR_* variables that mean nothing: misspelt, most likely. */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const known = new Set<string>(settings.map(setting => setting.env))
  return Object.keys(env)
    .filter(name => name.startsWith('WEIR_') && !known.has(name) && !otherVariables.test(name))
    .sort()
}

function checked(setting: Setting, raw: unknown, where: string): string | number {
  if (setting.kind === 'text') {
    if (typeof raw === 'string') return raw
    throw new WeirError('USAGE', `${where} is not text`)
  }
  if (setting.kind === 'duration') {
    if (typeof raw === 'string' && parseDuration(raw) !== undefined) return raw
    throw new WeirError('USAGE', `${where} is ${JSON.stringify(raw)}, not a duration such as 90s, 12h, 7d or forever`)
  }
  if (setting.kind === 'bytes') {
    if (typeof raw === 'string' && parseBytes(raw) !== undefined) return raw
    throw new WeirError('USAGE', `${where} is ${JSON.stringify(raw)}, not a size such as 512m or 2g`)
  }
  const number = typeof raw === 'number' ? raw : typeof raw === 'string' && /^\d+$/.test(raw) ? Number(raw) : Number.NaN
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = setting
  if (Number.isInteger(number) && number >= min && number <= max) return number
  throw new WeirError('USAGE', `${where} is ${JSON.stringify(raw)}, not a whole number from ${min} to ${max}`)
}

function readConfigFile(path: string | undefined): ReadonlyMap<string, unknown> {
  let text: string
  try {
    text = readFileSync(path ?? defaultFile, 'utf8')
  } catch (error) {
    if (path === undefined && (error as NodeJS.ErrnoException).code === 'ENOENT') return new Map()
    throw new WeirError('USAGE', `cannot read ${path ?? defaultFile}: ${messageOf(error)}`, { cause: error })
  }
  let document: unknown
  try {
    document = parse(text)
  } catch (error) {
    throw new WeirError('USAGE', `${path ?? defaultFile}: ${messageOf(error).split('\n')[0]}`, { cause: error })
  }
  if (document !== null && (typeof document !== 'object' || Array.isArray(document))) {
    throw new WeirError('USAGE', `${path ?? defaultFile} is not a mapping of settings`)
  }
  const found = new Map<string, unknown>()
  flatten(document ?? {}, '', found)
  const known = new Set<string>(settings.map(setting => setting.key))
  for (const key of found.keys()) {
    if (!known.has(key)) throw new WeirError('USAGE', `${path ?? defaultFile} has an unknown setting '${key}'`)
  }
  return found
}

/** No setting lies deeper; what does is an unknown one. */
const depthMax = 2

function flatten(value: unknown, path: string, into: Map<string, unknown>, depth = 0): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth === depthMax) {
    into.set(path, value)
    return
  }
  for (const [key, inner] of Object.entries(value)) {
    flatten(inner, path === '' ? key : `${path}.${key}`, into, depth + 1)
  }
}

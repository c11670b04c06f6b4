/** Everything that `weir doctor` looks at, in the order in which a start would meet it. */
import type { Clock } from '../../kernel/index.js'
import { type Config, numberOf, optionalTextOf, settings, textOf, unknownVariables } from '../config/index.js'
import { type Finding, finding, ok, type Verdict, warn } from './check.js'
import { checkClock, checkOwner, checkSpace, checkWritable, type DataDirFacts, lookInside } from './data-dir.js'
import { checkKafka, checkRegistry } from './kafka.js'
import { checkNode, checkPort, checkRocksDb } from './machine.js'
import { checkModel, checkOnnxRuntime } from './model.js'

export type { Finding, Status } from './check.js'

export interface DoctorOptions {
  readonly config: Config
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Whether a Weir answers where this configuration listens. */
  readonly weirAnswers: boolean
}

/** Yields each finding as soon as it is there. */
export async function* examine(options: DoctorOptions): AsyncGenerator<Finding, void, undefined> {
  const { config, clock, env, weirAnswers } = options
  const dataDir = textOf(config, 'data_dir')
  const model = optionalTextOf(config, 'model')
  yield await finding('node', () => checkNode(process.versions.node))
  yield await finding('configuration', () => checkConfiguration(config, env))
  yield await finding('rocksdb', checkRocksDb)
  yield await finding('model', () => checkModel(model))
  yield await finding('onnxruntime', () => checkOnnxRuntime(model))
  yield await finding('port', () => checkPort(textOf(config, 'http.host'), numberOf(config, 'http.port'), weirAnswers))
  yield await finding('data directory', () => checkWritable(dataDir))
  let facts: DataDirFacts = { owner: 'nobody', newestMs: undefined }
  yield await finding('owner', async () => {
    facts = await lookInside(dataDir)
    return checkOwner(dataDir, facts, weirAnswers)
  })
  yield await finding('disk space', () => checkSpace(dataDir))
  if (optionalTextOf(config, 'kafka.brokers') !== undefined) {
    yield await finding('kafka', () => checkKafka(config))
    yield await finding('schema registry', () => checkRegistry(config, clock))
  }
  yield await finding('clock', () => checkClock(clock.nowMs(), facts.newestMs))
}

function checkConfiguration(config: Config, env: DoctorOptions['env']): Verdict {
  const unknown = unknownVariables(env)
  if (unknown.length > 0) {
    return warn(`${unknown.join(', ')} in the environment: no setting of Weir`, 'see weir config for those that are')
  }
  const cardKey = settings.find(setting => setting.key === 'card_key')
  if (config.get('card_key')?.value === cardKey?.fallback) {
    return warn('card numbers are tokenised with the development key', 'set WEIR_CARD_KEY before real cards come in')
  }
  return ok('configuration is valid')
}

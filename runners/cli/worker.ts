import { createLogger, type Logger } from '../../edge/index.js'
import { assertNever, systemClock, WeirError } from '../../kernel/index.js'
import { bytesOf, type Config, durationOf, numberOf, optionalTextOf, textOf } from '../config/index.js'
import { loadSealKeys } from '../encryption/index.js'
import {
  type CheckpointJob,
  kafkaAccess,
  registryAccess,
  StartingWorker,
  serveHealth,
  type WorkerEvent,
  type WorkerSettings,
} from '../worker/index.js'
import { placeOf } from './checkpoint-place.js'
import { checkpointHelp, configOf, kafkaFlags, kafkaHelp } from './settings.js'
import { logCheckpointEvent, logSlotEvent } from './slot-log.js'
import { parseFlags, text, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir worker [flags]

Joins the group of the deployment and runs the slots that the group gives it. State lies below --data-dir, one directory
for each process; its loss loses nothing. While Kafka or the schema registry does not answer it waits; /readyz says for what.

  --threads N         slot threads; default 1
  --data-dir DIR      where state lies; default .weir (WEIR_DATA_DIR)
  --port N            also serves /healthz, /readyz, /metrics and the state of keys there; without it no port is opened
  --app NAME          name of the deployment (WEIR_APP)
  --model, --rules, --features, --memory-budget, --card-key   as for weir up
${checkpointHelp}
${kafkaHelp}

example:
  WEIR_KAFKA_BROKERS=localhost:9092 weir topics create --partitions 8
  WEIR_KAFKA_BROKERS=localhost:9092 weir worker --data-dir /var/lib/weir
`

/** What the epochs that run get to end. Brokers that hang would keep them for minutes, and a killed worker loses nothing. */
const stopMsMax = 15_000
/** What the process gets to end by itself once all is closed. */
const leftoverMsMax = 1_000

export const workerVerb: Verb = {
  name: 'worker',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, { ...kafkaFlags, threads: { type: 'string' } })
    const threads = wholeNumber(values, 'threads', { min: 1, max: 64, fallback: 1 })
    const config = configOf(values)
    const logger = createLogger()
    const settings = deploymentOf(config)
    if (settings.registry === undefined) logger.warn('no schema registry is configured: values are JSON')
    const worker = new StartingWorker({
      ...settings,
      standbys: numberOf(config, 'standbys'),
      threads,
      onEvent: event => logEvent(logger, event),
    })
    const asked = text(values, 'port') !== undefined
    const health = asked
      ? await serveHealth(worker, {
          host: textOf(config, 'http.host'),
          port: numberOf(config, 'http.port'),
          clock: systemClock,
          memoryBudgetBytes: settings.memoryBudgetBytes,
        })
      : undefined
    if (health !== undefined) logger.info({ url: health.url }, 'health and metrics')
    io.signal.addEventListener('abort', () => setTimeout(() => giveUp(logger), stopMsMax).unref(), { once: true })
    try {
      await worker.run(io.signal)
    } finally {
      await health?.close()
      // A connection that kafkajs was opening while it was told to disconnect is nobody's, and must not keep the process.
      setTimeout(() => process.exit(), leftoverMsMax).unref()
    }
    return 0
  },
}

function giveUp(logger: Logger): void {
  logger.warn(
    { seconds: stopMsMax / 1_000 },
    'what runs does not come to its end; the worker ends as it would by kill -9',
  )
  process.exit(1)
}

/** What workers and those who end their plan must agree on. @throws WeirError USAGE */
export function deploymentOf(config: Config): Omit<WorkerSettings, 'standbys' | 'threads' | 'onEvent'> {
  return {
    app: textOf(config, 'app'),
    dataDir: textOf(config, 'data_dir'),
    kafka: kafkaAccess(config),
    registry: registryAccess(config),
    model: optionalTextOf(config, 'model'),
    rules: optionalTextOf(config, 'rules'),
    features: optionalTextOf(config, 'features'),
    cardKey: textOf(config, 'card_key'),
    memoryBudgetBytes: bytesOf(config, 'memory.budget'),
    checkpoints: checkpointsOf(config),
    clock: systemClock,
  }
}

function checkpointsOf(config: Config): CheckpointJob | undefined {
  const place = placeOf(config)
  if (place === undefined) return undefined
  // Each slot's thread loads them for itself: what is wrong with them is said at the start.
  loadSealKeys(place)
  const everyMs = durationOf(config, 'checkpoints.every')
  if (!Number.isFinite(everyMs) || everyMs < 1_000)
    throw new WeirError('USAGE', 'checkpoints.every is a time of 1s or more, and not forever')
  const journal = textOf(config, 'checkpoints.journal')
  if (journal !== 'trim' && journal !== 'keep') throw new WeirError('USAGE', 'checkpoints.journal is trim or keep')
  return { place, everyMs, keep: numberOf(config, 'checkpoints.keep'), trimsJournal: journal === 'trim' }
}

/** Places, codes and what brokers said, never what a step said: its text may name a customer. */
function logEvent(logger: Logger, event: WorkerEvent): void {
  switch (event.kind) {
    case 'assigned':
      logger.info({ slots: event.slots, standbys: event.standbys }, 'the group has assigned slots')
      return
    case 'running':
    case 'following':
    case 'released':
      logger.info({ slot: event.slot }, `slot ${event.kind}`)
      return
    case 'waiting':
      logger.warn({ reason: event.message }, 'the worker cannot start yet; trying again')
      return
    case 'group-trouble':
      logger.warn({ reason: event.message }, 'the worker group does not answer; joining again')
      return
    case 'offsets-not-committed':
      logger.debug({ reason: event.message }, 'offsets for lag tools were not committed')
      return
    case 'slot':
      logHostEvent(logger, event.slot, event.event)
      return
    default:
      assertNever(event)
  }
}

function logHostEvent(logger: Logger, slot: number, event: Extract<WorkerEvent, { kind: 'slot' }>['event']): void {
  switch (event.kind) {
    case 'recovering':
      if (event.reason === 'start') logger.info({ slot }, 'the slot goes to the committed position')
      else logger.warn({ slot, reason: event.reason }, 'the slot goes back to the committed position')
      return
    case 'replies-lost':
      logger.warn({ slot, replies: event.count, reason: event.message }, 'edges were not told; they answer 202')
      return
    case 'spool-dropped':
      logger.warn({ slot, reason: event.reason }, 'the next checkpoint is a full one')
      return
    case 'checkpoint':
    case 'checkpoint-found':
    case 'checkpoint-failed':
    case 'checkpoints-removed':
      logCheckpointEvent(logger.child({ slot }), event)
      return
    case 'taking-over':
      logger.info({ slot, why: event.why, silent_ms: event.silentMs }, 'the slot is taken over')
      return
    case 'fenced':
      logger.warn({ slot }, 'another worker has taken the slot over; it is followed from now on')
      return
    case 'failed':
      logger.warn(
        { slot, code: event.code, reason: event.reason },
        'the slot failed and begins anew from the committed position',
      )
      return
    case 'unavailable':
      logger.warn({ slot, reason: event.reason }, 'the slot cannot read; it tries on from where it is')
      return
    default:
      logSlotEvent(logger.child({ slot }), event)
  }
}

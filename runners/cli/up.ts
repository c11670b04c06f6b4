import { createLogger, type Logger } from '../../edge/index.js'
import { systemClock } from '../../kernel/index.js'
import { bytesOf, type Config, durationOf, numberOf, optionalTextOf, textOf } from '../config/index.js'
import { shareMemory } from '../memory/index.js'
import { registerMemoryMetrics } from '../memory-metrics/index.js'
import { EmbeddedEngine, type EngineEvent, playTraffic, type RetentionTimes } from '../up/index.js'
import { edgeOf } from './edge-of.js'
import { configOf, settingFlags, settingHelp } from './settings.js'
import { logSlotEvent } from './slot-log.js'
import { aborted, parseFlags, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir up [flags]

Everything in one process: log, engine, HTTP edge and status page. Answers are durable; stopping and starting again, or
kill -9, loses nothing.

  --traffic N         also plays simulated customers, N transactions a second
  --config FILE       default weir.config.yaml, where there is one
${settingHelp}

example:
  npm start -- --traffic 200
`

/** An epoch takes a few milliseconds. */
const queueMsMax = 100

export const upVerb: Verb = {
  name: 'up',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, { ...settingFlags, traffic: { type: 'string' } })
    const traffic = wholeNumber(values, 'traffic', { min: 0, max: 100_000, fallback: 0 })
    const config = configOf(values)
    const logger = createLogger()
    const engine = await EmbeddedEngine.open({
      app: textOf(config, 'app'),
      dataDir: textOf(config, 'data_dir'),
      model: optionalTextOf(config, 'model'),
      rules: optionalTextOf(config, 'rules'),
      features: optionalTextOf(config, 'features'),
      cardKey: textOf(config, 'card_key'),
      memory: shareMemory(bytesOf(config, 'memory.budget'), { slots: 1, threads: 0 }),
      inFlightMax: numberOf(config, 'http.in_flight_max'),
      writeBackRecords: numberOf(config, 'write_back_records'),
      retention: retentionOf(config),
      clock: systemClock,
      onEvent: event => logEvent(logger, event),
    })
    try {
      const edge = await edgeOf(engine, config, logger, queueMsMax)
      registerMemoryMetrics(edge.registry, () => ({
        slots: [{ slot: 0, memory: engine.memory }],
        budgetBytes: bytesOf(config, 'memory.budget'),
      }))
      const { url } = await edge.listen()
      io.out(greeting(url, textOf(config, 'data_dir')))
      const playing = traffic > 0 ? playTraffic(engine.producer, traffic, systemClock, io.signal) : Promise.resolve()
      await aborted(io)
      io.err('stopping: what was taken is decided first\n')
      await playing
      await edge.close()
    } finally {
      await engine.close()
    }
    return 0
  },
}

function retentionOf(config: Config): RetentionTimes {
  return {
    transactions: durationOf(config, 'retention.transactions'),
    labels: durationOf(config, 'retention.labels'),
    decisions: durationOf(config, 'retention.decisions'),
    provisional: durationOf(config, 'retention.provisional'),
    deadLetters: durationOf(config, 'retention.dead_letters'),
  }
}

function logEvent(logger: Logger, event: EngineEvent): void {
  switch (event.kind) {
    case 'recovering':
      if (event.reason !== 'start')
        logger.warn({ reason: event.reason }, 'the slot goes back to the committed position')
      return
    case 'retention-failed':
      logger.error({ code: event.code }, 'retention failed and is tried again; the log keeps growing meanwhile')
      return
    case 'slot-failed':
      logger.error({ code: event.code }, 'the slot failed and is started again')
      return
    default:
      logSlotEvent(logger, event)
  }
}

function greeting(url: string, dataDir: string): string {
  const example = {
    transaction_id: 'demo-1',
    event_time: new Date().toISOString(),
    customer_id: 'c-1',
    terminal_id: 't-1',
    amount_minor: 25_000,
    currency: 'EUR',
  }
  return `Weir is ready at ${url}

  curl -s ${url}/v1/decisions -H 'content-type: application/json' -d '${JSON.stringify(example)}'

Status page ${url}/   state in ${dataDir}   stop with Ctrl-C
`
}

import { createLogger, type Logger } from '../../edge/index.js'
import { assertNever, systemClock } from '../../kernel/index.js'
import { bytesOf, numberOf, optionalTextOf, textOf } from '../config/index.js'
import { type KafkaEdgeEvent, registerEdgeMetrics, StartingEdge } from '../edge/index.js'
import { viewShare } from '../memory/index.js'
import { kafkaAccess, registryAccess } from '../worker/index.js'
import { edgeOf } from './edge-of.js'
import { configOf, kafkaFlags, kafkaHelp } from './settings.js'
import { aborted, parseFlags, type Verb } from './verb.js'

const help = `usage: weir edge [flags]

The HTTP edge of a Kafka deployment: sends transactions to Kafka, waits for what the workers decide, and answers. Several
may run at once. Below --data-dir it keeps a view of the decisions, for look-ups; its loss loses nothing.

  --host, --port      where to listen; default 127.0.0.1:8080 (WEIR_HTTP_HOST, WEIR_HTTP_PORT)
  --in-flight-max N   requests that may wait for a decision (WEIR_HTTP_IN_FLIGHT_MAX)
  --data-dir DIR      where the view lies; default .weir (WEIR_DATA_DIR)
  --app NAME          name of the deployment (WEIR_APP)
  --card-key KEY      the same in every process of a deployment (WEIR_CARD_KEY)
${kafkaHelp}

example:
  WEIR_KAFKA_BROKERS=localhost:9092 weir edge --port 8080 --data-dir /var/lib/weir-edge
`

/** A commit to Kafka takes tens of milliseconds. */
const queueMsMax = 500

export const edgeVerb: Verb = {
  name: 'edge',
  help,
  run: async (args, io) => {
    const config = configOf(parseFlags(args, kafkaFlags))
    const logger = createLogger()
    const registry = registryAccess(config)
    if (registry === undefined) logger.warn('no schema registry is configured: values are JSON')
    const asked = optionalTextOf(config, 'edge.reply_partition')
    const engine = new StartingEdge({
      app: textOf(config, 'app'),
      kafka: kafkaAccess(config),
      registry,
      dataDir: textOf(config, 'data_dir'),
      replyPartition: asked === undefined ? undefined : Number(asked),
      memory: viewShare(bytesOf(config, 'memory.budget')),
      inFlightMax: numberOf(config, 'http.in_flight_max'),
      clock: systemClock,
      onEvent: event => logEvent(logger, event),
    })
    try {
      const edge = await edgeOf(engine, config, logger, queueMsMax)
      registerEdgeMetrics(engine, edge.registry)
      try {
        await edge.listen()
        await engine.start(io.signal)
        await aborted(io)
      } finally {
        await edge.close()
      }
    } finally {
      await engine.close()
    }
    return 0
  },
}

function logEvent(logger: Logger, event: KafkaEdgeEvent): void {
  switch (event.kind) {
    case 'reply-partition':
      logger.info({ partition: event.partition }, 'waits for replies')
      return
    case 'kafka':
      if (event.answers) logger.info('Kafka answers again')
      else logger.warn({ reason: event.reason }, 'Kafka does not answer; requests are refused')
      return
    case 'waiting':
      logger.warn({ reason: event.reason }, 'waits')
      return
    case 'append-failed':
      logger.warn({ code: event.code }, 'a record was not taken')
      return
    default:
      assertNever(event)
  }
}

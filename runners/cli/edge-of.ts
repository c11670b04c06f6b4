import { createEdge, type EdgePorts, type Logger } from '../../edge/index.js'
import { systemClock } from '../../kernel/index.js'
import { type Config, numberOf, textOf } from '../config/index.js'

/**
 * The HTTP edge of this configuration before an engine, embedded or on Kafka.
 * @param queueMsMax what requests may wait for the engine while more come than it can do, ms: several of its usual answers
 */
export function edgeOf(
  engine: Omit<EdgePorts, 'nowMs'>,
  config: Config,
  logger: Logger,
  queueMsMax: number,
): ReturnType<typeof createEdge> {
  const { decisions, health, stream, state, explain } = engine
  return createEdge({
    ports: {
      decisions,
      health,
      ...(stream && { stream }),
      ...(state && { state }),
      explain,
      nowMs: () => systemClock.nowMs(),
    },
    cardKey: textOf(config, 'card_key'),
    host: textOf(config, 'http.host'),
    port: numberOf(config, 'http.port'),
    limits: { inFlightMax: numberOf(config, 'http.in_flight_max'), queueMsMax },
    logger,
  })
}

import { eventTime } from '../kernel/index.js'
import type { Decision } from '../schemas/avro/index.js'
import type { SinkFormat } from '../topology/index.js'
import { AvroDecisionEncoder, DecisionEncoder } from './decision/index.js'

/** Decisions as JSON, keyed by customer. */
export function decisionFormat(): SinkFormat<Decision> {
  return format('decision-json', () => new DecisionEncoder())
}

/**
 * Decisions as framed Avro, keyed by customer.
 * @param schemaId of schemas/avro/decision.avsc in the registry
 */
export function decisionAvroFormat(schemaId: number): SinkFormat<Decision> {
  return format('decision-avro', () => new AvroDecisionEncoder({ schemaId }))
}

function format(name: string, makeEncoder: () => DecisionEncoder | AvroDecisionEncoder): SinkFormat<Decision> {
  return {
    name,
    keyOf: decision => decision.customer_id,
    encoder: () => {
      const encoder = makeEncoder()
      return {
        reset: () => encoder.reset(),
        append: (decision, _at, egress) => encoder.append(decision, eventTime(egress.nowMs), null),
        encoded: () => encoder.encoded(),
        hashInto: hash => encoder.hashInto(hash),
      }
    },
  }
}

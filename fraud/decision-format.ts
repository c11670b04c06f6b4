import { eventTime } from '../kernel/index.js'
import type { Decision } from '../schemas/avro/index.js'
import type { SinkFormat } from '../topology/index.js'
import { DecisionEncoder } from './decision/index.js'

/** Decisions as JSON, keyed by customer. */
export function decisionFormat(): SinkFormat<Decision> {
  return {
    name: 'decision-json',
    keyOf: decision => decision.customer_id,
    encoder: () => {
      const encoder = new DecisionEncoder()
      return {
        reset: () => encoder.reset(),
        append: (decision, _at, egress) => encoder.append(decision, eventTime(egress.nowMs), null),
        encoded: () => encoder.encoded(),
        hashInto: hash => encoder.hashInto(hash),
      }
    },
  }
}

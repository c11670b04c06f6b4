/** A decision back from its Avro value: for the view and the tools that read `decisions`. */
import { type EventTimeMs, eventTime, messageOf, WeirError } from '../../kernel/index.js'
import type { Decision } from '../../schemas/avro/index.js'
import { framingBytes, parseSchema, schemaText } from '../../schemas/registry/index.js'

/** With what was added when it left. */
export type StampedDecision = Decision & {
  readonly decided_at: EventTimeMs
  readonly timings_us: Readonly<Record<string, number>>
}

type InAvro = Omit<StampedDecision, 'features'> & { readonly features: Readonly<Record<string, number>> }

/**
 * A reader of values that AvroDecisionEncoder wrote with this version's schema.
 * It throws WeirError MALFORMED_RECORD for anything else.
 */
export function decisionFromAvro(): (value: Buffer) => StampedDecision {
  const type = parseSchema(schemaText('decision'))
  return value => {
    try {
      const read = type.fromBuffer(value.subarray(framingBytes)) as InAvro
      const features = Object.entries(read.features)
      return {
        ...read,
        event_time: eventTime(read.event_time),
        feature_names: features.map(([name]) => name),
        features: features.map(([, number]) => number),
      }
    } catch (error) {
      throw new WeirError('MALFORMED_RECORD', `this is no decision: ${messageOf(error)}`, { cause: error })
    }
  }
}

/** A decision back from its line of JSON: for people and tools that read `decisions`. */
import { eventTime, messageOf, WeirError } from '../../kernel/index.js'
import type { Decision } from '../../schemas/avro/index.js'

type Json = { readonly [K in keyof Decision]: unknown }

/**
 * Only lines that DecisionEncoder wrote: ours, or copied from the topic.
 * @throws WeirError MALFORMED_RECORD
 */
export function decisionFromJson(line: Buffer): Decision {
  try {
    const json = JSON.parse(line.toString('utf8')) as Json
    const features = Object.entries(json.features as Record<string, number>)
    return {
      ...(json as unknown as Decision),
      event_time: eventTime(Date.parse(json.event_time as string)),
      score: (json.score as number | undefined) ?? null,
      adjusted_score: (json.adjusted_score as number | undefined) ?? null,
      degraded: (json.degraded as string | undefined) ?? null,
      rule_hits: (json.rule_hits as Decision['rule_hits']).map(hit => ({ ...hit, error: hit.error ?? null })),
      feature_names: features.map(([name]) => name),
      features: features.map(([, value]) => value),
    }
  } catch (error) {
    throw new WeirError('MALFORMED_RECORD', `this is no decision: ${messageOf(error)}`, { cause: error })
  }
}

/** Decisions of the topic as lines of JSON, in whichever form they were written: for people and tools that follow it. */
import type { Resolver } from 'avsc'
import { eventTime, formatEventTime, messageOf, WeirError } from '../../kernel/index.js'
import type { Decision } from '../../schemas/avro/index.js'
import {
  framingBytes,
  isFramed,
  parseSchema,
  schemaIdOf,
  schemaText,
  type WriterSchemas,
} from '../../schemas/registry/index.js'

type InAvro = Omit<Decision, 'features'> & {
  readonly features: Readonly<Record<string, number>>
  readonly decided_at: number
}

/** Fields that are absent in JSON where Avro has null. */
const optional: ReadonlySet<string> = new Set(['score', 'adjusted_score', 'degraded'])

/**
 * Lines without their ends. `schemas` has prepared the batch that a value comes from.
 * @param schemas undefined without a registry
 * @returns a function that throws WeirError MALFORMED_RECORD, UNKNOWN_SCHEMA, INCOMPATIBLE_SCHEMA for what is no decision,
 *   and USAGE for Avro without a registry
 */
export function decisionLines(schemas: WriterSchemas | undefined): (value: Buffer) => Buffer {
  const ours = parseSchema(schemaText('decision'))
  const resolvers = new Map<number, Resolver>()
  const resolverOf = (id: number): Resolver => {
    if (schemas === undefined) {
      throw new WeirError('USAGE', 'decisions are in Avro: set WEIR_SCHEMA_REGISTRY_URL or --schema-registry-url')
    }
    const known = resolvers.get(id)
    if (known !== undefined) return known
    const writer = schemas.get(id)
    if (writer.kind === 'unreadable') throw new WeirError(writer.code, writer.why)
    try {
      const made = ours.createResolver(writer.type, { ignoreNamespaces: true })
      resolvers.set(id, made)
      return made
    } catch (error) {
      throw new WeirError('INCOMPATIBLE_SCHEMA', `schema ${id}: ${messageOf(error)}`, { cause: error })
    }
  }
  return value => {
    if (value[0] === 0x7b) return value
    if (value.length <= framingBytes || !isFramed(value, 0)) {
      throw new WeirError('MALFORMED_RECORD', 'the value is neither JSON nor framed Avro')
    }
    const resolver = resolverOf(schemaIdOf(value, 0))
    let decision: InAvro
    try {
      decision = ours.fromBuffer(value.subarray(framingBytes), resolver) as InAvro
    } catch (error) {
      throw new WeirError('MALFORMED_RECORD', messageOf(error), { cause: error })
    }
    return Buffer.from(JSON.stringify(jsonOf(decision)))
  }
}

function jsonOf(decision: InAvro): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(decision)) if (value !== null || !optional.has(name)) shown[name] = value
  shown.event_time = formatEventTime(eventTime(decision.event_time))
  shown.decided_at = formatEventTime(eventTime(decision.decided_at))
  shown.rule_hits = decision.rule_hits.map(({ error, ...hit }) => (error === null ? hit : { ...hit, error }))
  return shown
}

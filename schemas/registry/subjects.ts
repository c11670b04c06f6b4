/**
 * At start: the schemas that Weir reads and writes stand in the registry, or the start fails and says why.
 * Subjects are `<topic>-value`, the topic with its prefix.
 */
import { messageOf, WeirError } from '../../kernel/index.js'
import type { SchemaRegistry } from './port.js'
import { type SchemaName, schemaText } from './schemas.js'
import { parseSchema } from './writer-schemas.js'

export const subjectOf = (topic: string): string => `${topic}-value`

/**
 * Registers our schema for a topic's values, or finds it there.
 * @param topic with its prefix
 * @returns the schema's id, for what we write
 * @throws WeirError SCHEMA_CONFLICT with the subject and the difference, when records that are there could not be read by
 *   our schema or the registry refuses it by the subject's own rules; REGISTRY_UNREACHABLE
 */
export async function registerSchema(registry: SchemaRegistry, topic: string, name: SchemaName): Promise<number> {
  const subject = subjectOf(topic)
  const ours = schemaText(name)
  const latest = await registry.latest(subject)
  // Also where the subject's own rules ask for nothing: what lies in the topic has to be read.
  if (latest !== undefined) checkReadable(subject, latest, ours)
  return registry.register(subject, ours)
}

function checkReadable(subject: string, theirs: string, ours: string): void {
  try {
    parseSchema(ours).createResolver(parseSchema(theirs), { ignoreNamespaces: true })
  } catch (error) {
    const difference = messageOf(error)
    throw new WeirError('SCHEMA_CONFLICT', `${subject} holds a schema that ours cannot read: ${difference}`, {
      cause: error,
    })
  }
}

/**
 * What Weir asks of a schema registry. Behind it stands one that speaks the Confluent API (http.ts).
 *
 * The meaning of an id never changes: a registry gives one schema for it for ever.
 */

/** `avro`: its schema as JSON text. `other`: a schema that is not Avro. `unknown`: the registry has no such id. */
export type FoundSchema =
  | { readonly kind: 'avro'; readonly schema: string }
  | { readonly kind: 'other'; readonly type: string }
  | { readonly kind: 'unknown' }

export interface SchemaRegistry {
  /** @throws WeirError REGISTRY_UNREACHABLE */
  schemaOf(id: number): Promise<FoundSchema>
  /** The newest Avro schema of a subject as JSON text; undefined for a subject that does not exist. @throws as above */
  latest(subject: string): Promise<string | undefined>
  /**
   * Registers a schema (JSON text), or finds it where the subject has it already.
   * @returns its id
   * @throws WeirError SCHEMA_CONFLICT when the registry refuses it; REGISTRY_UNREACHABLE
   */
  register(subject: string, schema: string): Promise<number>
}

/**
 * The schemas that records on the topics were written with, by their id in the registry.
 *
 * Invariants:
 * 1. Decoding is synchronous, so every id is looked up before: `prepare` sees each batch of a poll first.
 * 2. At most `schemasMax` are kept (I6), more only when one poll holds more; those longest unasked go first.
 * 3. A registry that does not answer is an error of `prepare`, never a property of a record (I7).
 */
import avro from 'avsc'
import { assert, type Clock, messageOf, millis } from '../../kernel/index.js'
import { framingBytes, isFramed, schemaIdOf } from './framing.js'
import type { FoundSchema, SchemaRegistry } from './port.js'

/** What an id stands for: the writer's type, or why its records cannot be read. */
export type WriterSchema =
  | { readonly kind: 'avro'; readonly type: avro.Type }
  | { readonly kind: 'unreadable'; readonly code: 'UNKNOWN_SCHEMA' | 'INCOMPATIBLE_SCHEMA'; readonly why: string }

/** The columns of a batch of records that count here (log/port.ts, RecordBatch). */
export interface RecordValues {
  readonly count: number
  readonly bytes: Buffer
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
}

export interface WriterSchemasOptions {
  readonly schemasMax?: number
  /** An id that the registry does not know is asked for again so often, this far apart: its followers may be behind. */
  readonly unknownAttempts?: number
  readonly unknownPauseMs?: number
  /** For how long an id is then taken for unknown. */
  readonly unknownForMs?: number
}

const requestsAtOnce = 8

interface Kept {
  readonly schema: WriterSchema
  /** For an unknown id, when to ask again. */
  readonly until: number
}

export class WriterSchemas {
  readonly #registry: SchemaRegistry
  readonly #clock: Clock
  readonly #options: Required<WriterSchemasOptions>
  /** The one asked for last comes last. */
  readonly #kept = new Map<number, Kept>()

  constructor(registry: SchemaRegistry, clock: Clock, options: WriterSchemasOptions = {}) {
    this.#registry = registry
    this.#clock = clock
    this.#options = { schemasMax: 1_000, unknownAttempts: 3, unknownPauseMs: 200, unknownForMs: 60_000, ...options }
  }

  /**
   * Looks up the schemas of all records in the batches. Nothing is asked when they are all known, as they nearly always are.
   * @throws WeirError REGISTRY_UNREACHABLE; what was found until then is kept
   */
  async prepare(batches: readonly RecordValues[]): Promise<void> {
    const ids = new Set<number>()
    for (const batch of batches) collectIds(batch, ids)
    const nowMs = this.#clock.nowMs()
    const missing: number[] = []
    for (const id of ids) {
      const kept = this.#kept.get(id)
      if (kept !== undefined) this.#kept.delete(id)
      if (kept !== undefined && nowMs < kept.until) this.#kept.set(id, kept)
      else missing.push(id)
    }
    const lookUpNext = async (): Promise<void> => {
      for (let id = missing.pop(); id !== undefined; id = missing.pop()) this.#kept.set(id, await this.#lookUp(id))
    }
    await Promise.all(Array.from({ length: Math.min(requestsAtOnce, missing.length) }, lookUpNext))
    for (const id of this.#kept.keys()) {
      if (this.#kept.size <= Math.max(this.#options.schemasMax, ids.size)) break
      this.#kept.delete(id)
    }
  }

  /** The schema of an id that `prepare` has seen in the batches being decoded. */
  get(id: number): WriterSchema {
    const kept = this.#kept.get(id)
    assert(kept !== undefined, `schema ${id} was not prepared`)
    return kept.schema
  }

  async #lookUp(id: number): Promise<Kept> {
    let found = await this.#registry.schemaOf(id)
    for (let attempt = 1; found.kind === 'unknown' && attempt < this.#options.unknownAttempts; attempt++) {
      await this.#clock.sleep(millis(this.#options.unknownPauseMs))
      found = await this.#registry.schemaOf(id)
    }
    const forMs = found.kind === 'unknown' ? this.#options.unknownForMs : Number.POSITIVE_INFINITY
    return { schema: writerSchema(id, found), until: this.#clock.nowMs() + forMs }
  }
}

function writerSchema(id: number, found: FoundSchema): WriterSchema {
  if (found.kind === 'unknown') {
    return { kind: 'unreadable', code: 'UNKNOWN_SCHEMA', why: `the registry has no schema ${id}` }
  }
  const unreadable = (why: string): WriterSchema => ({ kind: 'unreadable', code: 'INCOMPATIBLE_SCHEMA', why })
  if (found.kind === 'other') return unreadable(`schema ${id} is ${found.type}, not Avro`)
  try {
    return { kind: 'avro', type: parseSchema(found.schema) }
  } catch (error) {
    return unreadable(`schema ${id} is no valid Avro schema: ${messageOf(error)}`)
  }
}

/** @throws Error for what is no Avro schema */
export function parseSchema(schema: string): avro.Type {
  return avro.Type.forSchema(JSON.parse(schema) as avro.Schema)
}

function collectIds({ count, bytes, valueStart, valueEnd }: RecordValues, ids: Set<number>): void {
  let last = -1
  for (let i = 0; i < count; i++) {
    const start = valueStart[i]!
    if (start < 0 || valueEnd[i]! - start < framingBytes || !isFramed(bytes, start)) continue
    const id = schemaIdOf(bytes, start)
    if (id === last) continue
    last = id
    ids.add(id)
  }
}

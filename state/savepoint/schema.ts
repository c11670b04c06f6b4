/**
 * What a step keeps, in words that outlive the code that keeps it: a savepoint names it, and a later plan is held against it
 * (migration.ts).
 */
import { AssertionError } from '../../kernel/index.js'
import type { MapOptions, PagedCodec, PagedObject, StateCodec, StateFactory } from '../handles.js'
import type { HandleInspection, Json } from '../inspect.js'

/** A codec's bytes: of two that are equal in all of this, one reads what the other wrote. */
export interface CodecSchema {
  readonly name: string
  readonly version: number
  /** Avro, as canonical JSON: other schemas may read it by the rules of resolution. */
  readonly schema?: string
  /** What else the bytes depend on. */
  readonly layout?: Json
}

export interface HandleSchema {
  readonly name: string
  readonly kind: HandleInspection['kind']
  readonly codec: CodecSchema
  /** Of state that ends (expiring.ts). */
  readonly ttl_ms?: number
  readonly entries_max?: number
}

/** Whether it lies in one piece, with the times at which it was set: state that ends does. */
export const isHeld = ({ ttl_ms, entries_max }: HandleSchema): boolean =>
  ttl_ms !== undefined || entries_max !== undefined

export interface StepStateSchema {
  readonly step: string
  /** Of a plan's own steps between slots: empty once a plan is closed, so that nothing of it moves to the next. */
  readonly exchange?: true
  readonly handles: readonly HandleSchema[]
}

/** Runs a declaration for what it declares. The handles that it gets cannot be used. */
export function declaredState(declare: (factory: StateFactory) => unknown): readonly HandleSchema[] {
  const handles: HandleSchema[] = []
  const note =
    (kind: HandleSchema['kind']) =>
    (name: string, codec: StateCodec<unknown> | PagedCodec<PagedObject>, options: MapOptions = {}): never => {
      handles.push({
        name,
        kind,
        codec: codecSchemaOf(codec),
        ...(options.ttl !== undefined && { ttl_ms: options.ttl }),
        ...(options.entriesMax !== undefined && { entries_max: options.entriesMax }),
      })
      return unusable as never
    }
  // Codecs of every type are taken for what they are called alone.
  declare({ value: note('value'), map: note('map'), paged: note('paged') } as unknown as StateFactory)
  return handles
}

function codecSchemaOf(codec: StateCodec<unknown> | PagedCodec<PagedObject>): CodecSchema {
  const { name, version } = codec
  if ('schema' in codec && codec.schema !== undefined) return { name, version, schema: codec.schema }
  if ('layout' in codec && codec.layout !== undefined) return { name, version, layout: codec.layout }
  return { name, version }
}

const unusable = new Proxy(
  {},
  {
    get: () => {
      throw new AssertionError('state is declared here, and used in create')
    },
  },
)

/**
 * From a writer's schema to the steps that read its records as raw fields of ours: which of its fields go where, and how the
 * others are passed over. Whether the two schemas fit, by Avro's rules of resolution, is for avsc to say; the steps are
 * ours, because avsc loops as often as a hostile record says, takes bytes that are not UTF-8, and reads a map into an
 * object (`__proto__` vanishes, of two equal keys one).
 */
import type avro from 'avsc'
import { assertNever } from '../../kernel/index.js'
import { Kind, type RawFields } from '../avro/raw-fields.js'
import type { Cursor } from './cursor.js'

type Skip = (cursor: Cursor) => void
type Take = (cursor: Cursor, raw: RawFields, field: number) => void

export interface ReadPlan {
  /** Reads the writer's fields in its order. */
  readonly steps: readonly ((cursor: Cursor, raw: RawFields) => void)[]
  /** The writer's fields that ours has not. */
  readonly unknownFields: number
}

/** Records within records, in fields that are passed over. */
const depthMax = 100

/**
 * @param names of our fields, in the order of the raw fields
 * @throws Error in avsc's words when the writer's records cannot be read as ours
 */
export function readPlan(writer: avro.Type, reader: avro.Type, names: readonly string[]): ReadPlan {
  // Avro compares records by their names without namespaces.
  reader.createResolver(writer, { ignoreNamespaces: true })
  const skips = new Map<avro.Type, Skip>()
  let unknownFields = 0
  const steps = (writer as avro.types.RecordType).fields.map(({ name, type }) => {
    const field = names.indexOf(name)
    if (field < 0) {
      unknownFields++
      return skipOf(type, skips)
    }
    const take = takeOf(type)
    return (cursor: Cursor, raw: RawFields) => take(cursor, raw, field)
  })
  return { steps, unknownFields }
}

const branchesOf = (type: avro.Type): readonly avro.Type[] => (type as avro.types.UnwrappedUnionType).types

/** How a value of a field is taken that resolution has found to be a string, a long, a map of strings, or null. */
function takeOf(type: avro.Type): Take {
  switch (type.typeName) {
    case 'string':
    case 'bytes':
      return (cursor, raw, field) => {
        raw.kinds[field] = Kind.string
        raw.texts[field] = cursor.text()
      }
    case 'int':
    case 'long':
      return (cursor, raw, field) => {
        raw.kinds[field] = Kind.whole
        raw.wholes[field] = cursor.long()
      }
    case 'null':
      return (_, raw, field) => {
        raw.kinds[field] = Kind.null
      }
    case 'map':
      return takeMap(textOf((type as avro.types.MapType).valuesType as avro.Type))
    case 'union:unwrapped':
    case 'union:wrapped': {
      const branches = branchesOf(type).map(takeOf)
      return (cursor, raw, field) => {
        const branch = branches[cursor.long()]
        if (branch === undefined) cursor.broken = true
        else branch(cursor, raw, field)
      }
    }
    default:
      throw new Error(`a field of type ${type.typeName} cannot be read`)
  }
}

/** How a value of a map is taken that resolution has found to be a string. */
function textOf(type: avro.Type): (cursor: Cursor) => string {
  if (type.typeName === 'string' || type.typeName === 'bytes') return cursor => cursor.text()
  const branches = branchesOf(type).map(textOf)
  return cursor => {
    const branch = branches[cursor.long()]
    if (branch !== undefined) return branch(cursor)
    cursor.broken = true
    return ''
  }
}

const noEntries: ReadonlyMap<string, string> = new Map()

function takeMap(text: (cursor: Cursor) => string): Take {
  return (cursor, raw, field) => {
    raw.kinds[field] = Kind.map
    raw.map = noEntries
    if (cursor.isAtZero()) return
    const map = new Map<string, string>()
    blocks(cursor, () => {
      const key = cursor.text()
      // As in JSON: a name that stands twice is refused.
      if (map.has(key)) cursor.broken = true
      map.set(key, text(cursor))
    })
    raw.map = map
  }
}

function skipOf(type: avro.Type, made: Map<avro.Type, Skip>): Skip {
  const known = made.get(type)
  if (known !== undefined) return known
  // A schema may contain itself: what is met again inside goes through the map when it runs.
  made.set(type, cursor => made.get(type)!(cursor))
  const skip = makeSkip(type, made)
  made.set(type, skip)
  return skip
}

function makeSkip(type: avro.Type, made: Map<avro.Type, Skip>): Skip {
  const kind = type.typeName as SkippedKind
  switch (kind) {
    case 'null':
      return () => {}
    case 'boolean':
      return cursor => cursor.skip(1)
    case 'int':
    case 'long':
    case 'enum':
      return cursor => cursor.skipLong()
    case 'float':
      return cursor => cursor.skip(4)
    case 'double':
      return cursor => cursor.skip(8)
    case 'bytes':
    case 'string':
      return cursor => cursor.skip(cursor.long())
    case 'fixed': {
      const { size } = type as avro.types.FixedType
      return cursor => cursor.skip(size)
    }
    case 'array': {
      const item = skipOf((type as avro.types.ArrayType).itemsType, made)
      return cursor => blocks(cursor, () => item(cursor))
    }
    case 'map': {
      const value = skipOf((type as avro.types.MapType).valuesType as avro.Type, made)
      return cursor =>
        blocks(cursor, () => {
          cursor.skip(cursor.long())
          value(cursor)
        })
    }
    case 'union:unwrapped':
    case 'union:wrapped': {
      const branches = branchesOf(type).map(branch => skipOf(branch, made))
      return cursor => {
        const branch = branches[cursor.long()]
        if (branch === undefined) cursor.broken = true
        else branch(cursor)
      }
    }
    case 'record':
    case 'error': {
      const fields = (type as avro.types.RecordType).fields.map(field => skipOf(field.type, made))
      return cursor => {
        if (++cursor.depth > depthMax) cursor.broken = true
        for (let i = 0; i < fields.length && !cursor.broken; i++) fields[i]!(cursor)
        cursor.depth--
      }
    }
    default:
      return assertNever(kind)
  }
}

type SkippedKind =
  | 'null'
  | 'boolean'
  | 'int'
  | 'long'
  | 'enum'
  | 'float'
  | 'double'
  | 'bytes'
  | 'string'
  | 'fixed'
  | 'array'
  | 'map'
  | 'union:unwrapped'
  | 'union:wrapped'
  | 'record'
  | 'error'

/**
 * The blocks of an array or map: a count and that many items, until a count of 0; a negative count is followed by the
 * block's size in bytes. Bounded by the record's bytes: items that take none (nulls) are not counted out (I6).
 */
function blocks(cursor: Cursor, item: () => void): void {
  for (let count = cursor.long(); count !== 0 && !cursor.broken; count = cursor.long()) {
    if (count < 0) {
      count = -count
      cursor.skipLong()
    }
    for (let i = 0; i < count && !cursor.broken; i++) {
      const before = cursor.at
      item()
      if (cursor.at === before) break
    }
  }
}

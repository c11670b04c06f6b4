/**
 * Values of state by an Avro schema of the user's: what is kept evolves with the schema, by Avro's rules of resolution.
 *
 * Invariants (codecs.ts): what `accepts` takes is read back as it was, and equal values give equal bytes (I3). So a schema has no
 * maps, whose order is nobody's, and no unions of which a value could be of two branches.
 */
import avro from 'avsc'
import { ByteReader, ByteWriter, messageOf, sha256Hex, WeirError } from '../../kernel/index.js'
import type { StateCodec } from '../handles.js'
import { wellFormed } from '../order.js'

type Check = (value: unknown) => boolean

/**
 * A codec for values of this schema. A record is an object with all of its fields and no others; a union with null is the value or
 * null; bytes are a Buffer; numbers are no NaN, those of an int or long are not -0, those of a long below 2^52 to both sides, those of a float as exact as a float is.
 * @param schema as JSON, or its text
 * @throws WeirError INVALID_STATE_SCHEMA
 */
export function avroCodec<V>(schema: string | object): StateCodec<V> {
  const text = canonical(schema)
  const { type, check } = parse(text)
  return {
    name: `avro-${sha256Hex(text).slice(0, 16)}`,
    version: 1,
    schema: text,
    accepts: check,
    encode: (value, into) => into.blob(type.toBuffer(value)),
    decode: from => type.fromBuffer(from.blob()) as V,
  }
}

/** Why values of one schema cannot be read by the other; undefined when they can. */
export function whyUnresolvable(from: string, to: string): string | undefined {
  try {
    resolve(from, to)
    return undefined
  } catch (error) {
    return `by the rules of Avro the new schema cannot read the old one: ${messageOf(error)}`
  }
}

/** Turns what a codec of one schema wrote into what that of the other would have written. @throws Error without the value in it */
export function resolve(from: string, to: string): (bytes: Buffer) => Buffer {
  const { type, check } = parse(to)
  const resolver = type.createResolver(parse(from).type)
  const into = new ByteWriter()
  return bytes => {
    let value: unknown
    try {
      value = type.fromBuffer(new ByteReader(bytes).blob(), resolver)
    } catch {
      // What avsc says would quote the value.
      throw new RangeError('a value cannot be read by the new schema')
    }
    if (!check(value)) throw new RangeError('a value has no exact form in the new schema')
    into.reset()
    into.blob(type.toBuffer(value))
    return into.take()
  }
}

/** The same text for schemas that differ in white space, in the order of attributes, or in their documentation. */
function canonical(schema: string | object): string {
  try {
    const json: unknown = typeof schema === 'string' && /^\s*[[{"]/.test(schema) ? JSON.parse(schema) : schema
    return JSON.stringify(json, (attribute, value: unknown) => {
      if (attribute === 'doc') return undefined
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
      return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    })
  } catch (error) {
    throw invalid(messageOf(error))
  }
}

const invalid = (what: string): WeirError => new WeirError('INVALID_STATE_SCHEMA', what)

/** @throws WeirError INVALID_STATE_SCHEMA */
function parse(text: string): { readonly type: avro.Type; readonly check: Check } {
  let type: avro.Type
  try {
    type = avro.Type.forSchema(JSON.parse(text) as avro.Schema, { wrapUnions: 'never' })
  } catch (error) {
    throw invalid(messageOf(error))
  }
  return { type, check: checkOf(type, new Map()) }
}

/** Stricter than avsc, which fills in what is missing, and passes over what is too much. @param known of types that hold themselves */
function checkOf(type: avro.Type, known: Map<avro.Type, Check>): Check {
  const before = known.get(type)
  if (before !== undefined) return before
  known.set(type, value => known.get(type)!(value))
  const check = madeCheck(type, known)
  known.set(type, check)
  return check
}

function madeCheck(type: avro.Type, known: Map<avro.Type, Check>): Check {
  switch (type.typeName) {
    // -0 would be read back as 0.
    case 'int':
      return value => type.isValid(value) && !Object.is(value, -0)
    // Beyond this avsc writes, or reads, another number.
    case 'long':
      return value => Number.isInteger(value) && Math.abs(value as number) < 2 ** 52 && !Object.is(value, -0)
    case 'float':
      return value => typeof value === 'number' && Math.fround(value) === value
    case 'double':
      return value => typeof value === 'number' && !Number.isNaN(value)
    case 'string':
      return value => typeof value === 'string' && wellFormed(value) === value
    case 'array': {
      const item = checkOf((type as avro.types.ArrayType).itemsType, known)
      return value => Array.isArray(value) && [...value].every(item)
    }
    case 'record':
      return recordCheck(type as avro.types.RecordType, known)
    case 'union:unwrapped': {
      const branches = (type as avro.types.UnwrappedUnionType).types.map(branch => checkOf(branch, known))
      return value => branches.some(branch => branch(value))
    }
    case 'map':
      throw invalid('a map has no order of its own: use an array of records, or state.map')
    default:
      return value => type.isValid(value)
  }
}

function recordCheck(type: avro.types.RecordType, known: Map<avro.Type, Check>): Check {
  const fields = type.fields.map(field => ({ name: field.name, check: checkOf(field.type, known) }))
  return value => {
    if (typeof value !== 'object' || value === null || Object.keys(value).length !== fields.length) return false
    return fields.every(
      ({ name, check }) => Object.hasOwn(value, name) && check((value as Record<string, unknown>)[name]),
    )
  }
}

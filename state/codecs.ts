/**
 * Codecs for state of ordinary shapes. Invariant: decode(encode(v)) is v exactly, and equal values give equal bytes, so
 * that a state read back from disk cannot be told from one that never left memory (I3).
 */
import type { ByteReader, ByteWriter } from '../kernel/index.js'
import type { StateCodec } from './handles.js'
import { wellFormed } from './order.js'

/** Text without lone surrogates: their UTF-8 reads back as another text. */
export const stringCodec: StateCodec<string> = {
  name: 'string',
  version: 1,
  accepts: value => typeof value === 'string' && wellFormed(value) === value,
  encode: (value, into) => into.string(value),
  decode: from => from.string(),
}

/** Any double; every NaN has the same bytes, and -0 stays -0. */
export const f64Codec: StateCodec<number> = {
  name: 'f64',
  version: 1,
  accepts: value => typeof value === 'number',
  encode: (value, into) => into.f64(Number.isNaN(value) ? Number.NaN : value),
  decode: from => from.f64(),
}

/** Whole numbers from -(2^52) to 2^52 - 1; small ones take one byte. Not -0, which would be read back as 0: add 0 to what was rounded. */
export const intCodec: StateCodec<number> = {
  name: 'int',
  version: 1,
  accepts: value => Number.isInteger(value) && value >= -(2 ** 52) && value < 2 ** 52 && !Object.is(value, -0),
  encode: (value, into) => into.zigzag(value),
  decode: from => from.zigzag(),
}

export const booleanCodec: StateCodec<boolean> = {
  name: 'boolean',
  version: 1,
  accepts: value => typeof value === 'boolean',
  encode: (value, into) => into.u8(value ? 1 : 0),
  decode: from => from.u8() === 1,
}

/** Not a Buffer or another class of its own, which would be read back as a plain array: `Uint8Array.from(buffer)`. */
export const bytesCodec: StateCodec<Uint8Array> = {
  name: 'bytes',
  version: 1,
  accepts: value => value instanceof Uint8Array && Object.getPrototypeOf(value) === Uint8Array.prototype,
  encode: (value, into) => into.blob(value),
  // a copy: the reader's buffer may be a whole block
  decode: from => Uint8Array.from(from.blob()),
}

export function listOf<V>(item: StateCodec<V>): StateCodec<readonly V[]> {
  return {
    name: `list<${item.name}@${item.version}>`,
    version: 1,
    // Spread: `every` passes over holes, which `encode` meets.
    accepts: values => Array.isArray(values) && [...values].every(value => item.accepts?.(value) ?? true),
    encode(values, into) {
      into.varint(values.length)
      for (const value of values) item.encode(value, into)
    },
    decode(from) {
      const count = from.varint()
      // no array of a size that a damaged count claims: an item that is not there throws first
      const values: V[] = []
      for (let i = 0; i < count; i++) values.push(item.decode(from))
      return values
    },
  }
}

export function optional<V>(item: StateCodec<V>): StateCodec<V | null> {
  return {
    name: `optional<${item.name}@${item.version}>`,
    version: 1,
    accepts: value => value === null || (item.accepts?.(value) ?? true),
    encode(value, into) {
      into.u8(value === null ? 0 : 1)
      if (value !== null) item.encode(value, into)
    },
    decode: from => (from.u8() === 0 ? null : item.decode(from)),
  }
}

/** A record of named fields and no others, written in the order of declaration; the order is part of the codec's name. */
export function recordOf<R extends object>(fields: { readonly [K in keyof R]: StateCodec<R[K]> }): StateCodec<R> {
  const codecs = Object.entries(fields) as [string, StateCodec<unknown>][]
  return {
    name: `record<${codecs.map(([name, codec]) => `${name}:${codec.name}@${codec.version}`).join(',')}>`,
    version: 1,
    accepts: value =>
      typeof value === 'object' &&
      value !== null &&
      Object.keys(value).length === codecs.length &&
      codecs.every(([name, codec]) => Object.hasOwn(value, name) && (codec.accepts?.(value[name as keyof R]) ?? true)),
    encode(value: R, into: ByteWriter) {
      for (const [name, codec] of codecs) codec.encode(value[name as keyof R], into)
    },
    decode(from: ByteReader): R {
      return Object.fromEntries(codecs.map(([name, codec]) => [name, codec.decode(from)])) as R
    },
  }
}

/**
 * What CSV, JSON and Avro have in common: for each field that a record type names, what stood there. Formats fill it, record
 * types read it, so that a rule about a field is written once.
 */
import { isUtf8 } from 'node:buffer'
import { RecordError } from './record-error.js'

/** What stood in the place of a field's value; `whole` and `map` come from formats that are not text. */
export const Kind = {
  absent: 0,
  null: 1,
  string: 2,
  number: 3,
  boolean: 4,
  object: 5,
  array: 6,
  whole: 7,
  map: 8,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** The fields of one record, by number; reused from record to record. */
export interface RawFields {
  readonly kinds: Uint8Array
  /** The string, or the text of the number or object exactly as it stood; '' for other kinds. */
  readonly texts: string[]
  /** The value of a field of kind `whole`; beyond 2^53 only its sign and that it is beyond are right. */
  readonly wholes: Float64Array
  /** The value of the record's field of kind `map`: a record type has one at most. */
  map: ReadonlyMap<string, string>
}

const noMap: ReadonlyMap<string, string> = new Map()

export function rawFields(count: number): RawFields {
  const texts = new Array<string>(count).fill('')
  return { kinds: new Uint8Array(count), texts, wholes: new Float64Array(count), map: noMap }
}

/** Fills raw fields from the bytes of one record. */
export interface RawReader {
  readonly fields: RawFields
  readonly unknownFields: number
  read(bytes: Buffer, start: number, end: number): RecordError | undefined
}

/** The error for bytes that are not UTF-8; undefined when they are. */
export function encodingError(bytes: Buffer, start: number, end: number): RecordError | undefined {
  return isUtf8(bytes.subarray(start, end))
    ? undefined
    : new RecordError('INVALID_ENCODING', 'the record is not valid UTF-8')
}

const scratch = Buffer.allocUnsafe(512)

/** Parses a short text with one of the byte parsers; texts beyond 128 characters are refused by them all. */
export function withBytes(
  text: string,
  refused: number,
  parse: (bytes: Buffer, from: number, to: number) => number,
): number {
  return text.length > 128 ? refused : parse(scratch, 0, scratch.write(text, 0, 'utf8'))
}

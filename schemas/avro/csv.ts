/**
 * CSV by RFC 4180, one record a physical line: a quoted field that does not end on its line is malformed, because a
 * stray quote must not swallow the lines after it.
 */
import { WeirError } from '../../kernel/index.js'
import { encodingError, Kind, type RawFields, type RawReader, rawFields } from './raw-fields.js'
import { RecordError, recordBytesMax, tooLarge } from './record-error.js'

const COMMA = 44
const QUOTE = 34
const CR = 13

/** Splits one line into fields; spans are bytes, valid until the next split. */
export class CsvLine {
  count = 0
  readonly #from: number[] = []
  readonly #to: number[] = []
  /** The field was quoted and holds doubled quotes. */
  readonly #doubled: boolean[] = []

  split(bytes: Buffer, start: number, end: number): RecordError | undefined {
    this.count = 0
    let at = start
    for (;;) {
      if (at < end && bytes[at] === QUOTE) {
        let close = at + 1
        let doubled = false
        for (; ; close++) {
          close = bytes.indexOf(QUOTE, close)
          if (close < 0 || close >= end) return malformed(`quoted field ${this.count + 1} does not end on its line`)
          if (close + 1 === end || bytes[close + 1] !== QUOTE) break
          doubled = true
          close++
        }
        this.#add(at + 1, close, doubled)
        at = close + 1
        if (at < end && bytes[at] !== COMMA) return malformed(`field ${this.count} goes on after its closing quote`)
      } else {
        const from = at
        for (; at < end; at++) {
          const byte = bytes[at]
          if (byte === COMMA) break
          if (byte === QUOTE) return malformed(`field ${this.count + 1} holds a quote but is not quoted`)
        }
        this.#add(from, at, false)
      }
      if (at >= end) return undefined
      at++
    }
  }

  /** A copy of field `index`. */
  text(bytes: Buffer, index: number): string {
    const text = bytes.toString('utf8', this.#from[index]!, this.#to[index]!)
    return this.#doubled[index] ? text.replaceAll('""', '"') : text
  }

  #add(from: number, to: number, doubled: boolean): void {
    this.#from[this.count] = from
    this.#to[this.count] = to
    this.#doubled[this.count] = doubled
    this.count++
  }
}

function malformed(message: string): RecordError {
  return new RecordError('MALFORMED_RECORD', message)
}

/**
 * For each column of the header the number of the field that it holds, -1 for columns that are ignored.
 * Names compare without case; a UTF-8 byte order mark and a line end are passed over.
 * @throws WeirError INPUT_UNREADABLE when a required column is missing, one of `names` stands twice, the line is no CSV, or it
 * holds a CR that is no part of its end
 */
export function columnRoles(headerLine: string, names: readonly string[], required: readonly string[]): Int8Array {
  const bytes = Buffer.from(headerLine.startsWith('\ufeff') ? headerLine.slice(1) : headerLine)
  let end = bytes.length
  if (end > 0 && bytes[end - 1] === 10) end--
  if (end > 0 && bytes[end - 1] === CR) end--
  if (bytes.subarray(0, end).includes(CR)) {
    // With such line ends the whole file is one line: read as a header, all its records would be ignored columns.
    throw new WeirError('INPUT_UNREADABLE', 'the header holds a bare CR: lines end with LF or CR LF')
  }
  const line = new CsvLine()
  const problem = line.split(bytes, 0, end)
  if (problem !== undefined) throw new WeirError('INPUT_UNREADABLE', `the header is no CSV: ${problem.message}`)
  const roles = new Int8Array(line.count).fill(-1)
  const seen = new Set<string>()
  for (let column = 0; column < line.count; column++) {
    const name = line.text(bytes, column).toLowerCase()
    const field = names.indexOf(name)
    if (field >= 0 && seen.has(name)) {
      throw new WeirError('INPUT_UNREADABLE', `the header names column ${JSON.stringify(name)} twice`)
    }
    seen.add(name)
    roles[column] = field
  }
  const missing = required.filter(name => !seen.has(name))
  if (missing.length > 0) throw new WeirError('INPUT_UNREADABLE', `the header lacks ${missing.join(', ')}`)
  return roles
}

/** Reads lines under a header. An empty field is an absent one: CSV cannot tell them apart. */
export class CsvReader implements RawReader {
  readonly fields: RawFields
  readonly unknownFields = 0
  readonly #roles: Int8Array
  readonly #line = new CsvLine()

  constructor(roles: Int8Array, fieldCount: number) {
    this.#roles = roles
    this.fields = rawFields(fieldCount)
  }

  read(bytes: Buffer, start: number, end: number): RecordError | undefined {
    if (end - start > recordBytesMax) return tooLarge(end - start)
    const encoding = encodingError(bytes, start, end)
    if (encoding !== undefined) return encoding
    const problem = this.#line.split(bytes, start, end)
    if (problem !== undefined) return problem
    const roles = this.#roles
    if (this.#line.count !== roles.length) {
      return malformed(`the line has ${this.#line.count} fields where the header has ${roles.length}`)
    }
    const { kinds, texts } = this.fields
    for (let column = 0; column < roles.length; column++) {
      const field = roles[column]!
      if (field < 0) continue
      const text = this.#line.text(bytes, column)
      texts[field] = text
      kinds[field] = text === '' ? Kind.absent : Kind.string
    }
    return undefined
  }
}

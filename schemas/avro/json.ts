/**
 * One JSON object as raw fields. Names are matched exactly, or without case where the format says so; a known name that
 * stands twice makes the record malformed; unknown names (`__proto__` among them) are passed over and counted.
 */
import { JsonScanner, jsonString } from './json-scanner.js'
import { encodingError, Kind, type RawFields, type RawReader, rawFields } from './raw-fields.js'
import { RecordError, recordBytesMax, tooLarge } from './record-error.js'

const QUOTE = 34
const loneSurrogate = /\p{Cs}/u

export class JsonReader implements RawReader {
  readonly fields: RawFields
  unknownFields = 0
  readonly #names: readonly string[]
  readonly #numbers: ReadonlyMap<string, number>
  readonly #foldCase: boolean
  readonly #scanner = new JsonScanner()

  constructor(names: readonly string[], options: { readonly foldCase: boolean }) {
    this.fields = rawFields(names.length)
    this.#names = names
    this.#numbers = new Map(names.map((name, number) => [name, number]))
    this.#foldCase = options.foldCase
  }

  read(bytes: Buffer, start: number, end: number): RecordError | undefined {
    if (end - start > recordBytesMax) return tooLarge(end - start)
    const problem = this.#object(bytes, start, end)
    // strings decoded from invalid UTF-8 hold U+FFFD: the whole record is refused, whatever else is wrong with it
    if (problem !== undefined || this.#scanner.nonAscii) return encodingError(bytes, start, end) ?? problem
    return undefined
  }

  #object(bytes: Buffer, start: number, end: number): RecordError | undefined {
    const scanner = this.#scanner
    scanner.reset(bytes, end)
    this.fields.kinds.fill(Kind.absent)
    let at = scanner.space(start)
    if (scanner.byte(at) !== 123) return malformed('the record is not a JSON object')
    at = scanner.space(at + 1)
    if (scanner.byte(at) === 125) return this.#ending(at + 1, end)
    for (;;) {
      if (scanner.byte(at) !== QUOTE) return notJson
      const nameEnd = scanner.string(at)
      if (nameEnd < 0) return notJson
      const name = jsonString(bytes, at + 1, nameEnd - 1, scanner.plain)
      const colon = scanner.space(nameEnd)
      if (scanner.byte(colon) !== 58) return notJson
      const from = scanner.space(colon + 1)
      at = scanner.value(from)
      if (at < 0) return notJson
      const number = this.#numbers.get(this.#foldCase ? name.toLowerCase() : name)
      if (number === undefined) this.unknownFields++
      else {
        const problem = this.#take(number, bytes, from, at)
        if (problem !== undefined) return problem
      }
      at = scanner.space(at)
      const next = scanner.byte(at)
      if (next === 125) return this.#ending(at + 1, end)
      if (next !== 44) return notJson
      at = scanner.space(at + 1)
    }
  }

  #ending(at: number, end: number): RecordError | undefined {
    return this.#scanner.space(at) === end ? undefined : malformed('something follows the JSON object')
  }

  #take(number: number, bytes: Buffer, from: number, to: number): RecordError | undefined {
    const { kinds, texts } = this.fields
    if (kinds[number] !== Kind.absent) return malformed(`${this.#names[number]} stands twice`)
    const kind = kindOf(bytes[from]!)
    kinds[number] = kind
    if (kind === Kind.string) {
      const text = jsonString(bytes, from + 1, to - 1, this.#scanner.plain)
      if (!this.#scanner.plain && loneSurrogate.test(text)) {
        return new RecordError('INVALID_ENCODING', `${this.#names[number]} holds half of a surrogate pair`)
      }
      texts[number] = text
    } else {
      texts[number] = kind === Kind.number ? bytes.toString('latin1', from, to) : ''
      if (kind === Kind.object) texts[number] = bytes.toString('utf8', from, to)
    }
    return undefined
  }
}

function kindOf(first: number): Kind {
  switch (first) {
    case QUOTE:
      return Kind.string
    case 123:
      return Kind.object
    case 91:
      return Kind.array
    case 110:
      return Kind.null
    case 116:
    case 102:
      return Kind.boolean
    default:
      return Kind.number
  }
}

function malformed(message: string): RecordError {
  return new RecordError('MALFORMED_RECORD', message)
}

const notJson = malformed('the record is not valid JSON')

/**
 * A JSON object whose values are all strings, as a map in the order of the text.
 * @param text known to be valid JSON, or not known at all
 * @returns undefined when it is anything else, or a name stands twice
 */
export function parseStringMap(text: string): Map<string, string> | undefined {
  const bytes = Buffer.from(text)
  const scanner = new JsonScanner()
  scanner.reset(bytes, bytes.length)
  const map = new Map<string, string>()
  let at = scanner.space(0)
  if (scanner.byte(at) !== 123) return undefined
  at = scanner.space(at + 1)
  if (scanner.byte(at) === 125) return scanner.space(at + 1) === bytes.length ? map : undefined
  for (;;) {
    if (scanner.byte(at) !== QUOTE) return undefined
    const nameEnd = scanner.string(at)
    if (nameEnd < 0) return undefined
    const name = jsonString(bytes, at + 1, nameEnd - 1, scanner.plain)
    const colon = scanner.space(nameEnd)
    const from = scanner.space(colon + 1)
    if (scanner.byte(colon) !== 58 || scanner.byte(from) !== QUOTE) return undefined
    const to = scanner.string(from)
    if (to < 0 || map.has(name)) return undefined
    const value = jsonString(bytes, from + 1, to - 1, scanner.plain)
    if (loneSurrogate.test(name) || loneSurrogate.test(value)) return undefined
    map.set(name, value)
    at = scanner.space(to)
    if (scanner.byte(at) === 125) return scanner.space(at + 1) === bytes.length ? map : undefined
    if (scanner.byte(at) !== 44) return undefined
    at = scanner.space(at + 1)
  }
}

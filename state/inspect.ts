/**
 * What a key's state looks like to a person: plain JSON, bounded, and without ids unless they are asked for.
 *
 * Invariants: 1. looking changes nothing: no entry becomes resident, dirty or more recently used, and the meter stays (I3);
 * 2. whatever a user's codec gives is taken for personal data and masked; a description by the operator that owns the
 * object (PagedCodec.inspect) holds none; 3. every part has a bound with a name, and says so when it met it (I6).
 */
import { WeirError } from '../kernel/index.js'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

export interface InspectOptions {
  /** Strings and bytes as they are; otherwise their first and last character and their length. */
  readonly showPii: boolean
}

/** What one handle holds of the key. */
export interface CellInspection {
  /** False: an operator that asks finds nothing. */
  readonly present: boolean
  /** null when absent, and for a paged object whose codec describes none. */
  readonly value: Json
  /** There is more than the bounds below let through. */
  readonly truncated: boolean
  /** Paged objects that expire: event time, ISO. */
  readonly expires_at?: string
}

export interface HandleInspection extends CellInspection {
  readonly name: string
  readonly kind: 'value' | 'map' | 'paged'
  /** Name and version. */
  readonly codec: string
}

export interface KeyInspection {
  readonly step: string
  readonly key: string
  /** Key group. */
  readonly group: number
  /** Any state or timer. */
  readonly found: boolean
  /** In memory, not only in the backend. */
  readonly resident: boolean
  /** Changed since the last write-back. */
  readonly dirty: boolean
  readonly states: readonly HandleInspection[]
  /** Ascending, ISO. */
  readonly timers: readonly string[]
}

/** Entries of a map, in the order of their keys. */
export const entriesShownMax = 1_000
/** Pages that the description of one object may read. */
export const pagesReadMax = 1_000
/** Characters of one answer, roughly: numbers and brackets count as eight. */
const charsShownMax = 1 << 20
const charsOfOneMax = 4_096
const depthMax = 16
const charsOfOther = 8
const timeMsMax = 8.64e15

/** Turns what codecs give into JSON; one for each answer, whose bounds it counts down. */
export class JsonView {
  readonly #showPii: boolean
  #charsLeft = charsShownMax
  /** The value that was rendered last did not fit. */
  #cut = false

  constructor({ showPii }: InspectOptions) {
    this.#showPii = showPii
  }

  /** `truncated` is of this value alone. */
  render(value: unknown): { readonly value: Json; readonly truncated: boolean } {
    this.#cut = false
    const rendered = this.#json(value, 0)
    return { value: rendered, truncated: this.#cut }
  }

  /** A text that may be personal data: a key, an id. */
  text(text: string): string {
    return this.#showPii ? this.#whole(text) : masked(text)
  }

  #json(value: unknown, depth: number): Json {
    this.#charsLeft -= charsOfOther
    if (this.#isFull()) return null
    if (depth > depthMax) {
      this.#cut = true
      return null
    }
    switch (typeof value) {
      case 'string':
        return this.text(value)
      case 'number':
        return Number.isFinite(value) ? value : String(value)
      case 'bigint':
        return String(value)
      case 'boolean':
        return value
      case 'object':
        return value === null ? null : this.#object(value, depth + 1)
      default:
        return null
    }
  }

  #object(value: object, depth: number): Json {
    if (value instanceof Uint8Array) return this.#bytes(value)
    if (value instanceof Date) return isoTime(value.getTime())
    if (Symbol.iterator in value) return this.#list(value as Iterable<unknown>, depth)
    const properties: [string, Json][] = []
    for (const [name, property] of Object.entries(value)) {
      if (this.#isFull()) break
      this.#charsLeft -= name.length
      properties.push([name, this.#json(property, depth)])
    }
    return Object.fromEntries(properties)
  }

  #list(items: Iterable<unknown>, depth: number): Json {
    const list: Json[] = []
    for (const item of items) {
      if (this.#isFull()) break
      list.push(this.#json(item, depth))
    }
    return list
  }

  #isFull(): boolean {
    if (this.#charsLeft > 0) return false
    this.#cut = true
    return true
  }

  #bytes(bytes: Uint8Array): string {
    const length = `(${bytes.length} bytes)`
    return this.#showPii ? `${this.#whole(Buffer.from(bytes).toString('hex'))} ${length}` : length
  }

  #whole(text: string): string {
    this.#charsLeft -= Math.min(text.length, charsOfOneMax)
    if (text.length <= charsOfOneMax) return text
    this.#cut = true
    return text.slice(0, charsOfOneMax)
  }
}

/** First and last character and the length, `c…3 (12)`; of up to three characters the length alone. */
export function masked(text: string): string {
  const characters = [...text]
  const shown = characters.length > 3
  return `${shown ? characters[0] : ''}…${shown ? characters.at(-1) : ''} (${characters.length})`
}

/** @param names of the steps that keep state */
export function unknownStep(names: Iterable<string>): WeirError {
  const known = [...names].join(', ') || 'none'
  return new WeirError('UNKNOWN_STEP', `no step of this name keeps state; those that do: ${known}`)
}

/** Event time, ms, as ISO 8601; what no calendar has (a timer may be further off) as the number. */
export function isoTime(ms: number): string {
  return Math.abs(ms) <= timeMsMax ? new Date(ms).toISOString() : String(ms)
}

/**
 * Reads configuration that people write (feature sets, rules, policies): every access checks, and every mistake is
 * named by its JSON path, as in `$.rules[3].when.value`.
 *
 * Invariants: 1. an unknown field is a mistake, so that a misspelt option is never ignored; 2. lists have bounds (I6);
 * 3. used when configuration is loaded, never for each record.
 */
import { readFileSync } from 'node:fs'
import { type ErrorCode, messageOf, WeirError } from '../../kernel/index.js'

/** Code units of one text in a configuration file. */
const textLengthMax = 500

export class JsonNode {
  readonly path: string
  readonly value: unknown
  readonly #document: string
  readonly #code: ErrorCode

  /** @param document name of the file, for messages; @param code what a mistake in it is called */
  constructor(value: unknown, document: string, code: ErrorCode, path = '$') {
    this.value = value
    this.path = path
    this.#document = document
    this.#code = code
  }

  /** Throws the document's error, naming this place. */
  fail(what: string): never {
    throw new WeirError(this.#code, `${this.#document}: ${this.path} ${what}`)
  }

  /** Checks that this is an object with no other fields than these; returns itself. */
  object(fields: readonly string[]): this {
    for (const name of Object.keys(this.#record())) {
      if (!fields.includes(name))
        this.#child(`.${name}`, undefined).fail(`is not known; known are ${fields.join(', ')}`)
    }
    return this
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#record(), name)
  }

  get(name: string): JsonNode {
    if (!this.has(name)) this.#child(`.${name}`, undefined).fail('is missing')
    return this.#child(`.${name}`, this.#record()[name])
  }

  optional(name: string): JsonNode | undefined {
    return this.has(name) ? this.get(name) : undefined
  }

  items(countMax: number): JsonNode[] {
    if (!Array.isArray(this.value)) this.fail('must be a list')
    if (this.value.length > countMax) this.fail(`has ${this.value.length} entries; at most ${countMax} are allowed`)
    return this.value.map((item, i) => this.#child(`[${i}]`, item))
  }

  text(pattern?: RegExp): string {
    const { value } = this
    if (typeof value !== 'string') this.fail('must be a text')
    if (value.length === 0 || value.length > textLengthMax) this.fail(`must have 1 to ${textLengthMax} characters`)
    if (pattern !== undefined && !pattern.test(value)) this.fail(`must match ${pattern.source}`)
    return value
  }

  /** A finite number within the bounds, both included. */
  number(min = -Number.MAX_VALUE, max = Number.MAX_VALUE): number {
    const { value } = this
    if (typeof value !== 'number') this.fail('must be a number')
    if (!(value >= min && value <= max)) {
      this.fail(min === -Number.MAX_VALUE ? 'must be a finite number' : `must be from ${min} to ${max}`)
    }
    return value
  }

  integer(min: number, max: number): number {
    const value = this.number(min, max)
    if (!Number.isInteger(value)) this.fail('must be a whole number')
    return value
  }

  boolean(): boolean {
    if (typeof this.value !== 'boolean') this.fail('must be true or false')
    return this.value
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const found = choices.find(choice => choice === this.value)
    if (found === undefined) this.fail(`must be one of ${choices.join(', ')}`)
    return found
  }

  #record(): Record<string, unknown> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) {
      this.fail('must be an object')
    }
    return this.value as Record<string, unknown>
  }

  #child(step: string, value: unknown): JsonNode {
    return new JsonNode(value, this.#document, this.#code, this.path + step)
  }
}

/** @throws WeirError of `code` when the text is not JSON */
export function parseJsonDocument(text: string, document: string, code: ErrorCode): JsonNode {
  try {
    return new JsonNode(JSON.parse(text), document, code)
  } catch (error) {
    throw new WeirError(code, `${document}: not JSON (${messageOf(error)})`, { cause: error })
  }
}

/** @throws WeirError INPUT_UNREADABLE when the file cannot be read, `code` when it is not JSON */
export function readJsonDocument(path: string, code: ErrorCode): JsonNode {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new WeirError('INPUT_UNREADABLE', `${path}: ${messageOf(error)}`, { cause: error })
  }
  return parseJsonDocument(text, path, code)
}

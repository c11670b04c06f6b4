/**
 * The contract's Transaction and Label as JSON, and Transaction as CSV under the same names; Avro (schemas/registry/) uses
 * the same checks. Fields that no schema names are ignored and counted. A card number in card_id is a token before anything else sees the record.
 */
import { eventTime } from '../../kernel/index.js'
import { cardTokeniser } from './cards.js'
import { CsvReader, columnRoles } from './csv.js'
import { currencyDecimals } from './currency.js'
import { checkAmountMinor, checkId, checkOptional, checkTime, missing } from './field-checks.js'
import { TimeParser } from './fields.js'
import { JsonReader, parseStringMap } from './json.js'
import { Kind, type RawFields, type RawReader } from './raw-fields.js'
import { type RecordDecoder, RecordError } from './record-error.js'
import type { ArrivedTransaction, Label, LabelValue } from './types.js'

const required = ['transaction_id', 'event_time', 'customer_id', 'terminal_id', 'amount_minor', 'currency']
const optional = [
  'card_id',
  'merchant_id',
  'merchant_category',
  'device_id',
  'ip_address',
  'email',
  'country',
  'channel',
]
/** The fields of a Transaction, in the order that its decoder asks of a reader. */
export const transactionNames: readonly string[] = [...required, ...optional, 'metadata']
const METADATA = transactionNames.length - 1

export interface TransactionOptions {
  /** The key of the HMAC that makes tokens of card numbers; the same in every process of a deployment. */
  readonly cardKey: string | Uint8Array
}

/** A Transaction as a JSON object. */
export function transactionJson(options: TransactionOptions): RecordDecoder<ArrivedTransaction> {
  return transactionFrom(new JsonReader(transactionNames, { foldCase: false }), options)
}

/** A Transaction from a reader of `transactionNames` whose values have types of their own, unlike those of CSV. */
export function transactionFrom(reader: RawReader, options: TransactionOptions): RecordDecoder<ArrivedTransaction> {
  return new TransactionDecoder(reader, options, true)
}

/**
 * A Transaction as a line of CSV; `metadata` is a JSON object of strings. An empty field is an absent one.
 * @throws WeirError INPUT_UNREADABLE when the header lacks a required column or names one twice
 */
export function transactionCsv(headerLine: string, options: TransactionOptions): RecordDecoder<ArrivedTransaction> {
  const roles = columnRoles(headerLine, transactionNames, required)
  return new TransactionDecoder(new CsvReader(roles, transactionNames.length), options, false)
}

class TransactionDecoder implements RecordDecoder<ArrivedTransaction> {
  readonly #reader: RawReader
  readonly #tokenise: (cardId: string) => string
  readonly #typed: boolean
  readonly #times = new TimeParser()
  readonly #optional: (string | null)[] = new Array<string | null>(optional.length).fill(null)

  constructor(reader: RawReader, options: TransactionOptions, typed: boolean) {
    this.#reader = reader
    this.#tokenise = cardTokeniser(options.cardKey)
    this.#typed = typed
  }

  get unknownFields(): number {
    return this.#reader.unknownFields
  }

  decode(bytes: Buffer, start: number, end: number): ArrivedTransaction | RecordError {
    return this.#reader.read(bytes, start, end) ?? this.#build(this.#reader.fields)
  }

  #build(raw: RawFields): ArrivedTransaction | RecordError {
    const transaction = checkId(raw, 0, 'transaction_id', false)
    if (transaction instanceof RecordError) return transaction
    const ms = checkTime(raw, 1, 'event_time', this.#times, !this.#typed)
    if (ms instanceof RecordError) return ms
    const customer = checkId(raw, 2, 'customer_id', false)
    if (customer instanceof RecordError) return customer
    const terminal = checkId(raw, 3, 'terminal_id', false)
    if (terminal instanceof RecordError) return terminal
    const amount = checkAmountMinor(raw, 4, 'amount_minor', this.#typed ? Kind.number : Kind.string)
    if (amount instanceof RecordError) return amount
    const currency = checkCurrency(raw)
    if (currency instanceof RecordError) return currency
    const texts = this.#optional
    for (let i = 0; i < optional.length; i++) {
      const text = checkOptional(raw, required.length + i, optional[i]!)
      if (text instanceof RecordError) return text
      texts[i] = text
    }
    const metadata = this.#metadata(raw)
    if (metadata instanceof RecordError) return metadata
    const card = texts[0]!
    return {
      transaction_id: transaction,
      event_time: eventTime(ms),
      customer_id: customer,
      terminal_id: terminal,
      amount_minor: amount,
      currency,
      card_id: card === null ? null : this.#tokenise(card),
      merchant_id: texts[1]!,
      merchant_category: texts[2]!,
      device_id: texts[3]!,
      ip_address: texts[4]!,
      email: texts[5]!,
      country: texts[6]!,
      channel: texts[7]!,
      metadata,
      inline_label: null,
    }
  }

  #metadata(raw: RawFields): ReadonlyMap<string, string> | null | RecordError {
    const kind = raw.kinds[METADATA]
    if (kind === Kind.absent || kind === Kind.null) return null
    if (kind === Kind.map) return raw.map.size === 0 ? null : raw.map
    const map = kind === (this.#typed ? Kind.object : Kind.string) ? parseStringMap(raw.texts[METADATA]!) : undefined
    if (map === undefined)
      return new RecordError('INVALID_FIELD', 'metadata is not an object of strings, each name once')
    return map.size === 0 ? null : map
  }
}

function checkCurrency(raw: RawFields): string | RecordError {
  const kind = raw.kinds[5]
  if (kind === Kind.absent || kind === Kind.null) return missing('currency')
  const code = raw.texts[5]!
  if (kind === Kind.string && currencyDecimals(code) !== undefined) return code
  return new RecordError('INVALID_CURRENCY', 'currency is no code of ISO 4217')
}

/** The fields of a Label, in the order that its decoder asks of a reader. */
export const labelNames: readonly string[] = [
  'transaction_id',
  'customer_id',
  'terminal_id',
  'event_time',
  'label',
  'label_source',
  'available_at',
  'analyst',
]

/** A Label as a JSON object. */
export function labelJson(): RecordDecoder<Label> {
  return labelFrom(new JsonReader(labelNames, { foldCase: false }))
}

/** A Label from a reader of `labelNames`. */
export function labelFrom(reader: RawReader): RecordDecoder<Label> {
  return new LabelDecoder(reader)
}

class LabelDecoder implements RecordDecoder<Label> {
  readonly #reader: RawReader
  readonly #times = new TimeParser()

  constructor(reader: RawReader) {
    this.#reader = reader
  }

  get unknownFields(): number {
    return this.#reader.unknownFields
  }

  decode(bytes: Buffer, start: number, end: number): Label | RecordError {
    const problem = this.#reader.read(bytes, start, end)
    if (problem !== undefined) return problem
    const raw = this.#reader.fields
    const transaction = checkId(raw, 0, 'transaction_id', false)
    if (transaction instanceof RecordError) return transaction
    const customer = checkId(raw, 1, 'customer_id', false)
    if (customer instanceof RecordError) return customer
    const terminal = checkId(raw, 2, 'terminal_id', false)
    if (terminal instanceof RecordError) return terminal
    const ms = checkTime(raw, 3, 'event_time', this.#times, false)
    if (ms instanceof RecordError) return ms
    const label = checkWord<LabelValue>(raw, 4, 'label', ['fraud', 'legitimate'], 'INVALID_LABEL')
    if (label instanceof RecordError) return label
    const source = checkWord<Label['label_source']>(
      raw,
      5,
      'label_source',
      ['chargeback', 'manual_review', 'automated'],
      'INVALID_FIELD',
    )
    if (source instanceof RecordError) return source
    const available = checkTime(raw, 6, 'available_at', this.#times, false)
    if (available instanceof RecordError) return available
    const analyst = checkOptional(raw, 7, 'analyst')
    if (analyst instanceof RecordError) return analyst
    return {
      transaction_id: transaction,
      customer_id: customer,
      terminal_id: terminal,
      event_time: eventTime(ms),
      label,
      label_source: source,
      available_at: eventTime(available),
      analyst,
    }
  }
}

function checkWord<W extends string>(
  raw: RawFields,
  field: number,
  name: string,
  words: readonly W[],
  code: 'INVALID_LABEL' | 'INVALID_FIELD',
): W | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return missing(name)
  const text = raw.texts[field]!
  const word = kind === Kind.string ? words.find(one => one === text) : undefined
  return word ?? new RecordError(code, `${name} is none of ${words.join(', ')}`)
}

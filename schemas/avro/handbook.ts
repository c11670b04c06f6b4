/**
 * The Fraud-Detection-Handbook's files, CSV and NDJSON. Names of columns and fields compare without case, others are
 * ignored; the contract's Handbook section is the specification.
 *
 * Invariants: 1. the fast path and the general path give equal records: the fast path gives up (undefined) on anything
 * that is not plain, and never refuses a record itself; 2. every record has one shape.
 */
import { eventTime, WeirError } from '../../kernel/index.js'
import { CsvReader, columnRoles } from './csv.js'
import { currencyDecimals } from './currency.js'
import { checkAmount, checkHandbookTime, checkId } from './field-checks.js'
import { parseAmount, TimeParser } from './fields.js'
import { IdCache } from './id-cache.js'
import { JsonReader } from './json.js'
import { Kind, type RawFields, type RawReader } from './raw-fields.js'
import { type RecordDecoder, RecordError, recordBytesMax } from './record-error.js'
import type { ArrivedTransaction, LabelValue } from './types.js'

const Field = { transaction: 0, time: 1, customer: 2, terminal: 3, amount: 4, fraud: 5 } as const
const names = ['transaction_id', 'tx_datetime', 'customer_id', 'terminal_id', 'tx_amount', 'tx_fraud']
const required = names.slice(0, 5)

export interface HandbookOptions {
  /** ISO 4217; default EUR. Amounts have at most as many decimals as it has. */
  readonly currency?: string
}

/**
 * @param headerLine the file's first line
 * @throws WeirError INPUT_UNREADABLE when the header lacks a column or names one twice, INVALID_CURRENCY
 */
export function handbookCsv(headerLine: string, options: HandbookOptions = {}): RecordDecoder<ArrivedTransaction> {
  const roles = columnRoles(headerLine, names, required)
  return new CsvDecoder(roles, new HandbookRecords(options.currency ?? 'EUR'))
}

/** @throws WeirError INVALID_CURRENCY */
export function handbookNdjson(options: HandbookOptions = {}): RecordDecoder<ArrivedTransaction> {
  return new GeneralDecoder(
    new JsonReader(names, { foldCase: true }),
    new HandbookRecords(options.currency ?? 'EUR'),
    true,
  )
}

/** The fields that a handbook file has, in the one shape of an arrived transaction. */
function arrived(
  transactionId: string,
  ms: number,
  customerId: string,
  terminalId: string,
  amountMinor: number,
  currency: string,
  label: LabelValue | null,
): ArrivedTransaction {
  return {
    transaction_id: transactionId,
    event_time: eventTime(ms),
    customer_id: customerId,
    terminal_id: terminalId,
    amount_minor: amountMinor,
    currency,
    card_id: null,
    merchant_id: null,
    merchant_category: null,
    device_id: null,
    ip_address: null,
    email: null,
    country: null,
    channel: null,
    metadata: null,
    inline_label: label,
  }
}

/** Checks raw fields and builds the record. */
class HandbookRecords {
  readonly currency: string
  readonly decimals: number
  readonly times = new TimeParser()

  constructor(currency: string) {
    const decimals = currencyDecimals(currency)
    if (decimals === undefined) throw new WeirError('INVALID_CURRENCY', 'the currency of the file is unknown')
    this.currency = currency
    this.decimals = decimals
  }

  /** @param numbers whether the format has numbers beside strings (JSON) */
  build(raw: RawFields, numbers: boolean): ArrivedTransaction | RecordError {
    const transaction = checkId(raw, Field.transaction, 'transaction_id', numbers)
    if (transaction instanceof RecordError) return transaction
    const ms = checkHandbookTime(raw, Field.time, 'tx_datetime', this.times)
    if (ms instanceof RecordError) return ms
    const customer = checkId(raw, Field.customer, 'customer_id', numbers)
    if (customer instanceof RecordError) return customer
    const terminal = checkId(raw, Field.terminal, 'terminal_id', numbers)
    if (terminal instanceof RecordError) return terminal
    const amount = checkAmount(raw, Field.amount, 'tx_amount', this.decimals)
    if (amount instanceof RecordError) return amount
    const label = checkFraud(raw)
    if (label instanceof RecordError) return label
    return arrived(transaction, ms, customer, terminal, amount, this.currency, label)
  }
}

function checkFraud(raw: RawFields): LabelValue | null | RecordError {
  const kind = raw.kinds[Field.fraud]
  if (kind === Kind.absent || kind === Kind.null) return null
  if (kind === Kind.string || kind === Kind.number) {
    const text = raw.texts[Field.fraud]!
    if (text === '0') return 'legitimate'
    if (text === '1') return 'fraud'
    if (text === '') return null
  }
  return new RecordError('INVALID_LABEL', 'tx_fraud is neither 0 nor 1 nor empty')
}

class GeneralDecoder implements RecordDecoder<ArrivedTransaction> {
  readonly #reader: RawReader
  readonly #records: HandbookRecords
  readonly #numbers: boolean

  constructor(reader: RawReader, records: HandbookRecords, numbers: boolean) {
    this.#reader = reader
    this.#records = records
    this.#numbers = numbers
  }

  get unknownFields(): number {
    return this.#reader.unknownFields
  }

  decode(bytes: Buffer, start: number, end: number): ArrivedTransaction | RecordError {
    return this.#reader.read(bytes, start, end) ?? this.#records.build(this.#reader.fields, this.#numbers)
  }
}

const COMMA = 44
const QUOTE = 34
const idBytesMax = 64

/** CSV: a byte scanner for plain ASCII lines without quotes, and the general path for all others. */
class CsvDecoder implements RecordDecoder<ArrivedTransaction> {
  readonly unknownFields = 0
  readonly #roles: Int8Array
  readonly #records: HandbookRecords
  readonly #times: TimeParser
  readonly #general: GeneralDecoder
  readonly #customers = new IdCache()
  readonly #terminals = new IdCache()

  constructor(roles: Int8Array, records: HandbookRecords) {
    this.#roles = roles
    this.#records = records
    this.#times = records.times
    this.#general = new GeneralDecoder(new CsvReader(roles, names.length), records, false)
  }

  decode(bytes: Buffer, start: number, end: number): ArrivedTransaction | RecordError {
    if (end - start <= recordBytesMax) {
      const record = this.#fast(bytes, start, end)
      if (record !== undefined) return record
    }
    return this.#general.decode(bytes, start, end)
  }

  #fast(bytes: Buffer, start: number, end: number): ArrivedTransaction | undefined {
    const roles = this.#roles
    const columns = roles.length
    let transaction = ''
    let customer = ''
    let terminal = ''
    let ms = -1
    let amount = -1
    let label: LabelValue | null = null
    let at = start
    for (let column = 0; column < columns; column++) {
      const from = at
      let hash = 0
      for (; at < end; at++) {
        const byte = bytes[at]!
        if (byte === COMMA) break
        if (byte < 0x20 || byte > 0x7e || byte === QUOTE) return undefined
        hash = (Math.imul(hash, 31) + byte) | 0
      }
      const length = at - from
      // the last column ends with the line, and no other does
      if ((at === end) !== (column === columns - 1)) return undefined
      switch (roles[column]) {
        case Field.transaction:
          if (length === 0 || length > idBytesMax) return undefined
          transaction = bytes.toString('latin1', from, at)
          break
        case Field.customer:
          if (length === 0 || length > idBytesMax) return undefined
          customer = this.#customers.get(bytes, from, at, hash)
          break
        case Field.terminal:
          if (length === 0 || length > idBytesMax) return undefined
          terminal = this.#terminals.get(bytes, from, at, hash)
          break
        case Field.time:
          ms = this.#times.handbook(bytes, from, at)
          if (ms < 0) return undefined
          break
        case Field.amount:
          amount = parseAmount(bytes, from, at, this.#records.decimals)
          if (amount < 0) return undefined
          break
        case Field.fraud:
          if (length > 1) return undefined
          if (length === 1) {
            if (bytes[from] === 48) label = 'legitimate'
            else if (bytes[from] === 49) label = 'fraud'
            else return undefined
          }
          break
      }
      at++
    }
    return arrived(transaction, ms, customer, terminal, amount, this.#records.currency, label)
  }
}

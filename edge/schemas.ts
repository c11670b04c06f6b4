/**
 * What clients may send, as JSON Schema (2020-12). The validators and /openapi.json are made of these very objects, and a
 * test holds them against the decoders of schemas/avro: what the one accepts the other accepts.
 *
 * Invariants:
 * 1. A description reads on after `is not` ("amount_minor is not <description>"): it is also the text of the field's error.
 * 2. Unknown fields are not refused: they are ignored and counted.
 * 3. null stands for an optional field that is absent, as in Avro.
 */
import type { ErrorCode } from '../kernel/index.js'
import { amountMinorMax, currencyDecimals, eventTimeMsMax, idCharactersMax } from '../schemas/avro/index.js'

export interface JsonSchema {
  readonly [keyword: string]: unknown
}

export interface RecordSchema extends JsonSchema {
  readonly type: 'object'
  readonly description: string
  readonly required: readonly string[]
  readonly properties: Readonly<Record<string, JsonSchema>>
}

// C0, DEL and C1, as idProblem of schemas/avro has it
const noControls = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$'
const idText = `of 1 to ${idCharactersMax} characters without control characters`
const idLimits = { minLength: 1, maxLength: idCharactersMax, pattern: noControls }

export const identifier: JsonSchema = { type: 'string', ...idLimits, description: `a string ${idText}` }

const optionalId: JsonSchema = { type: ['string', 'null'], ...idLimits, description: `null or a string ${idText}` }
const optionalText = (what: string): JsonSchema => ({
  type: ['string', 'null'],
  description: `null or a string (${what})`,
})

const isoTime =
  '^(19[7-9]\\d|20\\d\\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d' +
  '(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3])(:?[0-5]\\d)?)$'

const time = (what: string): JsonSchema => ({
  type: ['string', 'integer'],
  // one branch for each form: keywords for the other type pass it over
  pattern: isoTime,
  minimum: 0,
  maximum: eventTimeMsMax,
  description: `a real time from 1970 to ${what}, in ISO 8601 with Z or an offset, or in integer milliseconds`,
})

/** Every code of ISO 4217 that has minor units: the whole space of three letters is small enough to ask. */
function currencyCodes(): string[] {
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ']
  const codes = letters.flatMap(a => letters.flatMap(b => letters.map(c => a + b + c)))
  return codes.filter(code => currencyDecimals(code) !== undefined)
}

export const transactionSchema: RecordSchema = {
  type: 'object',
  description: 'A payment that asks for a decision. Unknown fields are ignored and counted.',
  required: ['transaction_id', 'event_time', 'customer_id', 'terminal_id', 'amount_minor', 'currency'],
  properties: {
    transaction_id: identifier,
    event_time: time('a day ahead of now'),
    customer_id: identifier,
    terminal_id: identifier,
    amount_minor: {
      type: 'integer',
      minimum: 0,
      maximum: amountMinorMax,
      description: "a whole number from 0 to 10^15 of the currency's minor units, in plain digits",
    },
    currency: { type: 'string', enum: currencyCodes(), description: 'a code of ISO 4217' },
    card_id: optionalId,
    merchant_id: optionalId,
    merchant_category: optionalText('the MCC'),
    device_id: optionalId,
    ip_address: optionalText('an IP address'),
    email: optionalText('an address'),
    country: optionalText('ISO 3166-1'),
    channel: optionalText('how the payment came in'),
    metadata: {
      type: ['object', 'null'],
      additionalProperties: { type: 'string' },
      description: 'null or an object of strings',
    },
  },
}

export const labelSchema: RecordSchema = {
  type: 'object',
  description: 'What became known about a transaction. Unknown fields are ignored and counted.',
  required: ['transaction_id', 'customer_id', 'terminal_id', 'event_time', 'label', 'label_source', 'available_at'],
  properties: {
    transaction_id: identifier,
    customer_id: identifier,
    terminal_id: identifier,
    event_time: time('a day ahead of now'),
    label: { type: 'string', enum: ['fraud', 'legitimate'], description: 'fraud or legitimate' },
    label_source: {
      type: 'string',
      enum: ['chargeback', 'manual_review', 'automated'],
      description: 'chargeback, manual_review or automated',
    },
    available_at: time('2099'),
    analyst: optionalText('who gave the verdict'),
  },
}

/** The code of an error in a field, MISSING_FIELD aside. */
export function fieldCode(name: string): ErrorCode {
  if (name.endsWith('_id')) return 'INVALID_ID'
  switch (name) {
    case 'event_time':
    case 'available_at':
      return 'INVALID_EVENT_TIME'
    case 'amount_minor':
      return 'INVALID_AMOUNT'
    case 'currency':
      return 'INVALID_CURRENCY'
    case 'label':
      return 'INVALID_LABEL'
    default:
      return 'INVALID_FIELD'
  }
}

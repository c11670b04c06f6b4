/** Checks of one raw field each: they answer the value, or say what is wrong with it by field name. */
import {
  amountMinorMax,
  eventTimeMsMax,
  idProblem,
  notANumber,
  outOfRange,
  parseAmount,
  parseWhole,
  type TimeParser,
  tooManyDecimals,
} from './fields.js'
import { Kind, type RawFields, withBytes } from './raw-fields.js'
import { RecordError } from './record-error.js'

export function missing(name: string): RecordError {
  return new RecordError('MISSING_FIELD', `${name} is missing`)
}

/** JSON integers that need no sign: `0`, `17`, never `1.0`, `1e3` or `-1`. */
const wholeNumber = /^\d+$/

/** A required identifier: a string, or where `numbers` says so a non-negative JSON integer, taken from its text. */
export function checkId(raw: RawFields, field: number, name: string, numbers: boolean): string | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return missing(name)
  const text = raw.texts[field]!
  if (kind === Kind.number && numbers) {
    if (!wholeNumber.test(text)) return new RecordError('INVALID_ID', `${name} is a number but no non-negative integer`)
  } else if (kind !== Kind.string) {
    return new RecordError('INVALID_ID', `${name} is not a string`)
  }
  const problem = idProblem(text)
  return problem === undefined ? text : new RecordError('INVALID_ID', `${name} ${problem}`)
}

/** A required decimal amount in major units, string or number; answers minor units. */
export function checkAmount(raw: RawFields, field: number, name: string, decimals: number): number | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return missing(name)
  if (kind !== Kind.string && kind !== Kind.number) return amountError(name, notANumber, decimals)
  const minor = withBytes(raw.texts[field]!, notANumber, (bytes, from, to) => parseAmount(bytes, from, to, decimals))
  return minor >= 0 ? minor : amountError(name, minor, decimals)
}

function amountError(name: string, problem: number, decimals: number): RecordError {
  if (problem === outOfRange) return new RecordError('INVALID_AMOUNT', `${name} is more than 10^15 minor units`)
  if (problem === tooManyDecimals) {
    return new RecordError('INVALID_AMOUNT', `${name} has more decimals than the currency, which has ${decimals}`)
  }
  return new RecordError('INVALID_AMOUNT', `${name} is not a plain decimal of 0 or more`)
}

/** A required amount that is in minor units already: a JSON integer, digits in CSV, a long in Avro. */
export function checkAmountMinor(raw: RawFields, field: number, name: string, kindAsked: Kind): number | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return missing(name)
  let minor: number = notANumber
  if (kind === Kind.whole) minor = wholeUpTo(raw.wholes[field]!, amountMinorMax)
  else if (kind === kindAsked) {
    minor = withBytes(raw.texts[field]!, notANumber, (bytes, from, to) => parseWhole(bytes, from, to, amountMinorMax))
  }
  if (minor >= 0) return minor
  const what = minor === outOfRange ? 'is more than 10^15' : 'is not a whole number of 0 or more'
  return new RecordError('INVALID_AMOUNT', `${name} ${what}`)
}

function wholeUpTo(value: number, max: number): number {
  if (value < 0) return notANumber
  return value > max ? outOfRange : value
}

/** A required `YYYY-MM-DD[T ]hh:mm:ss[Z]`. */
export function checkHandbookTime(
  raw: RawFields,
  field: number,
  name: string,
  times: TimeParser,
): number | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return missing(name)
  const ms =
    kind === Kind.string ? withBytes(raw.texts[field]!, -1, (bytes, from, to) => times.handbook(bytes, from, to)) : -1
  if (ms >= 0) return ms
  return new RecordError('INVALID_EVENT_TIME', `${name} is not a real date YYYY-MM-DDThh:mm:ssZ from 1970 to 2099`)
}

/** A required time: ISO 8601 with a zone, or integer milliseconds (in CSV: digits, in Avro: a long). */
export function checkTime(
  raw: RawFields,
  field: number,
  name: string,
  times: TimeParser,
  digitsInStrings: boolean,
): number | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return missing(name)
  const text = raw.texts[field]!
  let ms = -1
  if (kind === Kind.whole) ms = wholeUpTo(raw.wholes[field]!, eventTimeMsMax)
  else if (kind === Kind.number || (kind === Kind.string && digitsInStrings && wholeNumber.test(text))) {
    ms = withBytes(text, -1, (bytes, from, to) => parseWhole(bytes, from, to, eventTimeMsMax))
  } else if (kind === Kind.string) {
    ms = withBytes(text, -1, (bytes, from, to) => times.iso(bytes, from, to))
  }
  if (ms >= 0) return ms
  const forms = 'ISO 8601 with Z or an offset, or integer milliseconds'
  return new RecordError('INVALID_EVENT_TIME', `${name} is not a real time from 1970 to 2099 (${forms})`)
}

/** An optional string. Names that end in `_id` are identifiers and keep their limits. */
export function checkOptional(raw: RawFields, field: number, name: string): string | null | RecordError {
  const kind = raw.kinds[field]
  if (kind === Kind.absent || kind === Kind.null) return null
  const isId = name.endsWith('_id')
  if (kind !== Kind.string) {
    return new RecordError(isId ? 'INVALID_ID' : 'INVALID_FIELD', `${name} is not a string`)
  }
  const text = raw.texts[field]!
  const problem = isId ? idProblem(text) : undefined
  return problem === undefined ? text : new RecordError('INVALID_ID', `${name} ${problem}`)
}

/** What can be asked of the simulator, its defaults and its bounds (I6). */
import { days, type EventTimeMs, eventTime, WeirError } from '../../kernel/index.js'

export interface GenerateOptions {
  /** Integer from 0 to 2^53 - 1; the same seed and options give the same bytes. Default 1. */
  readonly seed?: number
  /** Default 5,000, which makes about 9,600 transactions a day. */
  readonly customers?: number
  /** Default two for each customer, as in the Handbook. */
  readonly terminals?: number
  /** Default 60: enough for the longest window with its delay (37 days) and three weeks more. */
  readonly days?: number
  /** First day, `YYYY-MM-DD` in UTC. Default 2024-01-01. */
  readonly startDate?: string
  /** How far a customer goes to pay, in the 100 x 100 world. Default 5. */
  readonly radius?: number
  /** Put before the running number of each transaction_id, so that two runs do not share ids. Default none. */
  readonly idPrefix?: string
  /** Terminals newly compromised each day. Default 2 for 10,000 terminals, in proportion, at least 1. */
  readonly compromisedTerminalsPerDay?: number
  /** Cards newly compromised each day. Default 3 for 5,000 customers, in proportion, at least 1. */
  readonly compromisedCardsPerDay?: number
}

export interface Settings extends Required<Omit<GenerateOptions, 'startDate'>> {
  readonly startAt: EventTimeMs
}

export const customersMax = 5_000_000
export const terminalsMax = 5_000_000
export const daysMax = 36_525
const idPrefixMax = 40

/** @throws WeirError USAGE naming the option that is out of its range */
export function settingsOf(options: GenerateOptions): Settings {
  const customers = whole('customers', options.customers ?? 5_000, 1, customersMax)
  const terminals = whole('terminals', options.terminals ?? Math.min(terminalsMax, customers * 2), 1, terminalsMax)
  const dayCount = whole('days', options.days ?? 60, 1, daysMax)
  const startAt = startOf(options.startDate ?? '2024-01-01')
  if (startAt + days(dayCount) > Date.UTC(2100, 0, 1))
    throw new WeirError('USAGE', 'the simulated days reach the year 2100')
  const radius = options.radius ?? 5
  if (!(radius > 0 && radius <= 1_000))
    throw new WeirError('USAGE', `radius is ${radius}, not above 0 and at most 1000`)
  const idPrefix = options.idPrefix ?? ''
  if (!/^[A-Za-z0-9._-]*$/.test(idPrefix) || idPrefix.length > idPrefixMax) {
    throw new WeirError('USAGE', `id prefix is not up to ${idPrefixMax} letters, digits, dots, dashes or underscores`)
  }
  return {
    seed: whole('seed', options.seed ?? 1, 0, Number.MAX_SAFE_INTEGER),
    customers,
    terminals,
    days: dayCount,
    startAt,
    radius,
    idPrefix,
    compromisedTerminalsPerDay: whole(
      'compromised terminals a day',
      options.compromisedTerminalsPerDay ?? Math.max(1, Math.round(terminals / 5_000)),
      0,
      terminals,
    ),
    compromisedCardsPerDay: whole(
      'compromised cards a day',
      options.compromisedCardsPerDay ?? Math.max(1, Math.round((customers * 3) / 5_000)),
      0,
      customers,
    ),
  }
}

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw new WeirError('USAGE', `${name} is ${value}, not a whole number from ${min} to ${max}`)
}

function startOf(date: string): EventTimeMs {
  const at = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN
  // Date.parse takes 30 February for 1 March on some engines: the round trip does not.
  if (Number.isNaN(at) || at < 0 || new Date(at).toISOString().slice(0, 10) !== date) {
    throw new WeirError('USAGE', `start date ${JSON.stringify(date)} is not a real YYYY-MM-DD from 1970 on`)
  }
  return eventTime(at)
}

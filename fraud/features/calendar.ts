/**
 * Features of a single transaction. Pure integer arithmetic on the event time, in UTC: no Date, no Intl (I3).
 * Their boundaries are the contract's "Features of the default set".
 */
import { type EventTimeMs, minorUnitsPerMajor } from '../../kernel/index.js'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** 1970-01-01 was a Thursday, so day 2 of each week counted from there is a Saturday. */
const saturday = 2

/** 1 on Saturday and Sunday, 0 otherwise. */
export function isWeekend(at: EventTimeMs): 0 | 1 {
  const day = Math.floor(at / dayMs)
  const weekday = day - Math.floor(day / 7) * 7
  return weekday === saturday || weekday === saturday + 1 ? 1 : 0
}

/** 1 for hours 0 to 6, so through 06:59:59.999; 0 otherwise. */
export function isNight(at: EventTimeMs): 0 | 1 {
  return at - Math.floor(at / dayMs) * dayMs < 7 * hourMs ? 1 : 0
}

/** Correctly rounded: one division of whole numbers. NaN (missing) for a currency that is not known. */
export function amountInMajorUnits(amountMinor: number, currency: string): number {
  return amountMinor / minorUnitsPerMajor(currency)
}

/**
 * Units of time. Weir works in event time throughout (design §2); the wall clock exists only at the edges.
 *
 * Invariant: a bare number is never a time. Both brands are whole milliseconds, so sums and
 * differences are exact up to the year 287396.
 */

declare const eventTimeBrand: unique symbol
declare const durationBrand: unique symbol

/** Milliseconds since 1970-01-01T00:00:00Z, by the record's own account of when it happened. */
export type EventTimeMs = number & { readonly [eventTimeBrand]: true }

/** A length of time in milliseconds. */
export type DurationMs = number & { readonly [durationBrand]: true }

/** Takes a number that is known to be milliseconds since the epoch. */
export const eventTime = (ms: number): EventTimeMs => ms as EventTimeMs
/** Takes a number that is known to be a length of time in milliseconds. */
export const millis = (n: number): DurationMs => n as DurationMs
export const seconds = (n: number): DurationMs => (n * 1_000) as DurationMs
export const minutes = (n: number): DurationMs => (n * 60_000) as DurationMs
export const hours = (n: number): DurationMs => (n * 3_600_000) as DurationMs
export const days = (n: number): DurationMs => (n * 86_400_000) as DurationMs

/** `at + by`, both in milliseconds. */
export const plus = (at: EventTimeMs, by: DurationMs): EventTimeMs => (at + by) as EventTimeMs
/** `at - by`, both in milliseconds. */
export const minus = (at: EventTimeMs, by: DurationMs): EventTimeMs => (at - by) as EventTimeMs

/** Before every event time: the watermark of a partition that has shown nothing. */
export const beginningOfTime = Number.NEGATIVE_INFINITY as EventTimeMs

/** `YYYY-MM-DDThh:mm:ss.sssZ`; the only form in which Weir writes a time. */
export function formatEventTime(at: EventTimeMs): string {
  return new Date(at).toISOString()
}

/** Wall clock. Only runners hand one out; operators never see it (I3). */
export interface Clock {
  /** Milliseconds since the epoch by the wall clock. */
  nowMs(): number
  /** Resolves after `ms`; a simulated clock resolves when it is moved past that point. */
  sleep(ms: DurationMs): Promise<void>
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep: ms => new Promise(resolve => setTimeout(resolve, ms)),
}

/**
 * Features of the velocity operator, declared: aggregate, window, delay, sides, and whether the current record counts.
 *
 *   count().over(days(1))                                   (t - 1d, t], the current record included
 *   fraudShare().over(days(7)).delayedBy(days(7))            (t - 14d, t - 7d]
 *   mean('amount', { per: t => minorUnitsPerMajor(t.currency) }).over(days(30)).excludingCurrent()
 */
import { assert, type DurationMs, millis } from '../../kernel/index.js'

export type AggregateKind = 'count' | 'sum' | 'mean' | 'fraud-share'

/** Which ends of the window belong to it; '(]' is (t - w, t]. */
export type ClosedSides = '(]' | '[)' | '()' | '[]'

export interface PerOptions<T> {
  /** Divides the exact integer: units of the value in one unit of the feature, by the current record. Whole, above 0. */
  readonly per?: (record: T) => number
}

/** An aggregate that still needs its window. */
export interface Aggregate<N extends string, T> {
  over(window: DurationMs): Feature<N, T>
}

interface FeatureSpec<N extends string, T> {
  readonly aggregate: AggregateKind
  readonly value: N | undefined
  readonly per: ((record: T) => number) | undefined
  readonly windowMs: number
  readonly delayMs: number
  readonly sides: ClosedSides
  readonly current: boolean
}

export class Feature<N extends string, T> {
  readonly spec: FeatureSpec<N, T>

  constructor(spec: FeatureSpec<N, T>) {
    assert(Number.isSafeInteger(spec.windowMs) && spec.windowMs > 0, 'a window is a whole number of ms above 0')
    assert(Number.isSafeInteger(spec.delayMs) && spec.delayMs >= 0, 'a delay is a whole number of ms, not negative')
    this.spec = spec
  }

  /** The window ends this long before the record. */
  delayedBy(delay: DurationMs): Feature<N, T> {
    return new Feature({ ...this.spec, delayMs: delay })
  }

  /** The record that is being evaluated does not count; others of the same time that arrived before it do. */
  excludingCurrent(): Feature<N, T> {
    return new Feature({ ...this.spec, current: false })
  }

  /** Default '(]'. */
  closed(sides: ClosedSides): Feature<N, T> {
    return new Feature({ ...this.spec, sides })
  }

  /** Offset behind t up to which events are before the window: those with time <= t - start. Times are whole ms. */
  get startOffset(): number {
    return this.spec.delayMs + this.spec.windowMs + (this.spec.sides.startsWith('[') ? 1 : 0)
  }

  /** Offset behind t up to which events are in it or before it. */
  get endOffset(): number {
    return this.spec.delayMs + (this.spec.sides.endsWith(']') ? 0 : 1)
  }

  /** True when the record itself lies in the window and counts. */
  get countsCurrent(): boolean {
    return this.spec.current && this.endOffset === 0
  }

  /** For the topology's fingerprint. */
  toJSON(): Readonly<Record<string, unknown>> {
    const { per, value, ...rest } = this.spec
    return { ...rest, ...(value === undefined ? {} : { value }), ...(per === undefined ? {} : { per: true }) }
  }
}

const aggregate = <N extends string, T>(
  kind: AggregateKind,
  value: N | undefined,
  per: ((record: T) => number) | undefined,
): Aggregate<N, T> => ({
  over: window =>
    new Feature<N, T>({
      aggregate: kind,
      value,
      per,
      windowMs: window,
      delayMs: millis(0),
      sides: '(]',
      current: true,
    }),
})

/** How many events. */
export const count = (): Aggregate<never, unknown> => aggregate<never, unknown>('count', undefined, undefined)

/** Their sum, exact up to 2^53, beyond it rounded once; 0 over none. */
export const sum = <N extends string, T = unknown>(value: N, options: PerOptions<T> = {}): Aggregate<N, T> =>
  aggregate('sum', value, options.per)

/** Exact sum / (count * per), rounded by one division; missing (NaN) over none. */
export const mean = <N extends string, T = unknown>(value: N, options: PerOptions<T> = {}): Aggregate<N, T> =>
  aggregate('mean', value, options.per)

/** Events labelled fraud, as known at t, over all events of the window; 0 over none. Needs `labels`. */
export const fraudShare = (): Aggregate<never, unknown> =>
  aggregate<never, unknown>('fraud-share', undefined, undefined)

/** A reservoir as a person wants to see it: its windows as of its clock, exact, in the units of the values. */
import { type Description, isoTime, type Json } from '../../state/index.js'
import type { Feature } from './features.js'
import type { Reservoir } from './reservoir.js'
import { limb, type ReservoirShape } from './shape.js'

interface Window {
  readonly features: string[]
  readonly startOffset: number
  readonly endOffset: number
  fraud: boolean
}

/**
 * What `PagedCodec.inspect` gives for a velocity step: `clock`, the greatest event time of the key; `windows`, each with the
 * features that read it, the events with `after` < time <= `through`, sums as decimal text and means of whole values.
 * @param valueNames in the order in which the reservoir stores them
 */
export function describeReservoir(
  shape: ReservoirShape,
  features: Readonly<Record<string, Feature<string, never>>>,
  valueNames: readonly string[],
): (reservoir: Reservoir) => Description {
  const windows = windowsOf(features)
  return reservoir => {
    const { events, oldest, time, earlyLabels } = reservoir
    const shown = { events, early_labels: earlyLabels }
    if (oldest === undefined) return { value: { ...shown, oldest: null, newest: null, clock: null, windows: [] } }
    const newest = isoTime(time)
    const seen = windows.map(window => describeWindow(reservoir, shape, window, valueNames))
    return { value: { ...shown, oldest: isoTime(oldest), newest, clock: newest, windows: seen } }
  }
}

/** Features over the same events share a window. */
function windowsOf(features: Readonly<Record<string, Feature<string, never>>>): readonly Window[] {
  const windows = new Map<string, Window>()
  for (const [name, feature] of Object.entries(features)) {
    const { startOffset, endOffset, spec } = feature
    const id = `${startOffset}/${endOffset}`
    let window = windows.get(id)
    if (window === undefined) {
      window = { features: [], startOffset, endOffset, fraud: false }
      windows.set(id, window)
    }
    window.features.push(name)
    if (spec.aggregate === 'fraud-share') window.fraud = true
  }
  return [...windows.values()]
}

function describeWindow(
  reservoir: Reservoir,
  { boundaries }: ReservoirShape,
  { features, startOffset, endOffset, fraud }: Window,
  valueNames: readonly string[],
): Json {
  const through = reservoir.aggregate(boundaries.indexOf(endOffset))
  const before = reservoir.aggregate(boundaries.indexOf(startOffset))
  const of = (i: number): number => through[i]! - before[i]!
  const count = of(0)
  const values = valueNames.map((name, v) => {
    const sum = BigInt(of(2 + 2 * v)) * BigInt(limb) + BigInt(of(3 + 2 * v))
    return [name, { sum: String(sum), mean: count === 0 ? null : Number(sum) / count }] as const
  })
  return {
    features,
    after: isoTime(reservoir.time - startOffset),
    through: isoTime(reservoir.time - endOffset),
    count,
    ...(fraud && { fraud: of(1) }),
    ...Object.fromEntries(values),
  }
}

/** Turns cumulative aggregates into feature columns: each window is a difference of two boundaries, divided on read. */
import { assert } from '../../kernel/index.js'
import type { AggregateKind, Feature } from './features.js'
import { limb, type ReservoirShape } from './shape.js'

interface Instruction<T> {
  readonly aggregate: AggregateKind
  readonly column: number
  /** Where the two cumulative aggregates begin. */
  readonly start: number
  readonly end: number
  readonly value: number
  readonly countsCurrent: boolean
  readonly per: ((record: T) => number) | undefined
}

export class FeatureProgram<T> {
  readonly #instructions: readonly Instruction<T>[]

  constructor(
    shape: ReservoirShape,
    features: readonly Feature<string, T>[],
    values: readonly string[],
    columns: readonly number[],
  ) {
    const at = (offset: number): number => shape.boundaries.indexOf(offset) * shape.stride
    this.#instructions = features.map((feature, i) => {
      const { aggregate, value, per } = feature.spec
      assert(value === undefined || values.includes(value), `value ${value} is declared`)
      return {
        aggregate,
        column: columns[i]!,
        start: at(feature.startOffset),
        end: at(feature.endOffset),
        value: value === undefined ? -1 : values.indexOf(value),
        countsCurrent: feature.countsCurrent,
        per,
      }
    })
  }

  /** @param columns of the row. @param values of the record, which has not been inserted yet */
  fill(columns: number[], record: T, aggregates: Float64Array, values: Float64Array): void {
    let lastPer: ((record: T) => number) | undefined
    let divisor = 1
    for (const { aggregate, column, start, end, value, countsCurrent, per } of this.#instructions) {
      const count = aggregates[end]! - aggregates[start]! + (countsCurrent ? 1 : 0)
      if (aggregate === 'count') {
        columns[column] = count
        continue
      }
      if (aggregate === 'fraud-share') {
        columns[column] = count === 0 ? 0 : (aggregates[end + 1]! - aggregates[start + 1]!) / count
        continue
      }
      const limbs = 2 + 2 * value
      const high = aggregates[end + limbs]! - aggregates[start + limbs]!
      const low = aggregates[end + limbs + 1]! - aggregates[start + limbs + 1]! + (countsCurrent ? values[value]! : 0)
      // Both terms are exact: the sum rounds once, and only beyond 2^53.
      const sum = high * limb + low
      if (per !== lastPer) {
        lastPer = per
        divisor = per === undefined ? 1 : per(record)
      }
      if (aggregate === 'sum') columns[column] = sum / divisor
      else columns[column] = count === 0 ? Number.NaN : sum / (count * divisor)
    }
  }
}

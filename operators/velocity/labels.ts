/**
 * The labels of one event: its fraud state is a step function of the evaluation time, given by the label with the
 * greatest available_at not after it; of two with the same available_at, the one that arrived later.
 */
import { type EventLabel, labelsPerEventMax } from './run.js'

export interface LabelChange {
  readonly labels: readonly EventLabel[]
  /** By how much the state rises over [available_at, until): -1, 0 or 1. */
  readonly delta: number
  readonly until: number
}

const only = { availableAt: 0, fraud: false }
const first = { labels: [only], delta: 0, until: Number.POSITIVE_INFINITY }

/**
 * @param labels ascending by available_at, no two the same
 * @param settled no evaluation before this time will come: labels superseded by then may go when room is needed
 * @returns until the next call; undefined when the event has `labelsPerEventMax` labels and none may go
 */
export function applyLabel(
  labels: readonly EventLabel[],
  availableAt: number,
  fraud: boolean,
  settled: number,
): LabelChange | undefined {
  // The common case, one label soon after its transaction, is not worth three objects.
  if (labels.length === 0) {
    only.availableAt = availableAt
    only.fraud = fraud
    first.delta = fraud ? 1 : 0
    return first
  }
  let index = 0
  while (index < labels.length && labels[index]!.availableAt < availableAt) index++
  const same = labels[index]?.availableAt === availableAt
  const before = same ? labels[index]!.fraud : index > 0 && labels[index - 1]!.fraud
  const result = labels.slice()
  result.splice(index, same ? 1 : 0, { availableAt, fraud })
  const until = labels[same ? index + 1 : index]?.availableAt ?? Number.POSITIVE_INFINITY
  while (result.length > labelsPerEventMax && result[1]!.availableAt <= settled) result.shift()
  if (result.length > labelsPerEventMax) return undefined
  return { labels: result, delta: Number(fraud) - Number(before), until }
}

/** Rows between steps: a step's output, the merging of its inputs in the epoch's order, rows made from rows. */
import { type EventTimeMs, eventTime } from '../../kernel/index.js'
import { type Row, type RowOutput, readAt } from '../../operators/index.js'

export class StepOutput implements RowOutput {
  readonly rows: Row[] = []
  #limit = 0

  push(row: Row): boolean {
    if (this.rows.length >= this.#limit) return false
    this.rows.push(row)
    return true
  }

  /** Makes room for at least one more row. */
  grant(room: number): void {
    this.#limit = this.rows.length + room
  }

  get full(): boolean {
    return this.rows.length >= this.#limit
  }

  clear(): void {
    this.rows.length = 0
    this.#limit = 0
  }
}

/** topic/partition/offset */
export const positionKey = (topic: string, partition: number, at: number | bigint): string =>
  `${topic}/${partition}/${at}`

/** Where this slot has read it. */
export function rowPosition(row: Row): string {
  const { topic, partition, offset } = readAt(row)
  return positionKey(topic, partition, offset)
}

/** A row of the same shape as any other: V8 then keeps access to rows monomorphic. */
export function derive(origin: Row, value: unknown, at: EventTimeMs, features: number[]): Row {
  return {
    value,
    at,
    key: origin.key,
    ordinal: origin.ordinal,
    flags: origin.flags,
    features,
    score: origin.score,
    source: origin.source,
    loggedAtMs: origin.loggedAtMs,
    hop: origin.hop,
  }
}

/** Stands for a timer or a watermark. */
export function blankRow(ordinal: number, features: number[]): Row {
  return {
    value: undefined,
    at: eventTime(0),
    key: '',
    ordinal,
    flags: 0,
    features,
    score: Number.NaN,
    source: { topic: '', partition: -1, offset: -1 },
    loggedAtMs: Number.NaN,
    hop: null,
  }
}

/** The input whose next row comes first: by ordinal, ties in the order of the inputs (I3). @returns -1 at the end of all */
export function nextPort(inputs: readonly (readonly Row[])[], cursors: Int32Array): number {
  if (inputs.length === 1) return cursors[0]! < inputs[0]!.length ? 0 : -1
  let port = -1
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < inputs.length; i++) {
    const row = inputs[i]![cursors[i]!]
    if (row !== undefined && row.ordinal < least) {
      least = row.ordinal
      port = i
    }
  }
  return port
}

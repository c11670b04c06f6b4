/**
 * The operator contract. Two levels:
 * - `Operator` is what users write: values in, values out, state through handles.
 * - `OperatorSpec` is what the DSL and the slot work with: a kind, what it declares, and a factory. Built-in operators
 *   implement the row level directly, because they fill feature columns and flags of a row.
 *
 * Invariants: I3 (no clock, randomness, I/O or unordered iteration in here), I7 (validation before the first mutation).
 */
import type { EventTimeMs } from '../kernel/index.js'
import type { StateFactory, Timers } from '../state/index.js'

export interface Output<Out> {
  /** @returns false when full: return false from the operator, and be called again with the same argument. */
  emit(value: Out): boolean
}

/** A user's operator. `false` means full: call again with the same argument. */
export interface Operator<In, Out> {
  onRecord(record: In, at: EventTimeMs, out: Output<Out>): boolean
  /** A timer of the current key is due. */
  onTimer?(at: EventTimeMs, out: Output<Out>): boolean
  /** At the end of each epoch, after its timers. No key is current: state and timers cannot be used. */
  onWatermark?(to: EventTimeMs, out: Output<Out>): boolean
}

/** Bits of `Row.flags`. */
export const RowFlag = {
  /** More than the allowed lag behind its customer's greatest event time. */
  late: 1,
  /** Too far behind an entity's history to be inserted or evaluated for it. */
  historyIncomplete: 2,
  /** Its id was seen before; only where the dedupe step hands repeats on. */
  repeated: 4,
  /** A repeat that differs from the first. */
  conflicting: 8,
  /** It lies in a partition that its key does not belong to; gone once it was read where it belongs. */
  astray: 16,
} as const

export interface SourcePosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What a row carries that has been sent from slot to slot (exchange/FORMAT.md). */
export interface HopTag {
  /** Where the slot that has it now has read it. */
  readonly read: SourcePosition
  /** The partition in which its record was first processed: there it comes back to. */
  readonly home: number
  /** Its place among the rows that left this home, from 0 without a gap; -1: nobody waits for it. */
  readonly sequence: number
  /** Which input of the step behind the hop it is for. */
  readonly port: number
  /** With `last` the sequence number is done with; with `skip` as well, and no row is left of the record. */
  readonly part: 'last' | 'more' | 'skip'
}

/**
 * One record on its way through a slot's steps. Columns that built-in operators fill travel with it, so that no step
 * copies a value. `features` has one slot per feature of the plan, NaN while missing.
 */
export interface Row {
  value: unknown
  at: EventTimeMs
  /** The key of the step that is looking at the row; '' for steps without one. */
  key: string
  /** Place in the epoch's order (I3): rows of one source record share it. */
  ordinal: number
  flags: number
  /** To be read. Filled through `StepContext.columns`: rows in which nothing is filled yet share theirs. */
  features: number[]
  /** NaN until scored, and when scoring failed. */
  score: number
  source: SourcePosition
  /** When the log took the record, ms; NaN where the log has no clock. */
  loggedAtMs: number
  /** null while the row has not been sent from one slot to another. */
  hop: HopTag | null
}

/** Where this slot has read the row: by this position it is left out of an epoch (I7). */
export const readAt = (row: Row): SourcePosition => row.hop?.read ?? row.source

export interface RowOutput {
  /** @returns false when full */
  push(row: Row): boolean
}

/** A running instance of a step, for one slot. */
export interface StepRuntime {
  /** @param port which input the row came from: 0 the main one, 1.. the side inputs in the order given to `via` */
  onRow(row: Row, out: RowOutput, port: number): boolean
  /** A timer of the current key is due. */
  onTimer?(at: EventTimeMs, out: RowOutput): boolean
  /** At the end of each epoch, after its timers; no key is current. */
  onWatermark?(to: EventTimeMs, out: RowOutput): boolean
}

export interface StepContext {
  readonly step: string
  readonly state: StateFactory
  readonly timers: Timers
  /** Column of a feature that this step declared in `OperatorSpec.features`. */
  featureColumn(name: string): number
  /** The row's feature columns, to be filled: its own from here on. */
  columns(row: Row): number[]
  /** Adds to a named counter of the epoch; counters are journaled and summed over the life of the job. */
  count(counter: string, by?: number): void
  /** A row derived from `origin` (same source position, order and features so far), carrying another value. */
  derive(origin: Row, value: unknown, at?: EventTimeMs): Row
  /** A row that stands for a timer or a watermark: it has no source record. */
  blank(): Row
}

export interface OperatorSpec {
  /** velocity, dedupe, process, map, … */
  readonly kind: string
  /** True when it keeps state: the stream must be keyed. */
  readonly stateful: boolean
  /** True when it hands on the very rows that it gets (filter, velocity, dedupe): the key then holds behind it too. */
  readonly passesRows?: boolean
  /** Keyed by the row itself, whatever its stream is keyed by: the engine's own steps. */
  readonly keyOfRow?: (row: Row) => string
  /** Rows may come out in a later epoch than the one that has read them: an exclusion (I7) then holds for its output. */
  readonly holdsRows?: boolean
  /** Feature columns that this step fills, by name. */
  readonly features: readonly string[]
  /** Parameters as plain JSON: part of the topology fingerprint and of `weir describe`. */
  readonly parameters: Readonly<Record<string, unknown>>
  create(context: StepContext): StepRuntime
}

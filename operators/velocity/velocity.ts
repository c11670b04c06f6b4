/**
 * The velocity operator: exact sliding-window features per key over one event reservoir, shared by all its windows.
 *
 * Port 0 carries the records: each is evaluated over the records of its key that have arrived, fills its feature
 * columns, and is inserted. Port 1, when labels are joined, carries labels; they produce no output.
 *
 * Invariants: 1. a call reads all it needs, then pushes the row, then changes state: a miss or a full output leaves
 * nothing behind; 2. nothing here depends on the cuts of epochs or on what is in memory.
 *
 * Counters: late, history_incomplete; labels_joined, labels_early, labels_early_met (among the early ones), and the
 * dropped: labels_unmatched, labels_early_full, labels_event_full, labels_without_effect.
 */
import { assert, type DurationMs, days, millis, WeirError } from '../../kernel/index.js'
import type { PagedState } from '../../state/index.js'
import {
  type OperatorSpec,
  type Row,
  RowFlag,
  type RowOutput,
  type StepContext,
  type StepRuntime,
} from '../contract.js'
import { Hash64 } from '../identity.js'
import { FeatureProgram } from './evaluate.js'
import type { Feature } from './features.js'
import { describeReservoir } from './inspect.js'
import { type LabelFate, type Reservoir, reservoirCodec } from './reservoir.js'
import { type ReservoirSizes, reservoirShape, valueMax } from './shape.js'

export type VelocityValues<T> = Readonly<Record<string, (record: T) => number>>
export type VelocityFeatures<V, T> = Readonly<Record<string, Feature<keyof V & string, T>>>

/** How labels find their records: by key, event time and identity, the same parts in the same order on both sides. */
export interface VelocityLabels<T, L> {
  readonly identity: readonly ((record: T) => string)[]
  readonly label: {
    readonly identity: readonly ((label: L) => string)[]
    /** Of the record, ms. */
    readonly eventTime: (label: L) => number
    /** The label counts for evaluations at this time and later, ms. */
    readonly availableAt: (label: L) => number
    readonly fraud: (label: L) => boolean
  }
}

export interface VelocityOptions {
  /** A record further behind its key's greatest event time is neither evaluated nor inserted; default 30 days. */
  readonly lateness?: DurationMs
  /** Sets RowFlag.late on records further behind than this; without it never. */
  readonly lateAfter?: DurationMs
  /** Labels waiting for their record, per key; default 64. */
  readonly earlyLabelsMax?: number
  /** Page sizes; for tests. Part of the stored format. */
  readonly sizes?: ReservoirSizes
}

export interface VelocitySpec<V, T, L> extends VelocityOptions {
  /** Whole numbers from -10^15 to 10^15, by name. */
  readonly values: V
  readonly features: VelocityFeatures<V, T>
  readonly labels?: VelocityLabels<T, L>
}

const defaultEarlyLabelsMax = 64
/** Times that the stored format takes: about 1,100 years to both sides of 1970. */
const timeMax = 2 ** 45

export function velocity<V extends VelocityValues<T>, T, L = never>(spec: VelocitySpec<V, T, L>): OperatorSpec {
  const names = Object.keys(spec.features)
  const features = names.map(name => spec.features[name]!)
  assert(names.length > 0 || spec.lateAfter !== undefined, 'a velocity step has features, or tells what is late')
  assert(
    spec.labels !== undefined || features.every(feature => feature.spec.aggregate !== 'fraud-share'),
    'a share of fraud needs labels',
  )
  // Only what a feature reads is stored.
  const valueNames = Object.keys(spec.values).filter(name => features.some(feature => feature.spec.value === name))
  const shape = reservoirShape({
    boundaries: features.length === 0 ? [0] : features.flatMap(boundariesOf),
    fraudBoundaries: features.filter(feature => feature.spec.aggregate === 'fraud-share').flatMap(boundariesOf),
    values: valueNames.length,
    labelled: spec.labels !== undefined,
    lateness: spec.lateness ?? days(30),
    earlyLabelsMax: spec.earlyLabelsMax ?? defaultEarlyLabelsMax,
    ...(spec.sizes && { sizes: spec.sizes }),
  })
  const codec = reservoirCodec(shape, valueNames, describeReservoir(shape, spec.features, valueNames))
  return {
    kind: 'velocity',
    stateful: true,
    passesRows: true,
    features: names,
    parameters: {
      values: valueNames,
      features: Object.fromEntries(names.map((name, i) => [name, features[i]!.toJSON()])),
      latenessMs: shape.latenessMs,
      lateAfterMs: spec.lateAfter ?? null,
      labels: shape.labelled,
      earlyLabelsMax: shape.earlyLabelsMax,
      sizes: { ...shape.sizes },
      codec: `${codec.name}@${codec.version}`,
    },
    create: context =>
      new VelocityStep<T, L>(
        context,
        context.state.paged('events', codec),
        valueNames.map(name => ({ name, of: spec.values[name]! })),
        new FeatureProgram(
          shape,
          features,
          valueNames,
          names.map(name => context.featureColumn(name)),
        ),
        spec.labels,
        spec.lateAfter ?? millis(Number.POSITIVE_INFINITY),
      ),
  }
}

const boundariesOf = ({ startOffset, endOffset }: { startOffset: number; endOffset: number }): number[] => [
  startOffset,
  endOffset,
]

class VelocityStep<T, L> implements StepRuntime {
  readonly #context: StepContext
  readonly #state: PagedState<Reservoir>
  readonly #extractors: readonly { readonly name: string; readonly of: (record: T) => number }[]
  readonly #values: Float64Array
  readonly #program: FeatureProgram<T>
  readonly #labels: VelocityLabels<T, L> | undefined
  readonly #lateAfterMs: number
  readonly #hash = new Hash64()

  constructor(
    context: StepContext,
    state: PagedState<Reservoir>,
    extractors: readonly { readonly name: string; readonly of: (record: T) => number }[],
    program: FeatureProgram<T>,
    labels: VelocityLabels<T, L> | undefined,
    lateAfterMs: number,
  ) {
    this.#context = context
    this.#state = state
    this.#extractors = extractors
    this.#values = new Float64Array(extractors.length)
    this.#program = program
    this.#labels = labels
    this.#lateAfterMs = lateAfterMs
  }

  onRow(row: Row, out: RowOutput, port: number): boolean {
    if (port === 1) {
      this.#onLabel(row.value as L)
      return true
    }
    return this.#onRecord(row, out)
  }

  #onRecord(row: Row, out: RowOutput): boolean {
    const record = row.value as T
    const time = checkedTime(row.at)
    for (let v = 0; v < this.#values.length; v++) this.#values[v] = this.#valueOf(v, record)
    const reservoir = this.#state.get()
    const late = time < reservoir.time - this.#lateAfterMs
    if (late) row.flags |= RowFlag.late
    if (reservoir.isTooLate(time)) {
      row.flags |= RowFlag.historyIncomplete
      if (!out.push(row)) return false
      this.#context.count('history_incomplete')
      if (late) this.#context.count('late')
      return true
    }
    const hash = this.#hash.reset()
    if (this.#labels) for (const part of this.#labels.identity) hash.add(part(record))
    const aggregates = reservoir.evaluate(time)
    reservoir.prepareInsert(time, hash.high, hash.low)
    this.#program.fill(this.#context.columns(row), record, aggregates, this.#values)
    if (!out.push(row)) return false
    this.#state.touch()
    reservoir.insert(time, this.#values, hash.high, hash.low)
    if (late) this.#context.count('late')
    if (this.#labels) this.#countEarly(reservoir)
    return true
  }

  #onLabel(label: L): void {
    const { identity, eventTime, availableAt, fraud } = this.#labels!.label
    const hash = this.#hash.reset()
    for (const part of identity) hash.add(part(label))
    const time = checkedTime(eventTime(label))
    const available = checkedTime(availableAt(label))
    const isFraud = fraud(label)
    const reservoir = this.#state.get()
    const fate = reservoir.prepareLabel(time, hash.high, hash.low, available, isFraud)
    if (fate === 'joined' || fate === 'early') {
      this.#state.touch()
      reservoir.label(time, hash.high, hash.low, available, isFraud)
      this.#countEarly(reservoir)
    }
    this.#context.count(counters[fate])
  }

  #countEarly(reservoir: Reservoir): void {
    if (reservoir.labelsMet > 0) this.#context.count('labels_early_met', reservoir.labelsMet)
    if (reservoir.labelsUnmatched > 0) this.#context.count('labels_unmatched', reservoir.labelsUnmatched)
    reservoir.labelsMet = 0
    reservoir.labelsUnmatched = 0
  }

  #valueOf(v: number, record: T): number {
    const { name, of } = this.#extractors[v]!
    const value = of(record)
    if (Number.isSafeInteger(value) && Math.abs(value) <= valueMax) return value
    throw new WeirError(
      'INVALID_FIELD',
      `${this.#context.step}: value ${name} is ${value}, not a whole number up to 10^15`,
    )
  }
}

const counters: Readonly<Record<LabelFate, string>> = {
  joined: 'labels_joined',
  early: 'labels_early',
  'early-full': 'labels_early_full',
  unmatched: 'labels_unmatched',
  'without-effect': 'labels_without_effect',
  'event-full': 'labels_event_full',
}

function checkedTime(time: number): number {
  if (Number.isSafeInteger(time) && Math.abs(time) <= timeMax) return time
  throw new WeirError('INVALID_EVENT_TIME', `${time} is not a whole number of ms within 2^45`)
}

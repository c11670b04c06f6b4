/**
 * The general keyed operator: a user's `Operator` with declared state and timers.
 *
 * Invariants: state is declared once, when the step is created; `onRecord` is retried with the same record after a full
 * output or a state miss, and what it emitted before does not go out twice.
 */
import type { EventTimeMs } from '../../kernel/index.js'
import { declaredState, type StateFactory, type Timers } from '../../state/index.js'
import { OutputAdapter } from '../adapter.js'
import type { Operator, OperatorSpec, Row, RowOutput, StepContext } from '../contract.js'

export interface ProcessContext<S> {
  readonly state: S
  readonly timers: Timers
}

export interface ProcessSpec<In, Out, S> {
  /**
   * Declares the step's state: `state => ({ total: state.value('total', intCodec) })`. Declares and nothing else: it is
   * called when the topology is built, for the fingerprint, and again for each slot.
   */
  readonly state: (factory: StateFactory) => S
  readonly create: (context: ProcessContext<S>) => Operator<In, Out>
  /** Anything that changes results, for the topology fingerprint. */
  readonly parameters?: Readonly<Record<string, unknown>>
}

export function process<In, Out, S>(spec: ProcessSpec<In, Out, S>): OperatorSpec {
  return {
    kind: 'process',
    stateful: true,
    features: [],
    parameters: { ...spec.parameters, state: namesOf(spec.state) },
    create: (context: StepContext) => {
      const operator = spec.create({ state: spec.state(context.state), timers: context.timers })
      const adapter = new OutputAdapter<Out>(context)
      // The origin of what a timer or a watermark emits: kept while one call is made again, new for each (its place in
      // the epoch's order is behind everything before it).
      let blank: Row | undefined
      const beginBlank = (at: EventTimeMs, out: RowOutput): void => {
        blank ??= context.blank()
        blank.at = at
        adapter.begin(blank, out)
        adapter.rewind()
      }
      const finishBlank = (): true => {
        adapter.finish()
        blank = undefined
        return true
      }
      return {
        onRow: (row: Row, out: RowOutput) => {
          adapter.begin(row, out)
          adapter.rewind()
          if (!operator.onRecord(row.value as In, row.at, adapter)) return false
          adapter.finish()
          return true
        },
        ...(operator.onTimer && {
          onTimer: (at: EventTimeMs, out: RowOutput) => {
            beginBlank(at, out)
            return operator.onTimer!(at, adapter) && finishBlank()
          },
        }),
        ...(operator.onWatermark && {
          onWatermark: (to: EventTimeMs, out: RowOutput) => {
            beginBlank(to, out)
            return operator.onWatermark!(to, adapter) && finishBlank()
          },
        }),
      }
    },
  }
}

/** Names, codecs and ends of the state that a step declares: another one is another topology. */
const namesOf = (declare: (factory: StateFactory) => unknown): readonly string[] =>
  declaredState(declare).map(({ kind, name, codec, ttl_ms, entries_max }) => {
    const ttl = ttl_ms === undefined ? '' : ` ttl ${ttl_ms}`
    const most = entries_max === undefined ? '' : ` at most ${entries_max}`
    return `${kind} ${name} ${codec.name}@${codec.version}${ttl}${most}`
  })

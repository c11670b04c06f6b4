/**
 * Runs one epoch's rows through the plan, step by step: every step sees the whole epoch before the next one starts, so
 * that each step can read the state of all its keys in one batch.
 *
 * Invariants:
 * 1. Operators run synchronously; the only awaits are state reads and scoring, between operator calls.
 * 2. A step with several inputs takes them in the epoch's order (ordinals; ties in the order of its inputs) (I3).
 * 3. An operator call that misses state, or finds its output full, is undone and made again with the same row.
 * 4. What an operator throws becomes a RecordFault that names the record; state is then dirty with half an epoch and
 *    must be discarded by the caller (I7).
 */
import { defined, type EventTimeMs, messageOf, WeirError } from '../../kernel/index.js'
import type { OperatorSpec, Row, StepContext, StepRuntime } from '../../operators/index.js'
import { featureColumns, type Model, type ScoreReport } from '../../scoring/index.js'
import { keyBytesMax, type ResidentKey, StateMiss, type StateStore, type StepState } from '../../state/index.js'
import type {
  BoundDecide,
  DecideContext,
  HopNode,
  KeyOf,
  ModelIdentity,
  OperatorNode,
  Plan,
  ScoreNode,
  SinkNode,
} from '../../topology/index.js'
import type { Phases } from './phases.js'
import { blankRow, derive, nextPort, rowPosition, StepOutput } from './rows.js'

/** An operator threw on a record. */
export class RecordFault extends Error {
  readonly step: string
  readonly row: Row

  constructor(step: string, row: Row, cause: unknown) {
    super(`step '${step}' threw: ${messageOf(cause)}`, { cause })
    this.name = 'RecordFault'
    this.step = step
    this.row = row
  }
}

export interface PipelineLimits {
  /** Rows that one step may have out in one epoch; an operator that multiplies records meets this bound. */
  readonly rowsPerStepMax: number
  /** Timers of one step that fire at the end of one epoch; one that sets itself again at once meets this bound. */
  readonly timersPerEpochMax: number
  /** Rows that fit into a step's output before it says that it is full. */
  readonly outputRowsMax: number
}

/** What the journal fixes about an epoch beside its records. */
export interface EpochClock {
  /** By stage of the plan. */
  readonly watermarks: readonly EventTimeMs[]
  /** Positions (topic/partition/offset) of rows that earlier epochs have read and that must not come out any more. */
  readonly excluded?: ReadonlySet<string>
}

export type EpochMode = 'live' | 'suppressed'

interface OperatorStep {
  readonly node: OperatorNode
  readonly runtime: StepRuntime
  readonly state: StepState | undefined
  readonly stage: number
  readonly keys: readonly KeyOf[]
  /** Of the epoch's rows, by port: key and resident. */
  readonly rowKeys: string[][]
  readonly residents: ResidentKey[][]
  /** Of the row that is being processed. */
  resident: ResidentKey | undefined
}

export class Pipeline {
  readonly #plan: Plan
  readonly #store: StateStore
  readonly #models: ReadonlyMap<string, Model>
  readonly #limits: PipelineLimits
  readonly #phases: Phases
  readonly #outputs = new Map<string, StepOutput>()
  readonly #operators = new Map<string, OperatorStep>()
  readonly #columns = new Map<string, Int32Array>()
  readonly #decides = new Map<string, BoundDecide<unknown, unknown>>()
  readonly #counts = new Map<string, number>()
  readonly #scoringFailed = new Set<Row>()
  readonly #leftOut: Row[] = []
  #scoringError: Error | null = null
  #nextOrdinal = 0

  constructor(
    plan: Plan,
    store: StateStore,
    models: ReadonlyMap<string, Model>,
    limits: PipelineLimits,
    phases: Phases,
  ) {
    this.#plan = plan
    this.#store = store
    this.#models = models
    this.#limits = limits
    this.#phases = phases
    for (const node of plan.steps) {
      this.#outputs.set(node.name, new StepOutput())
      if (node.kind === 'operator') this.#operators.set(node.name, this.#createOperator(node))
      if (node.kind === 'score') this.#columns.set(node.name, this.#columnsOf(node))
      if (node.kind === 'decide') this.#decides.set(node.name, node.decide.bind(plan.featureNames, this.#identity()))
    }
  }

  /** Counters of the last run. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  /** Why rows of the last run have no score, where the model failed. */
  get scoringError(): Error | null {
    return this.#scoringError
  }

  /** Lets go of the last run's rows, so that they are garbage before the next epoch's are made. */
  release(): void {
    for (const output of this.#outputs.values()) output.clear()
    this.#scoringFailed.clear()
  }

  /** Rows of the last run that `EpochClock.excluded` has kept from coming out. */
  get leftOut(): readonly Row[] {
    return this.#leftOut
  }

  /** Rows that the last run sends to a sink. */
  rowsFor(sink: SinkNode): readonly Row[] {
    return this.#rowsOf(sink.input)
  }

  /** Rows that the last run sends to other slots, by input. */
  rowsForHop(hop: HopNode): readonly (readonly Row[])[] {
    return hop.inputs.map(input => this.#rowsOf(input))
  }

  /**
   * @param sources rows by source, in the plan's order
   * @throws RecordFault
   */
  async run(sources: readonly (readonly Row[])[], clock: EpochClock, mode: EpochMode): Promise<void> {
    for (const output of this.#outputs.values()) output.clear()
    this.#counts.clear()
    this.#scoringFailed.clear()
    this.#leftOut.length = 0
    this.#scoringError = null
    this.#nextOrdinal = sources.reduce((sum, rows) => sum + rows.length, 0)
    const { steps, statefulEnd } = this.#plan
    const end = mode === 'suppressed' ? statefulEnd : steps.length
    for (let i = 0; i < end; i++) {
      const node = steps[i]!
      switch (node.kind) {
        case 'source': {
          const output = defined(this.#outputs.get(node.name), node.name)
          for (const row of sources[this.#plan.sources.indexOf(node)]!) output.rows.push(row)
          break
        }
        case 'operator':
          await this.#runOperator(defined(this.#operators.get(node.name), node.name), clock)
          break
        case 'score':
          await this.#runScore(node)
          break
        case 'decide':
          await this.#runDecide(node.name, node.input)
          break
        case 'keyBy':
        case 'sink':
        case 'hop':
          break
      }
    }
  }

  #createOperator(node: OperatorNode): OperatorStep {
    const spec: OperatorSpec = node.spec
    const state = spec.stateful ? this.#store.step(node.name) : undefined
    const { noFeatures } = this.#plan
    const context: StepContext = {
      step: node.name,
      state: state ?? noState(node.name),
      timers: state?.timers ?? noTimers(node.name),
      featureColumn: name => {
        const column = this.#plan.featureNames.indexOf(name)
        if (column < 0) throw new WeirError('UNKNOWN_FEATURE', `step '${node.name}' asks for feature '${name}'`)
        return column
      },
      count: (counter, by = 1) => {
        this.#counts.set(counter, (this.#counts.get(counter) ?? 0) + by)
      },
      columns: row => {
        if (row.features === noFeatures) row.features = noFeatures.slice()
        return row.features
      },
      // Columns of its own, once there are any: later steps fill them for each row, and two rows may come from one origin.
      derive: (origin, value, at = origin.at) => {
        const { features } = origin
        return derive(origin, value, at, features === noFeatures ? noFeatures : features.slice())
      },
      blank: () => this.#blankRow(),
    }
    return {
      node,
      runtime: spec.create(context),
      state,
      stage: this.#plan.stageOf.get(node.name) ?? 0,
      keys: this.#plan.keys.get(node.name) ?? [],
      rowKeys: node.inputs.map(() => []),
      residents: node.inputs.map(() => []),
      resident: undefined,
    }
  }

  #blankRow(): Row {
    return blankRow(this.#nextOrdinal++, this.#plan.noFeatures)
  }

  /** keyBy has no rows of its own: its key is taken by the keyed step. */
  #rowsOf(name: string): readonly Row[] {
    let at = name
    for (;;) {
      const node = this.#plan.steps.find(step => step.name === at)
      if (node?.kind !== 'keyBy') return defined(this.#outputs.get(at), at).rows
      at = node.input
    }
  }

  async #runOperator(step: OperatorStep, clock: EpochClock): Promise<void> {
    const { node, runtime, state } = step
    const inputs = node.inputs.map(input => this.#rowsOf(input))
    const output = defined(this.#outputs.get(node.name), node.name)
    if (state !== undefined) {
      this.#phases.start('state')
      for (let port = 0; port < inputs.length; port++) await this.#resolveKeys(step, state, inputs[port]!, port)
    }
    this.#phases.start(node.name)
    const cursors = new Int32Array(inputs.length)
    for (;;) {
      const port = nextPort(inputs, cursors)
      if (port < 0) break
      const at = cursors[port]!++
      const row = inputs[port]![at]!
      if (state !== undefined) {
        row.key = step.rowKeys[port]![at]!
        step.resident = step.residents[port]![at]!
      }
      // The common case inline: no miss, not full, nothing to await.
      if (!this.#tryCall(step, row, port, output)) await this.#insist(step, row, port, output)
    }
    if (node.spec.holdsRows === true) this.#leaveOut(output, clock.excluded)
    const watermark = defined(clock.watermarks[step.stage], `watermark of stage ${step.stage}`)
    if (state !== undefined && runtime.onTimer !== undefined) await this.#runTimers(step, state, watermark, output)
    if (runtime.onWatermark !== undefined && watermark > Number.NEGATIVE_INFINITY) {
      // No key is current: state that is read or set here would be that of whichever key came last in the epoch (I3).
      if (state !== undefined) state.current = undefined
      await this.#callUntilDone(step, this.#blankRow(), output, () => runtime.onWatermark!(watermark, output))
    }
  }

  /** Rows read by an earlier epoch cannot be left out where they are read. */
  #leaveOut(output: StepOutput, excluded: ReadonlySet<string> | undefined): void {
    if (excluded === undefined || excluded.size === 0) return
    const kept = output.rows.filter(row => {
      const isOut = excluded.has(rowPosition(row))
      if (isOut) this.#leftOut.push(row)
      return !isOut
    })
    output.rows.splice(0, output.rows.length, ...kept)
  }

  async #resolveKeys(step: OperatorStep, state: StepState, rows: readonly Row[], port: number): Promise<void> {
    const { keyOfRow } = step.node.spec
    const keyOf = keyOfRow === undefined ? defined(step.keys[port], 'key of a stateful step') : undefined
    const keys = step.rowKeys[port]!
    keys.length = rows.length
    let i = 0
    try {
      for (; i < rows.length; i++) {
        keys[i] = keyOf === undefined ? keyOfRow!(rows[i]!) : checkedKey(keyOf(rows[i]!.value))
      }
    } catch (error) {
      throw new RecordFault(step.node.name, rows[i]!, error)
    }
    await state.resolve(keys, step.residents[port]!)
  }

  /** @returns false when state was missing or the output full; the call is then undone */
  #tryCall(step: OperatorStep, row: Row, port: number, output: StepOutput): boolean {
    const { state, runtime } = step
    if (output.full) this.#grant(step, row, output)
    try {
      if (state === undefined) return runtime.onRow(row, output, port)
      state.enterResident(step.resident!)
      state.beginCall()
      if (runtime.onRow(row, output, port)) {
        state.endCall()
        return true
      }
      state.rollbackCall()
      return false
    } catch (error) {
      if (!(error instanceof StateMiss)) throw new RecordFault(step.node.name, row, error)
      defined(state, 'state of a step that missed it').rollbackCall()
      return false
    }
  }

  async #insist(step: OperatorStep, row: Row, port: number, output: StepOutput): Promise<void> {
    do {
      if (output.full) this.#grant(step, row, output)
      if (step.state?.missing === true) await step.state.loadMissing()
    } while (!this.#tryCall(step, row, port, output))
  }

  #grant(step: OperatorStep, row: Row, output: StepOutput): void {
    const { outputRowsMax, rowsPerStepMax } = this.#limits
    if (output.rows.length + outputRowsMax > rowsPerStepMax) {
      throw new RecordFault(step.node.name, row, new Error(`more than ${rowsPerStepMax} rows out in one epoch`))
    }
    output.grant(outputRowsMax)
  }

  async #runTimers(step: OperatorStep, state: StepState, watermark: EventTimeMs, output: StepOutput): Promise<void> {
    const row = this.#blankRow()
    for (let fired = 0; ; fired++) {
      const due = state.timers.due(watermark)
      if (due === undefined) return
      if (fired >= this.#limits.timersPerEpochMax) {
        throw new RecordFault(
          step.node.name,
          row,
          new Error(`more than ${fired} timers in one epoch: does it set its own again?`),
        )
      }
      await state.prefetch([due.key])
      row.at = due.at
      row.key = due.key
      await this.#callUntilDone(step, row, output, () => {
        state.enter(due.key)
        return step.runtime.onTimer!(due.at, output)
      })
      state.timers.fired(due)
    }
  }

  async #callUntilDone(step: OperatorStep, row: Row, output: StepOutput, call: () => boolean): Promise<void> {
    const { state } = step
    for (;;) {
      if (output.full) this.#grant(step, row, output)
      try {
        state?.beginCall()
        if (call()) {
          state?.endCall()
          return
        }
        state?.rollbackCall()
      } catch (error) {
        if (!(error instanceof StateMiss)) throw new RecordFault(step.node.name, row, error)
        state?.rollbackCall()
        await state?.loadMissing()
      }
    }
  }

  async #runScore(node: ScoreNode): Promise<void> {
    const rows = this.#rowsOf(node.input)
    const output = defined(this.#outputs.get(node.name), node.name)
    for (const row of rows) output.rows.push(row)
    if (rows.length === 0) return
    const model = this.#modelOf(node)
    this.#phases.start('score')
    const { failedRows, error } = await scored(model, rows, defined(this.#columns.get(node.name), node.name))
    if (failedRows > 0) {
      this.#scoringError = error
      for (const row of rows) if (Number.isNaN(row.score)) this.#scoringFailed.add(row)
      this.#counts.set('scoring_failed', (this.#counts.get('scoring_failed') ?? 0) + failedRows)
    }
  }

  async #runDecide(name: string, input: string): Promise<void> {
    const rows = this.#rowsOf(input)
    const output = defined(this.#outputs.get(name), name)
    const bound = defined(this.#decides.get(name), name)
    this.#phases.start('decide')
    const context = {
      value: undefined as unknown,
      row: undefined as unknown as Row,
      featureNames: this.#plan.featureNames,
      scoringFailed: false,
      impacts: null as Float64Array | null,
    }
    const prepare = (row: Row): DecideContext<unknown> => {
      context.value = row.value
      context.row = row
      context.scoringFailed = this.#scoringFailed.has(row)
      return context
    }
    const asked = rows.filter(row => {
      try {
        return bound.needsImpacts(prepare(row))
      } catch (error) {
        throw new RecordFault(name, row, error)
      }
    })
    const impacts = await this.#impactsOf(asked)
    for (const row of rows) {
      prepare(row)
      context.impacts = impacts?.get(row) ?? null
      let decision: unknown
      try {
        decision = bound.decide(context)
      } catch (error) {
        throw new RecordFault(name, row, error)
      }
      // The columns are shared: no step fills any behind a decision.
      output.rows.push(derive(row, decision, row.at, row.features))
    }
  }

  /** Impacts by feature column of the plan, NaN where the model has none; from the plan's scoring step. */
  async #impactsOf(rows: readonly Row[]): Promise<ReadonlyMap<Row, Float64Array> | null> {
    const node = this.#plan.steps.find(step => step.kind === 'score')
    if (rows.length === 0 || node === undefined) return null
    const model = this.#modelOf(node)
    const columns = defined(this.#columns.get(node.name), node.name)
    this.#phases.start('explain')
    const { impacts } = await model.explain(rows, columns)
    this.#phases.start('decide')
    const byRow = new Map<Row, Float64Array>()
    rows.forEach((row, i) => {
      const ofRow = new Float64Array(this.#plan.featureNames.length).fill(Number.NaN)
      columns.forEach((column, feature) => {
        ofRow[column] = impacts[i * columns.length + feature] ?? Number.NaN
      })
      byRow.set(row, ofRow)
    })
    return byRow
  }

  #modelOf(node: ScoreNode): Model {
    const model = this.#models.get(node.modelName)
    if (model === undefined)
      throw new WeirError('UNKNOWN_MODEL', `step '${node.name}' asks for model '${node.modelName}'`)
    return model
  }

  #columnsOf(node: ScoreNode): Int32Array {
    const { contract } = this.#modelOf(node)
    return contract === null ? new Int32Array(0) : featureColumns(contract, this.#plan.featureNames)
  }

  /** The model that decisions name: that of the plan's scoring step. */
  #identity(): ModelIdentity | null {
    const node = this.#plan.steps.find(step => step.kind === 'score')
    const contract = node === undefined ? null : this.#modelOf(node).contract
    return contract && { modelId: contract.modelId, version: contract.version }
  }
}

/** A model says what it could not score; one that throws all the same has scored nothing, and no decision is lost. */
async function scored(model: Model, rows: readonly Row[], columns: Int32Array): Promise<ScoreReport> {
  try {
    return await model.score(rows, columns)
  } catch (error) {
    for (const row of rows) row.score = Number.NaN
    return { failedRows: rows.length, error: error instanceof Error ? error : new Error(messageOf(error)) }
  }
}

/** @throws for what the state store cannot take as a key: keyBy is a user's function */
function checkedKey(key: unknown): string {
  if (typeof key !== 'string') throw new TypeError(`the key is ${key === null ? 'null' : typeof key}, not a string`)
  // A UTF-16 unit takes at most three bytes of UTF-8.
  if (key.length * 3 > keyBytesMax && Buffer.byteLength(key) > keyBytesMax) {
    throw new WeirError('STATE_KEY_TOO_LONG', `a key of ${Buffer.byteLength(key)} bytes`)
  }
  return key
}

function noState(step: string): never {
  return new Proxy({}, { get: () => refuse(step) }) as never
}

function noTimers(step: string): never {
  return new Proxy({}, { get: () => refuse(step) }) as never
}

function refuse(step: string): never {
  throw new WeirError('UNKEYED_STATE', `step '${step}' is not declared stateful, but asks for state`)
}

/**
 * The graph that the DSL builds: named nodes in the order of their declaration, each reading earlier ones.
 * Declaration order is a topological order by construction, so nothing here needs sorting.
 */
import { assertNever, type DurationMs, type EventTimeMs, WeirError } from '../kernel/index.js'
import type { OperatorSpec, Row, RowFormat } from '../operators/index.js'
import type { StateCodec } from '../state/index.js'
import type { SinkFormat, SourceFormat } from './formats.js'

/** How the records of a topic are spread over its partitions: by murmur2 of this key. */
export interface PartitionKey<T> {
  /** What the key stands for, as `keyBy` names it. */
  readonly key: string
  readonly keyOf: (value: T) => string
}

export interface SourceNode {
  readonly kind: 'source'
  readonly name: string
  readonly topic: string
  readonly format: SourceFormat<unknown>
  readonly eventTime: (value: unknown) => EventTimeMs
  readonly outOfOrderness: DurationMs
  /** In-epoch order of sources (I3): lower first, then declaration order. Control 0, labels 1, data 2. */
  readonly rank: number
  readonly partitionedBy?: PartitionKey<unknown>
  /** Reads what a hop of the same plan has written. */
  readonly hop?: HopNode
}

export interface KeyByNode {
  readonly kind: 'keyBy'
  readonly name: string
  readonly input: string
  readonly keyOf: (value: unknown) => string
  /** What the key stands for: streams with the same name here are keyed alike. */
  readonly key: string
}

export interface OperatorNode {
  readonly kind: 'operator'
  readonly name: string
  /** The main input first, then side inputs; merged in the epoch's order, ties in the order given here. */
  readonly inputs: readonly string[]
  readonly spec: OperatorSpec
}

export interface ScoreNode {
  readonly kind: 'score'
  readonly name: string
  readonly input: string
  readonly modelName: string
}

/** Everything a decision may depend on; pure (I3). */
export interface DecideContext<T> {
  readonly value: T
  readonly row: Row
  readonly featureNames: readonly string[]
  /** The model was asked and gave no usable answer. */
  readonly scoringFailed: boolean
  /** Per feature column, where `explain` asked for it: score minus the score with that feature at its reference. */
  readonly impacts: Float64Array | null
}

export interface DecideFunction<T, D> {
  readonly parameters: Readonly<Record<string, unknown>>
  /** Called once per slot with the plan's feature columns, to compile rules against them. */
  readonly bind: (featureNames: readonly string[], model: ModelIdentity | null) => BoundDecide<T, D>
}

export interface BoundDecide<T, D> {
  /** Whether this row's reasons need the model's impacts. */
  readonly needsImpacts: (context: DecideContext<T>) => boolean
  readonly decide: (context: DecideContext<T>) => D
}

export interface ModelIdentity {
  readonly modelId: string
  readonly version: string
}

export interface DecideNode {
  readonly kind: 'decide'
  readonly name: string
  readonly input: string
  readonly decide: DecideFunction<unknown, unknown>
}

export interface SinkNode {
  readonly kind: 'sink'
  readonly name: string
  readonly input: string
  readonly topic: string
  readonly format: SinkFormat<unknown>
  /** Counter that grows by one for each record written. */
  readonly counter: string
}

/**
 * Sends rows to the slots that they belong to, through a topic of the plan's own. Only plans of several slots have such.
 * - `key`: to the partition of the key that the step behind it asks for;
 * - `home`: back to the partition in which the record was processed first;
 * - `rekey`: to the partition in which the record should have been.
 */
export interface HopNode {
  readonly kind: 'hop'
  readonly name: string
  /** By port of the step behind. */
  readonly inputs: readonly string[]
  readonly route: 'key' | 'home' | 'rekey'
  /** The step behind it. */
  readonly step: string
  readonly topic: string
  readonly partitions: number
  /** By input; none for `home`. */
  readonly keys: readonly ((value: unknown) => string)[]
  readonly format: RowFormat
}

export type GraphNode = SourceNode | KeyByNode | OperatorNode | ScoreNode | DecideNode | SinkNode | HopNode

export function inputsOf(node: GraphNode): readonly string[] {
  switch (node.kind) {
    case 'source':
      return []
    case 'operator':
    case 'hop':
      return node.inputs
    case 'keyBy':
    case 'score':
    case 'decide':
    case 'sink':
      return [node.input]
    default:
      return assertNever(node)
  }
}

const stepName = /^[a-z][a-z0-9.-]{0,59}$/

/**
 * Collects nodes; names are identities (of state, above all), so they are checked here, and the DSL makes none up that does
 * not follow from one the user gave (`to-TOPIC`, `NAME-firsts`).
 */
export class Graph {
  readonly app: string
  readonly #nodes = new Map<string, GraphNode>()
  readonly #codecs = new Map<string, StateCodec<unknown>>()

  constructor(app: string) {
    this.app = app
  }

  get nodes(): readonly GraphNode[] {
    return [...this.#nodes.values()]
  }

  /** @throws WeirError INVALID_STEP_NAME, DUPLICATE_STEP */
  add(node: GraphNode): void {
    if (!stepName.test(node.name)) throw new WeirError('INVALID_STEP_NAME', `step name ${JSON.stringify(node.name)}`)
    if (node.kind === 'sink' && this.#nodes.get(node.name)?.kind === 'sink') {
      throw new WeirError('DUPLICATE_STEP', `two sinks write to '${node.topic}'; merge their streams first`)
    }
    if (this.#nodes.has(node.name)) throw new WeirError('DUPLICATE_STEP', `two steps are named '${node.name}'`)
    this.#nodes.set(node.name, node)
  }

  get(name: string): GraphNode | undefined {
    return this.#nodes.get(name)
  }

  /** How the values of a step's output become bytes, where they have to leave for another slot. */
  setCodec(step: string, codec: StateCodec<unknown>): void {
    this.#codecs.set(step, codec)
  }

  /** undefined: nobody has said; then it is JSON. */
  codecOf(step: string): StateCodec<unknown> | undefined {
    const declared = this.#codecs.get(step)
    if (declared !== undefined) return declared
    const node = this.#nodes.get(step)
    const handsOn =
      node?.kind === 'keyBy' || node?.kind === 'score' || (node?.kind === 'operator' && node.spec.passesRows)
    return handsOn ? this.codecOf(inputsOf(node)[0]!) : undefined
  }
}

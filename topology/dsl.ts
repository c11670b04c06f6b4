/**
 * The typed DSL: a step's name comes first, it is the identity of its state; every type is inferred.
 *
 * Each call adds a node to the graph and returns a view of its output; nothing runs here.
 */
import type { DurationMs, EventTimeMs } from '../kernel/index.js'
import { minutes } from '../kernel/index.js'
import {
  type DedupeOptions,
  dedupe,
  filter,
  filterFlags,
  flatMap,
  map,
  mapRow,
  type OperatorSpec,
  type ProcessSpec,
  process,
  type Row,
  RowFlag,
  type SourcePosition,
  type VelocityFeatures,
  type VelocityLabels,
  type VelocityOptions,
  type VelocityValues,
  velocity,
  withFeatures,
} from '../operators/index.js'
import type { StateCodec } from '../state/index.js'
import type { SinkFormat, SourceFormat } from './formats.js'
import { type DecideFunction, Graph, type PartitionKey, type SinkNode, type SourceNode } from './graph.js'

/** Starts a topology. @param app names its topics, group and journal */
export function topology(app: string): Topology {
  return new Topology(app)
}

export interface SourceOptions<T> {
  readonly eventTime: (value: T) => EventTimeMs
  /** How far records may lag behind the greatest event time seen before the watermark passes them; default 10 minutes. */
  readonly outOfOrderness?: DurationMs
  /** In-epoch order (I3): control before labels before data. */
  readonly role?: 'control' | 'labels' | 'data'
  /**
   * The key by which producers place records in partitions, as Kafka's Java client does. With several slots a step keyed by
   * it runs where the record is read; without it every keyed step has the record sent to another slot first.
   */
  readonly partitionedBy?: PartitionKey<T>
}

const rankOf = { control: 0, labels: 1, data: 2 } as const

export class Topology {
  readonly graph: Graph

  constructor(app: string) {
    this.graph = new Graph(app)
  }

  /** Reads a topic; the step is named after it. */
  source<T>(topic: string, format: SourceFormat<T>, options: SourceOptions<T>): Stream<T> {
    const node: SourceNode = {
      kind: 'source',
      name: topic,
      topic,
      format,
      eventTime: options.eventTime as SourceNode['eventTime'],
      outOfOrderness: options.outOfOrderness ?? minutes(10),
      rank: rankOf[options.role ?? 'data'],
      ...(options.partitionedBy && { partitionedBy: options.partitionedBy as PartitionKey<unknown> }),
    }
    this.graph.add(node)
    return new Stream<T>(this.graph, topic)
  }
}

/** Models by name; which artefact a name stands for is wired by the runner. */
export interface ModelReference {
  readonly modelName: string
}

export const modelNamed = (modelName: string): ModelReference => ({ modelName })

/** Features by name; undefined while missing. */
export type FeaturesOf<F extends string> = Readonly<Record<F, number | undefined>>

/** Records of type T on their way, with the features F that earlier steps have computed for them. */
export class Stream<T, F extends string = never> {
  protected readonly graph: Graph
  readonly step: string
  readonly features: readonly string[]

  constructor(graph: Graph, step: string, features: readonly string[] = []) {
    this.graph = graph
    this.step = step
    this.features = features
  }

  /** Plugs in any operator; what the named methods do for the built-in ones. */
  via<U = T, G extends string = never>(
    name: string,
    spec: OperatorSpec,
    ...sides: readonly Stream<unknown, string>[]
  ): Stream<U, F | G> {
    this.graph.add({ kind: 'operator', name, inputs: [this.step, ...sides.map(side => side.step)], spec })
    return new Stream<U, F | G>(this.graph, name, [...this.features, ...spec.features])
  }

  /** How values become bytes where they have to leave for another slot; without it as JSON. */
  codec(codec: StateCodec<T>): this {
    this.graph.setCodec(this.step, codec as StateCodec<unknown>)
    return this
  }

  map<U>(name: string, apply: (value: T) => U): Stream<U, F> {
    return this.via<U>(name, map(apply))
  }

  /** Like map, with the features so far: `.withFeatures('join', (payment, f) => ({ ...payment, ...f }))`. */
  withFeatures<U>(name: string, apply: (value: T, features: FeaturesOf<F>) => U): Stream<U, F> {
    return this.via<U>(name, withFeatures(this.features, apply as (value: T, features: FeaturesOf<string>) => U))
  }

  filter(name: string, keep: (value: T) => boolean): Stream<T, F> {
    return this.via(name, filter(keep))
  }

  flatMap<U>(name: string, apply: (value: T) => readonly U[]): Stream<U, F> {
    return this.via<U>(name, flatMap(apply))
  }

  /** Both streams as one, in the epoch's order. */
  merge<U>(name: string, other: Stream<U, string>): Stream<T | U, F> {
    return this.via<T | U>(
      name,
      map((value: T | U) => value),
      other,
    )
  }

  /** A side output: what `select` picks, as a stream of its own; this one goes on unchanged. */
  sideOutput<U extends T>(name: string, select: (value: T) => value is U): Stream<U, F>
  sideOutput(name: string, select: (value: T) => boolean): Stream<T, F>
  sideOutput(name: string, select: (value: T) => boolean): Stream<T, F> {
    return this.filter(name, select)
  }

  /** @param key what the key stands for, where other streams have the same: `partitionedBy` and `keyBy` meet by it */
  keyBy(name: string, keyOf: (value: T) => string, key = name): KeyedStream<T, F> {
    this.graph.add({ kind: 'keyBy', name, input: this.step, keyOf: keyOf as (value: unknown) => string, key })
    return new KeyedStream<T, F>(this.graph, name, this.features)
  }

  /** Scores the features gathered so far; the score travels with the record. State after this is refused. */
  score(name: string, options: { readonly model: ModelReference }): Stream<T, F> {
    this.graph.add({ kind: 'score', name, input: this.step, modelName: options.model.modelName })
    return new Stream<T, F>(this.graph, name, this.features)
  }

  /** Turns each record, its features and score into a decision. */
  decide<D>(name: string, decide: DecideFunction<T, D>): Stream<D> {
    this.graph.add({ kind: 'decide', name, input: this.step, decide: decide as DecideFunction<unknown, unknown> })
    return new Stream<D>(this.graph, name)
  }

  /** Writes to a topic, exactly once. @param counter grows with each record; default the topic's name */
  to(topic: string, format: SinkFormat<T>, counter = topic): void {
    const node: SinkNode = {
      kind: 'sink',
      name: `to-${topic}`,
      input: this.step,
      topic,
      format: format as SinkFormat<unknown>,
      counter,
    }
    this.graph.add(node)
  }
}

/** A record whose id was seen before. */
export interface Repeat<T> {
  readonly record: T
  /** It differs from the first in what dedupe compares. */
  readonly conflicting: boolean
  readonly source: SourcePosition
}

const asRepeat = (row: Row): Repeat<never> => ({
  record: row.value as never,
  conflicting: (row.flags & RowFlag.conflicting) !== 0,
  source: row.source,
})

type LabelOptions<T, L> = VelocityLabels<T, L> & { readonly stream: KeyedStream<L, never> }

export class KeyedStream<T, F extends string = never> extends Stream<T, F> {
  /** Keeps the key: what is filtered is still keyed. */
  override filter(name: string, keep: (value: T) => boolean): KeyedStream<T, F> {
    super.filter(name, keep)
    return new KeyedStream<T, F>(this.graph, name, this.features)
  }

  /**
   * Exact sliding-window features per key.
   * @param values integers to aggregate, by name: `{ amount: t => t.amount_minor }`
   * @param features by name: `{ nb_tx_1day: count().over(days(1)) }`
   */
  velocity<V extends VelocityValues<T>, W extends VelocityFeatures<V, T>, L = never>(
    name: string,
    values: V,
    features: W,
    options: VelocityOptions & { readonly labels?: LabelOptions<T, L> } = {},
  ): KeyedStream<T, F | (keyof W & string)> {
    const { labels, ...rest } = options
    const spec = velocity<V, T, L>({ ...rest, values, features, ...(labels && { labels }) })
    this.via(name, spec, ...(labels ? [labels.stream] : []))
    return new KeyedStream(this.graph, name, [...this.features, ...spec.features])
  }

  /** Drops repeats of an id within a horizon of event time, in any order of delivery. */
  dedupe(name: string, options: DedupeOptions<T>): KeyedStream<T, F> {
    this.via(name, dedupe(options))
    return new KeyedStream<T, F>(this.graph, name, this.features)
  }

  /** Like dedupe, with the repeats as a stream of their own: `<name>-firsts` and `<name>-repeats` are its two halves. */
  dedupeSplit(
    name: string,
    options: DedupeOptions<T>,
  ): { readonly firsts: KeyedStream<T, F>; readonly repeats: Stream<Repeat<T>, F> } {
    const all = this.dedupe(name, { ...options, passRepeats: true })
    all.via(`${name}-firsts`, filterFlags(RowFlag.repeated, 'none'))
    const repeats = all.via(`${name}-repeats`, filterFlags(RowFlag.repeated, 'any'))
    return {
      firsts: new KeyedStream<T, F>(this.graph, `${name}-firsts`, this.features),
      repeats: repeats.via<Repeat<T>>(
        `${name}-repeat-records`,
        mapRow(row => asRepeat(row)),
      ),
    }
  }

  /** Your own operator, with state and timers. */
  process<U, S>(name: string, spec: ProcessSpec<T, U, S>): Stream<U, F> {
    return this.via<U>(name, process(spec))
  }
}

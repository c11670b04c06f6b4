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
  flatMap,
  map,
  type OperatorSpec,
  type ProcessSpec,
  process,
  type VelocityFeatures,
  type VelocityLabels,
  type VelocityOptions,
  velocity,
} from '../operators/index.js'
import type { SinkFormat, SourceFormat } from './formats.js'
import { type DecideFunction, Graph, type SinkNode, type SourceNode } from './graph.js'

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

export class Stream<T> {
  protected readonly graph: Graph
  readonly step: string

  constructor(graph: Graph, step: string) {
    this.graph = graph
    this.step = step
  }

  protected operator(name: string, spec: OperatorSpec, sides: readonly Stream<unknown>[] = []): void {
    this.graph.add({ kind: 'operator', name, inputs: [this.step, ...sides.map(side => side.step)], spec })
  }

  /** Plugs in any operator; what the named methods below do for the built-in ones. */
  via<U>(name: string, spec: OperatorSpec, ...sides: readonly Stream<unknown>[]): Stream<U> {
    this.operator(name, spec, sides)
    return new Stream<U>(this.graph, name)
  }

  map<U>(name: string, apply: (value: T) => U): Stream<U> {
    return this.via(name, map(apply))
  }

  filter(name: string, keep: (value: T) => boolean): Stream<T> {
    return this.via(name, filter(keep))
  }

  flatMap<U>(name: string, apply: (value: T) => readonly U[]): Stream<U> {
    return this.via(name, flatMap(apply))
  }

  /** Both streams as one, in the epoch's order. */
  merge<U>(name: string, other: Stream<U>): Stream<T | U> {
    return this.via(name, map((value: T | U) => value), other)
  }

  /** A side output: what `select` picks, as a stream of its own beside this one, which goes on unchanged. */
  sideOutput(name: string, select: (value: T) => boolean): Stream<T> {
    return this.filter(name, select)
  }

  keyBy(name: string, keyOf: (value: T) => string): KeyedStream<T> {
    this.graph.add({ kind: 'keyBy', name, input: this.step, keyOf: keyOf as (value: unknown) => string })
    return new KeyedStream<T>(this.graph, name)
  }

  /** Scores the features gathered so far; the score travels with the record. State after this is refused. */
  score(name: string, options: { readonly model: ModelReference }): Stream<T> {
    this.graph.add({ kind: 'score', name, input: this.step, modelName: options.model.modelName })
    return new Stream<T>(this.graph, name)
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

export class KeyedStream<T> extends Stream<T> {
  /**
   * Exact sliding-window features per key.
   * @param values integers to aggregate, by name: `{ amount: t => t.amount_minor }`
   * @param features by name: `{ nb_tx_1day: count().over(days(1)) }`
   */
  velocity<V extends Readonly<Record<string, (value: T) => number>>, L = never>(
    name: string,
    values: V,
    features: VelocityFeatures<V, T>,
    options: VelocityOptions & { readonly labels?: VelocityLabels<T, L> & { readonly stream: KeyedStream<L> } } = {},
  ): Stream<T> {
    const { labels, ...rest } = options
    this.operator(name, velocity({ ...rest, values, features, ...(labels && { labels }) }), labels ? [labels.stream] : [])
    return new Stream<T>(this.graph, name)
  }

  /** Drops repeats of an id within a horizon of event time, in any order of delivery. */
  dedupe(name: string, options: DedupeOptions<T>): KeyedStream<T> {
    this.operator(name, dedupe(options))
    return new KeyedStream<T>(this.graph, name)
  }

  /** Your own operator, with state and timers. */
  process<U, S>(name: string, spec: ProcessSpec<T, U, S>): Stream<U> {
    this.operator(name, process(spec))
    return new Stream<U>(this.graph, name)
  }
}

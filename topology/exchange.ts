/**
 * Cuts a graph where its keys part ways, for a plan over several slots: what one slot has and another must process goes
 * through a topic of the plan's own (a hop). All parts still run in every slot; a row passes from part to part through the
 * log, in the transaction of the epoch that made it (I1).
 *
 * - A keyed step whose key is not the one its rows are partitioned by gets a hop in front, to the partition of its key.
 * - Rows that are away come home in front of `score`, of `decide`, and of a step keyed by the key that they left: there they
 *   are put in order again by the numbers that they got when they left (operators/exchange).
 * - A source that is partitioned by a key on which steps here rely sends on, once, what lies in the wrong partition.
 * Sinks take rows where they are.
 *
 * Invariant: of the graph's own nodes only the inputs change; state keeps its names, so it can be moved between plans.
 */
import { assertNever, eventTime, millis, WeirError } from '../kernel/index.js'
import {
  answer,
  filter,
  filterFlags,
  forPort,
  jsonCodec,
  number,
  type OperatorSpec,
  RowFlag,
  resequence,
  route,
  skips,
} from '../operators/index.js'
import {
  type Graph,
  type GraphNode,
  type HopNode,
  inputsOf,
  type KeyByNode,
  type OperatorNode,
  type SourceNode,
} from './graph.js'

/** How a plan is spread. */
export interface Placement {
  readonly slots: number
  /** Of the keyed inputs, and of every hop. */
  readonly partitions: number
}

export interface Cut {
  readonly steps: readonly GraphNode[]
  /** Of each step: how many hops lie before it. */
  readonly stages: ReadonlyMap<string, number>
}

/** Rows that have left for other slots, all of them the same way. */
interface Away {
  /** What they are partitioned by at home. */
  readonly home: string | null
  /** Where this slot reads them. */
  readonly inbound: string
  /** Where, on their way here, numbers were done with. */
  readonly skips: readonly string[]
  /** What must be there for them to be put in order again. */
  readonly needs: readonly string[]
}

/** Where the rows of a step are. */
interface Place {
  /** The key that they are partitioned by; null: none that is known. */
  readonly key: string | null
  /** The sources that they come from. */
  readonly sources: readonly string[]
  /** null: at home. `mixed`: not all of them have come the same way. */
  readonly away: Away | 'mixed' | null
}

/** Steps that are left out of the plan unless something turns out to need them. */
interface Optional {
  readonly group: string
  /** What takes the step's place when it is left out. */
  readonly standIn: string
}

/** @param keysOf what each input of a keyed step is keyed by @throws WeirError HOP_PATHS, DUPLICATE_STEP */
export function cut(graph: Graph, keysOf: ReadonlyMap<string, readonly KeyByNode[]>, placement: Placement): Cut {
  const cutter = new Cutter(graph, placement.partitions)
  for (const node of graph.nodes) cutter.add(node, keysOf.get(node.name) ?? [])
  return cutter.finish()
}

class Cutter {
  readonly #graph: Graph
  readonly #partitions: number
  readonly #topics: readonly string[]
  readonly #steps: GraphNode[] = []
  readonly #places = new Map<string, Place>()
  /** Steps whose output others read in their stead. */
  readonly #outputs = new Map<string, string>()
  readonly #optional = new Map<string, Optional>()
  readonly #needed = new Set<string>()

  constructor(graph: Graph, partitions: number) {
    this.#graph = graph
    this.#partitions = partitions
    this.#topics = graph.nodes.flatMap(node => (node.kind === 'source' ? [node.topic] : []))
  }

  add(node: GraphNode, keys: readonly KeyByNode[]): void {
    const moved = withInputs(node, name => this.#outputs.get(name) ?? name)
    if (moved.kind === 'source') this.#addSource(moved)
    else if (moved.kind === 'operator' && keys.length > 0) this.#addKeyed(moved, keys)
    else if (moved.kind === 'score' || moved.kind === 'decide') {
      const input = this.#broughtHome(moved.name, moved.input)
      this.#put({ ...moved, input }, this.#place(input))
    } else this.#put(moved, merged(inputsOf(moved).map(input => this.#place(input))))
  }

  finish(): Cut {
    const left = (name: string): string => {
      const optional = this.#optional.get(name)
      return optional === undefined || this.#needed.has(optional.group) ? name : left(optional.standIn)
    }
    const kept = this.#steps.filter(({ name }) => left(name) === name).map(node => withInputs(node, left))
    const hops = new Map(kept.flatMap(node => (node.kind === 'hop' ? [[node.topic, node]] : [])))
    const steps = kept.map(node =>
      node.kind === 'source' && node.hop !== undefined ? { ...node, hop: hops.get(node.topic)! } : node,
    )
    const names = new Set<string>()
    for (const { name } of steps) {
      if (names.has(name)) throw new WeirError('DUPLICATE_STEP', `a plan of several slots has its own step '${name}'`)
      names.add(name)
    }
    return { steps, stages: stagesOf(steps) }
  }

  #put(node: GraphNode, place: Place): string {
    this.#steps.push(node)
    this.#places.set(node.name, place)
    return node.name
  }

  #place(name: string): Place {
    return this.#places.get(name)!
  }

  /** @returns its name */
  #operator(name: string, spec: OperatorSpec, inputs: readonly string[], place: Place): string {
    return this.#put({ kind: 'operator', name, inputs, spec }, place)
  }

  /** Both ends of a hop; the one that reads has its name. */
  #hop(
    name: string,
    place: Place,
    rank: number,
    hop: Pick<HopNode, 'route' | 'step' | 'topic' | 'inputs' | 'keys'>,
  ): HopNode {
    const codecs = hop.inputs.map(input => this.#codecOf(input))
    const format = { topics: this.#topics, codecs }
    const node: HopNode = { ...hop, kind: 'hop', name: `to-${name}`, partitions: this.#partitions, format }
    this.#put(node, place)
    this.#put({ ...noSource, name, topic: hop.topic, rank, hop: node }, place)
    return node
  }

  #topicOf(name: string): string {
    return `weir.${this.#graph.app}.${name}.repartition`
  }

  /** Of the step of the graph that the values come from. */
  #codecOf(name: string): HopNode['format']['codecs'][number] {
    if (this.#graph.get(name) !== undefined) return this.#graph.codecOf(name) ?? jsonCodec
    return this.#codecOf(inputsOf(this.#steps.find(step => step.name === name)!)[0]!)
  }

  #makeOptional(from: number, group: string, standIn: string): void {
    for (const { name } of this.#steps.slice(from)) this.#optional.set(name, { group, standIn })
  }

  /** What lies astray is sent on, once, if a step turns out to rely on the partition. */
  #addSource(node: SourceNode): void {
    const { name, partitionedBy } = node
    const place: Place = { key: partitionedBy?.key ?? null, sources: [name], away: null }
    this.#put(node, place)
    if (partitionedBy === undefined) return
    const from = this.#steps.length
    const routed = this.#operator(`${name}.route`, route(partitionedBy.keyOf, this.#partitions), [name], place)
    const straight = this.#operator(`${name}.straight`, filterFlags(RowFlag.astray, 'none'), [routed], place)
    const astray = this.#operator(`${name}.astray`, filterFlags(RowFlag.astray, 'any'), [routed], place)
    this.#hop(`${name}.rekeyed`, place, node.rank, {
      route: 'rekey',
      step: name,
      topic: `weir.${this.#graph.app}.${node.topic}.rekeyed`,
      inputs: [astray],
      keys: [partitionedBy.keyOf],
    })
    const both = filter(() => true)
    this.#outputs.set(name, this.#operator(`${name}.all`, both, [straight, `${name}.rekeyed`], place))
    this.#makeOptional(from, rekeyOf(name), name)
  }

  #addKeyed(node: OperatorNode, keys: readonly KeyByNode[]): void {
    const inputs = [...node.inputs]
    const ports: number[] = []
    node.inputs.forEach((input, port) => {
      const { key, away } = this.#place(input)
      const wanted = keys[port]!.key
      if (port === 0 && away !== null && away !== 'mixed' && away.home === wanted) {
        inputs[port] = this.#broughtHome(node.name, input)
      } else if (key !== wanted) {
        ports.push(port)
        return
      }
      if (this.#place(inputs[port]!).away === null) this.#relyOnPartition(input)
    })
    if (ports.length > 0) this.#sendByKey(node.name, keys, inputs, ports)
    this.#put({ ...node, inputs }, this.#place(inputs[0]!))
  }

  #relyOnPartition(input: string): void {
    for (const source of this.#place(input).sources) this.#needed.add(rekeyOf(source))
  }

  /** Replaces the inputs at these ports, which are not partitioned by their key. */
  #sendByKey(step: string, keys: readonly KeyByNode[], inputs: string[], ports: readonly number[]): void {
    const name = this.#places.has(`${step}.repartition`) ? `${step}-sides` : step
    const from = ports.map(port => this.#place(inputs[port]!))
    const leaving = ports.map(port => (port === 0 ? this.#leaving(step, inputs[0]!) : inputs[port]!))
    const inbound = `${name}.repartition`
    this.#hop(inbound, from[0]!, hopRank, {
      route: 'key',
      step,
      topic: this.#topicOf(name),
      inputs: leaving,
      keys: ports.map(port => keys[port]!.keyOf),
    })
    ports.forEach((port, index) => {
      const { key, sources, away } = from[index]!
      const gone = port === 0 ? awayThrough(step, inbound, key, away) : 'mixed'
      const place: Place = { key: keys[port]!.key, sources, away: gone }
      inputs[port] = this.#operator(`${name}.port-${port}`, forPort(index), [inbound], place)
    })
  }

  /** Rows of the main input on their way out: numbered at home, accounted for in between. */
  #leaving(step: string, input: string): string {
    const place = this.#place(input)
    const { away } = place
    if (away === 'mixed') return input
    const from = this.#steps.length
    if (away === null) {
      const numbered = this.#operator(`${step}.number`, number(), [input], place)
      this.#makeOptional(from, numberOf(step), input)
      return numbered
    }
    const answered = this.#operator(`${step}.answer`, answer('refuse'), [input, away.inbound], place)
    this.#operator(skipsOf(step), skips(true), [answered], place)
    const left = this.#operator(`${step}.leaving`, skips(false), [answered], place)
    this.#makeOptional(from, answerOf(step), input)
    return left
  }

  /** @throws WeirError HOP_PATHS */
  #broughtHome(step: string, input: string): string {
    const { away, sources } = this.#place(input)
    if (away === null) return input
    if (away === 'mixed') {
      throw new WeirError(
        'HOP_PATHS',
        `step '${step}' gets rows that have come to it by different ways through other slots, so they have no order`,
      )
    }
    for (const need of away.needs) this.#needed.add(need)
    const place: Place = { key: away.home, sources, away: null }
    const answered = this.#operator(`${step}.answer`, answer('pass'), [input, away.inbound], place)
    const inbound = `${step}.repartition`
    const { topic, format } = this.#hop(inbound, place, hopRank, {
      route: 'home',
      step,
      topic: this.#topicOf(step),
      inputs: [answered, ...away.skips],
      keys: [],
    })
    return this.#operator(`${step}.resequence`, resequence(topic, format), [inbound], place)
  }
}

/** Behind control, labels and data. */
const hopRank = 3

/** Of a source that reads a hop: of records of the plan's own nothing is asked. */
const noSource: Omit<SourceNode, 'name' | 'topic' | 'rank'> = {
  kind: 'source',
  format: { name: 'hop', decode: () => null },
  eventTime: () => eventTime(0),
  outOfOrderness: millis(0),
}

const rekeyOf = (source: string): string => `rekey ${source}`
const numberOf = (step: string): string => `number ${step}`
const answerOf = (step: string): string => `answer ${step}`
const skipsOf = (step: string): string => `${step}.skips`

/** @param key by which the rows were partitioned before @param away how they had come */
function awayThrough(step: string, inbound: string, key: string | null, away: Place['away']): Away | 'mixed' {
  if (away === 'mixed') return away
  if (away === null) return { home: key, inbound, skips: [], needs: [numberOf(step)] }
  const { home, skips: before, needs } = away
  return { home, inbound, skips: [...before, skipsOf(step)], needs: [...needs, answerOf(step)] }
}

function merged(places: readonly Place[]): Place {
  const [first, ...others] = places
  return {
    key: others.every(({ key }) => key === first!.key) ? first!.key : null,
    sources: [...new Set(places.flatMap(({ sources }) => sources))],
    away: others.every(({ away }) => away === first!.away) ? first!.away : 'mixed',
  }
}

function withInputs(node: GraphNode, rename: (name: string) => string): GraphNode {
  switch (node.kind) {
    case 'source':
      return node
    case 'operator':
    case 'hop':
      return { ...node, inputs: node.inputs.map(rename) }
    case 'keyBy':
    case 'score':
    case 'decide':
    case 'sink':
      return { ...node, input: rename(node.input) }
    default:
      return assertNever(node)
  }
}

function stagesOf(steps: readonly GraphNode[]): ReadonlyMap<string, number> {
  const stages = new Map<string, number>()
  const greatest = (names: readonly string[]): number => Math.max(0, ...names.map(name => stages.get(name) ?? 0))
  for (const node of steps) {
    const behindHop = node.kind === 'source' && node.hop !== undefined
    stages.set(node.name, behindHop ? 1 + greatest(node.hop.inputs) : greatest(inputsOf(node)))
  }
  return stages
}

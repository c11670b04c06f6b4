/**
 * Graph -> plan: what one slot runs. Everything that can be wrong with a topology is found here, before a record is read.
 *
 * The fingerprint covers what changes results: names, kinds, wiring, parameters. It cannot see into functions; whoever
 * changes one bumps a parameter or drains first (docs/decisions/0003).
 */
import { assertNever, sha256Hex, WeirError } from '../kernel/index.js'
import { type Graph, type GraphNode, inputsOf, type KeyByNode, type SinkNode, type SourceNode } from './graph.js'

export type KeyOf = (value: unknown) => string

export interface Plan {
  readonly app: string
  /** In execution order: every step after its inputs. */
  readonly steps: readonly GraphNode[]
  /** In in-epoch order (I3). */
  readonly sources: readonly SourceNode[]
  readonly sinks: readonly SinkNode[]
  /** Feature columns of a row, in the order in which the steps declare them. */
  readonly featureNames: readonly string[]
  readonly modelNames: readonly string[]
  /** Of each stateful step: how to get the key of a row, by input. */
  readonly keys: ReadonlyMap<string, readonly KeyOf[]>
  /** Steps before this index decide state; a suppressed replay runs no further (I2). */
  readonly statefulEnd: number
  readonly fingerprint: string
}

/** @throws WeirError EMPTY_TOPOLOGY, UNKEYED_STATE, STATE_AFTER_SCORE, DUPLICATE_FEATURE */
export function compile(graph: Graph): Plan {
  const steps = graph.nodes
  const sources = steps.filter(node => node.kind === 'source').sort((a, b) => a.rank - b.rank)
  const sinks = steps.filter(node => node.kind === 'sink')
  if (sources.length === 0 || sinks.length === 0) {
    throw new WeirError(
      'EMPTY_TOPOLOGY',
      `topology '${graph.app}' has ${sources.length} sources, ${sinks.length} sinks`,
    )
  }
  const scores = steps.filter(node => node.kind === 'score')
  if (scores.length > 1) {
    throw new WeirError('SECOND_SCORE', `steps ${scores.map(node => `'${node.name}'`).join(' and ')} both score`)
  }
  const scored = descendants(steps, node => node.kind === 'score' || node.kind === 'decide')
  const keys = new Map<string, readonly KeyOf[]>()
  let statefulEnd = 0
  steps.forEach((node, index) => {
    if (node.kind !== 'operator' || !node.spec.stateful) return
    keys.set(
      node.name,
      node.inputs.map(input => keyByOf(graph, node.name, input).keyOf),
    )
    if (scored.has(node.name)) {
      throw new WeirError('STATE_AFTER_SCORE', `step '${node.name}' keeps state behind a score or a decision`)
    }
    statefulEnd = index + 1
  })
  const featureNames: string[] = []
  for (const node of steps) {
    if (node.kind !== 'operator') continue
    for (const feature of node.spec.features) {
      if (featureNames.includes(feature))
        throw new WeirError('DUPLICATE_FEATURE', `two steps compute feature '${feature}'`)
      featureNames.push(feature)
    }
  }
  return {
    app: graph.app,
    steps,
    sources,
    sinks,
    featureNames,
    modelNames: steps.filter(node => node.kind === 'score').map(node => node.modelName),
    keys,
    statefulEnd,
    fingerprint: sha256Hex(JSON.stringify(describeGraph(graph))).slice(0, 32),
  }
}

/** The keyBy that an input's rows are keyed by: a key survives steps that hand rows on, and is lost at new values. */
function keyByOf(graph: Graph, step: string, input: string): KeyByNode {
  let at: GraphNode | undefined = graph.get(input)
  while (at !== undefined) {
    if (at.kind === 'keyBy') return at
    at = at.kind === 'operator' && at.spec.passesRows ? graph.get(at.inputs[0] ?? '') : undefined
  }
  throw new WeirError('UNKEYED_STATE', `step '${step}' keeps state, but its input '${input}' has no key`)
}

function descendants(steps: readonly GraphNode[], isOrigin: (node: GraphNode) => boolean): ReadonlySet<string> {
  const found = new Set<string>()
  for (const node of steps) if (isOrigin(node) || inputsOf(node).some(input => found.has(input))) found.add(node.name)
  return found
}

export interface StepDescription {
  readonly step: string
  readonly kind: string
  readonly inputs: readonly string[]
  readonly features: readonly string[]
  readonly parameters: Readonly<Record<string, unknown>>
}

/** The graph as plain JSON, in a fixed order: for `weir describe` and the fingerprint. */
export function describeGraph(graph: Graph): readonly StepDescription[] {
  return graph.nodes.map(node => ({
    step: node.name,
    kind: node.kind === 'operator' ? node.spec.kind : node.kind,
    inputs: inputsOf(node),
    features: node.kind === 'operator' ? node.spec.features : [],
    parameters: parametersOf(node),
  }))
}

function parametersOf(node: GraphNode): Readonly<Record<string, unknown>> {
  switch (node.kind) {
    case 'source':
      return { topic: node.topic, format: node.format.name, out_of_orderness_ms: node.outOfOrderness, rank: node.rank }
    case 'keyBy':
      return {}
    case 'operator':
      return node.spec.parameters
    case 'score':
      return { model: node.modelName }
    case 'decide':
      return node.decide.parameters
    case 'sink':
      return { topic: node.topic, format: node.format.name }
    default:
      return assertNever(node)
  }
}

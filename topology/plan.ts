/**
 * Graph -> plan: what one slot runs. Everything that can be wrong with a topology is found here, before a record is read.
 *
 * The fingerprint covers what changes results: names, kinds, wiring, parameters. It cannot see into functions; whoever
 * changes one bumps a parameter or drains first (docs/decisions/0003).
 */
import { assertNever, sha256Hex, WeirError } from '../kernel/index.js'
import { cut, type Placement } from './exchange.js'
import {
  type Graph,
  type GraphNode,
  type HopNode,
  inputsOf,
  type KeyByNode,
  type SinkNode,
  type SourceNode,
} from './graph.js'

export type KeyOf = (value: unknown) => string

export interface Plan {
  readonly app: string
  /** In execution order: every step after its inputs. */
  readonly steps: readonly GraphNode[]
  /** In in-epoch order (I3). */
  readonly sources: readonly SourceNode[]
  readonly sinks: readonly SinkNode[]
  /** Ways from slot to slot; none with one slot. */
  readonly hops: readonly HopNode[]
  readonly placement: Placement
  /** Steps behind one hop more are one stage further on: each has a watermark of its own. */
  readonly stages: number
  /** 0 where nothing is said. */
  readonly stageOf: ReadonlyMap<string, number>
  /** Feature columns of a row, in the order in which the steps declare them. */
  readonly featureNames: readonly string[]
  /** NaN for each of them: what rows share in which none is filled yet. Nobody changes it. */
  readonly noFeatures: number[]
  readonly modelNames: readonly string[]
  /** Of each stateful step: how to get the key of a row, by input. */
  readonly keys: ReadonlyMap<string, readonly KeyOf[]>
  /** Steps before this index decide state; a suppressed replay runs no further (I2). */
  readonly statefulEnd: number
  readonly fingerprint: string
}

const oneSlot: Placement = { slots: 1, partitions: 1 }

/**
 * With one slot every key is at hand; with more the plan is cut where keys part ways (exchange.ts).
 * @throws WeirError EMPTY_TOPOLOGY, UNKEYED_STATE, STATE_AFTER_SCORE, SECOND_SCORE, DUPLICATE_FEATURE, DUPLICATE_STEP, HOP_PATHS
 */
export function compile(graph: Graph, placement: Placement = oneSlot): Plan {
  const keyBys = checked(graph)
  const { steps, stages } =
    placement.slots === 1 ? { steps: graph.nodes, stages: new Map<string, number>() } : cut(graph, keyBys, placement)
  const featureNames = featuresOf(graph.nodes)
  return {
    app: graph.app,
    steps,
    sources: steps.filter(node => node.kind === 'source').sort((a, b) => a.rank - b.rank),
    sinks: steps.filter(node => node.kind === 'sink'),
    hops: steps.filter(node => node.kind === 'hop'),
    placement,
    stages: 1 + Math.max(0, ...stages.values()),
    stageOf: stages,
    featureNames,
    noFeatures: featureNames.map(() => Number.NaN),
    modelNames: steps.filter(node => node.kind === 'score').map(node => node.modelName),
    keys: new Map([...keyBys].map(([step, keys]) => [step, keys.map(key => key.keyOf)])),
    statefulEnd: steps.findLastIndex(node => node.kind === 'operator' && node.spec.stateful) + 1,
    fingerprint: sha256Hex(JSON.stringify(describeSteps(steps))).slice(0, 32),
  }
}

/** @returns of each stateful step: what its inputs are keyed by */
function checked(graph: Graph): ReadonlyMap<string, readonly KeyByNode[]> {
  const steps = graph.nodes
  const sources = steps.filter(node => node.kind === 'source').length
  const sinks = steps.filter(node => node.kind === 'sink').length
  if (sources === 0 || sinks === 0) {
    throw new WeirError('EMPTY_TOPOLOGY', `topology '${graph.app}' has ${sources} sources, ${sinks} sinks`)
  }
  const scores = steps.filter(node => node.kind === 'score')
  if (scores.length > 1) {
    throw new WeirError('SECOND_SCORE', `steps ${scores.map(node => `'${node.name}'`).join(' and ')} both score`)
  }
  const scored = descendants(steps, node => node.kind === 'score' || node.kind === 'decide')
  const keys = new Map<string, readonly KeyByNode[]>()
  for (const node of steps) {
    if (node.kind !== 'operator' || !node.spec.stateful) continue
    keys.set(
      node.name,
      node.inputs.map(input => keyByOf(graph, node.name, input)),
    )
    if (scored.has(node.name)) {
      throw new WeirError('STATE_AFTER_SCORE', `step '${node.name}' keeps state behind a score or a decision`)
    }
  }
  return keys
}

/** @throws WeirError DUPLICATE_FEATURE */
function featuresOf(steps: readonly GraphNode[]): readonly string[] {
  const names: string[] = []
  for (const node of steps) {
    if (node.kind !== 'operator') continue
    for (const feature of node.spec.features) {
      if (names.includes(feature)) throw new WeirError('DUPLICATE_FEATURE', `two steps compute feature '${feature}'`)
      names.push(feature)
    }
  }
  return names
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

/** A plan's steps as plain JSON, in a fixed order: for `weir describe` and the fingerprint. */
export function describeSteps(steps: readonly GraphNode[]): readonly StepDescription[] {
  return steps.map(node => ({
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
    case 'hop':
      return { topic: node.topic, route: node.route, codecs: node.format.codecs.map(c => `${c.name}@${c.version}`) }
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

export { describeMermaid, describeText } from './describe.js'
export {
  type FeaturesOf,
  KeyedStream,
  type ModelReference,
  modelNamed,
  type Repeat,
  type SourceOptions,
  Stream,
  type Topology,
  topology,
} from './dsl.js'
export { type EgressStamp, json, type RecordEncoder, type SinkFormat, type SourceFormat, toJson } from './formats.js'
export {
  type BoundDecide,
  type DecideContext,
  type DecideFunction,
  type DecideNode,
  type Graph,
  type GraphNode,
  inputsOf,
  type KeyByNode,
  type ModelIdentity,
  type OperatorNode,
  type ScoreNode,
  type SinkNode,
  type SourceNode,
} from './graph.js'
export { compile, describeGraph, type KeyOf, type Plan, type StepDescription } from './plan.js'

export { commitsOf, describeHops, describeMermaid, describeText, type HopDescription } from './describe.js'
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
export type { Placement } from './exchange.js'
export { type EgressStamp, json, type RecordEncoder, type SinkFormat, type SourceFormat, toJson } from './formats.js'
export {
  type BoundDecide,
  type DecideContext,
  type DecideFunction,
  type DecideNode,
  type Graph,
  type GraphNode,
  type HopNode,
  inputsOf,
  type KeyByNode,
  type ModelIdentity,
  type OperatorNode,
  type PartitionKey,
  type ScoreNode,
  type SinkNode,
  type SourceNode,
} from './graph.js'
export { compile, describeSteps, type KeyOf, type Plan, type StepDescription } from './plan.js'
export { declareState, stateSchemas } from './state-schema.js'

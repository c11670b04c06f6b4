export { filter, filterFlags, flatMap, map, mapRow, withFeatures } from './basic/index.js'
export {
  type Operator,
  type OperatorSpec,
  type Output,
  type Row,
  RowFlag,
  type RowOutput,
  type SourcePosition,
  type StepContext,
  type StepRuntime,
} from './contract.js'
export {
  DedupeIndex,
  type DedupeOptions,
  type DedupeSizes,
  dedupe,
  dedupeCodec,
  type RememberedId,
} from './dedupe/index.js'
export { type ProcessContext, type ProcessSpec, process } from './process/index.js'
export {
  type Aggregate,
  type ClosedSides,
  count,
  Feature,
  fraudShare,
  type LabelFate,
  mean,
  type PerOptions,
  Reservoir,
  type ReservoirShape,
  type ReservoirSizes,
  reservoirCodec,
  reservoirShape,
  sum,
  type VelocityFeatures,
  type VelocityLabels,
  type VelocityOptions,
  type VelocitySpec,
  type VelocityValues,
  velocity,
} from './velocity/index.js'

export {
  type Aggregate,
  type ClosedSides,
  count,
  Feature,
  fraudShare,
  mean,
  type PerOptions,
  sum,
} from './features.js'
export { type LabelFate, Reservoir, reservoirCodec } from './reservoir.js'
export { type ReservoirShape, type ReservoirSizes, reservoirShape } from './shape.js'
export {
  type VelocityFeatures,
  type VelocityLabels,
  type VelocityOptions,
  type VelocitySpec,
  type VelocityValues,
  velocity,
} from './velocity.js'

/** Weir's public surface for topologies of your own. */
export * from './kernel/index.js'
export { count, fraudShare, mean, type Operator, type Output, type ProcessSpec, sum } from './operators/index.js'
export {
  booleanCodec,
  bytesCodec,
  f64Codec,
  intCodec,
  listOf,
  type MapState,
  optional,
  recordOf,
  type StateCodec,
  type StateFactory,
  stringCodec,
  type Timers,
  type ValueState,
} from './state/index.js'
export * from './topology/index.js'

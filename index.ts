/** Weir's public surface for topologies of your own. */
export * from './kernel/index.js'
export { count, fraudShare, mean, type Operator, type Output, type ProcessSpec, sum } from './operators/index.js'
export type { MapState, StateCodec, StateFactory, Timers, ValueState } from './state/index.js'
export * from './topology/index.js'

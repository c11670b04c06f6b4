export { type DriverOptions, ManualClock, type SendOptions, TopologyDriver } from './driver/index.js'
export {
  type EvolutionOptions,
  type VerifiedRow,
  type VerifyItem,
  type VerifyOptions,
  verifyEvolution,
  verifyOperator,
} from './verify-operator/index.js'

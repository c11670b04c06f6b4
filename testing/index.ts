export { type DriverOptions, ManualClock, type SendOptions, TopologyDriver } from './driver/index.js'
export { type VerifiedRow, type VerifyItem, type VerifyOptions, verifyOperator } from './verify-operator/index.js'

export { EmbeddedEngine, type EngineEvent, type EngineOptions } from './engine.js'
export type { RetentionTimes } from './retention.js'
export { playTraffic } from './traffic.js'

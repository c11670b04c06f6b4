export type { KafkaEdgeEvent, KafkaEdgeOptions } from './engine.js'
export { registerEdgeMetrics } from './metrics.js'
export { StartingEdge } from './start.js'

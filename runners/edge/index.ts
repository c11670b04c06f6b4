export { KafkaEdge, type KafkaEdgeEvent, type KafkaEdgeOptions } from './engine.js'
export { registerEdgeMetrics } from './metrics.js'

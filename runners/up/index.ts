export { EmbeddedEngine, type EngineEvent, type EngineOptions } from './engine.js'
export { playTraffic } from './traffic.js'

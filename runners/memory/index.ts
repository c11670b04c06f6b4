export { HeapWatch } from './heap.js'
export { type MemoryFacts, registerMemoryMetrics } from './metrics.js'
export { type BackendShare, type MemoryShare, type MemoryUsers, shareMemory, viewShare } from './share.js'

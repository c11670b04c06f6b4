export { HeapWatch } from './heap.js'
export { parseBytes } from './parse-bytes.js'
export { type BackendShare, type MemoryShare, type MemoryUsers, shareMemory, viewShare } from './share.js'

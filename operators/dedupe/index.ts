export type { RememberedId } from './bucket.js'
export { type DedupeOptions, dedupe } from './dedupe.js'
export { DedupeIndex, type DedupeSizes, dedupeCodec } from './dedupe-index.js'

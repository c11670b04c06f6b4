export { jsonCodec } from './json-codec.js'
export { decodeHeader, decodeRow, encodeHeader, encodeRow, type HopHeader, type RowFormat } from './record.js'
export { forPort, partitionOfKey, route, skips } from './route.js'
export { answer, number, resequence } from './sequence.js'

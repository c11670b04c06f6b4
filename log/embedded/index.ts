export type { DbBatch, DbEntry, DbRange, EmbeddedDb } from './db.js'
export { EmbeddedLog, type EmbeddedLogOptions } from './embedded.js'
export { keyspace } from './keys.js'

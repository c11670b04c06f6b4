export type { RangeOptions, StateBackend, StateEntry, WriteBatch } from './backend.js'
export { MemoryDisk } from './backends/memory.js'
export { openRocksDb, type RocksDbOptions } from './backends/rocksdb.js'
export { booleanCodec, bytesCodec, f64Codec, intCodec, listOf, optional, recordOf, stringCodec } from './codecs.js'
export type { KeyEntry as ResidentKey } from './entry.js'
export type {
  Description,
  MapState,
  PagedCodec,
  PagedObject,
  PagedState,
  PageSource,
  PageWriter,
  StateCodec,
  StateFactory,
  StoredPages,
  Timers,
  ValueState,
} from './handles.js'
export {
  type HandleInspection,
  type InspectOptions,
  isoTime,
  type Json,
  type KeyInspection,
  unknownStep,
} from './inspect.js'
export { keyBytesMax, keyGroupOf, keyGroupRange, keyGroupsFor, keyGroupsMax } from './keys.js'
export { formatVersion, type JournalResume, type StatePosition } from './meta.js'
export { StateMiss } from './miss.js'
export { compareUtf8, wellFormed } from './order.js'
export type { StepState } from './step.js'
export { type PendingWrite, StateStore, type StateStoreOptions } from './store.js'
export type { DueTimer } from './timers.js'

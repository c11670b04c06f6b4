export type { BackendMemory, RangeOptions, StateBackend, StateEntry, StateSnapshot, WriteBatch } from './backend.js'
export { MemoryDisk } from './backends/memory.js'
export { keepRocksDb, openRocksDb } from './backends/open.js'
export type { RocksDbOptions } from './backends/rocksdb.js'
export { Catalogue, type Retention, type Stored, slotsIn, type Unusable } from './checkpoint/catalogue.js'
export {
  type CheckpointEvent,
  Checkpointer,
  type CheckpointerOptions,
  type CheckpointLimits,
  type CheckpointPoint,
} from './checkpoint/checkpointer.js'
export { encrypted, type Reencrypted, reencrypt, unencrypted } from './checkpoint/encrypted.js'
export {
  bytesOf,
  type CheckpointFacts,
  epochOfName,
  type InputClock,
  type InputPosition,
  type JournalFacts,
  type Manifest,
} from './checkpoint/manifest.js'
export { type RestoreOptions, restore, restoreGroups, restoreKey, takeNewest, verify } from './checkpoint/restore.js'
export { DeltaSpool } from './checkpoint/spool.js'
export { type CheckpointStore, checkObjectName, type StoredObject } from './checkpoint/store.js'
export { openDirectoryStore } from './checkpoint/stores/directory.js'
export { MemoryObjects } from './checkpoint/stores/memory.js'
export { openS3Store, parseS3Url } from './checkpoint/stores/s3/index.js'
export { booleanCodec, bytesCodec, f64Codec, intCodec, listOf, optional, recordOf, stringCodec } from './codecs.js'
export type { KeyEntry as ResidentKey } from './entry.js'
export type {
  Description,
  MapOptions,
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
  ValueOptions,
  ValueState,
} from './handles.js'
export {
  type HandleInspection,
  type InspectOptions,
  isoTime,
  type Json,
  JsonView,
  type KeyInspection,
  unknownStep,
} from './inspect.js'
export { keyBytesMax, keyGroupOf, keyGroupRange, keyGroupsFor, keyGroupsMax } from './keys.js'
export { formatVersion, type JournalResume, type StatePosition } from './meta.js'
export { StateMiss } from './miss.js'
export { compareUtf8, wellFormed } from './order.js'
export { avroCodec } from './savepoint/avro.js'
export {
  type CodecMigration,
  CodecMigrations,
  codecMigrations,
  type StoredEntry,
} from './savepoint/codec-migrations.js'
export {
  type CodecChange,
  type HandleMigration,
  type Migration,
  type MigrationWishes,
  planMigration,
  type StepMigration,
} from './savepoint/migration.js'
export { type RestoreSavepointOptions, restoreSavepoint, restoreSavepointSlot } from './savepoint/restore.js'
export {
  checkSavepointName,
  listSavepoints,
  publishSavepoint,
  readSavepoint,
  type Savepoint,
  type SavepointSlot,
  type StoredSavepoint,
  savepointSegments,
  verifySavepoint,
} from './savepoint/savepoint.js'
export { type CodecSchema, declaredState, type HandleSchema, type StepStateSchema } from './savepoint/schema.js'
export {
  copySavepointPart,
  type PartFacts,
  type PartOptions,
  type PartPlace,
  readSavepointPart,
  writeSavepointPart,
} from './savepoint/write.js'
export type { StepState } from './step.js'
export { type PendingWrite, StateStore, type StateStoreOptions, type StoreMemory } from './store.js'
export type { DueTimer } from './timers.js'

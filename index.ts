/** Weir's public surface for topologies of your own. */
export * from './kernel/index.js'
export {
  type ClosedSides,
  count,
  type DedupeOptions,
  type Feature,
  fraudShare,
  type HopTag,
  mean,
  type Operator,
  type OperatorSpec,
  type Output,
  type ProcessContext,
  type ProcessSpec,
  process,
  type Row,
  RowFlag,
  type RowOutput,
  type SourcePosition,
  type StepContext,
  type StepRuntime,
  sum,
  type VelocityLabels,
  type VelocityOptions,
} from './operators/index.js'
export { RecordError } from './schemas/avro/index.js'
export type { Explanation, Model, ModelContract, ScoreReport } from './scoring/index.js'
export {
  avroCodec,
  booleanCodec,
  bytesCodec,
  type CodecMigration,
  codecMigrations,
  f64Codec,
  intCodec,
  listOf,
  type MapState,
  optional,
  recordOf,
  type StateCodec,
  type StateFactory,
  type StoredEntry,
  stringCodec,
  type Timers,
  type ValueState,
} from './state/index.js'
export * from './topology/index.js'

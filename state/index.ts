export type { RangeOptions, StateBackend, StateEntry, WriteBatch } from './backend.js'
export type {
  MapState,
  PagedCodec,
  PagedObject,
  PagedState,
  PageSource,
  PageWriter,
  StateCodec,
  StateFactory,
  Timers,
  ValueState,
} from './handles.js'

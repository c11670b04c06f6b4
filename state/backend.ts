/**
 * The state-backend port: an ordered key-value store with atomic batches. RocksDB and its in-memory twin stand behind it
 * and run the same conformance suite. Keys compare as unsigned bytes.
 */
export interface WriteBatch {
  put(key: Buffer, value: Buffer): void
  delete(key: Buffer): void
  readonly operations: number
}

export interface StateEntry {
  readonly key: Buffer
  readonly value: Buffer
}

export interface RangeOptions {
  readonly gte: Buffer
  readonly lt: Buffer
  readonly limit: number
  /** From the end of the range backwards. */
  readonly reverse?: boolean
  /** Values come empty: for deleting. */
  readonly keysOnly?: boolean
}

/** A range as it was at one moment, however long it is read. Holds files until it is closed. */
export interface StateSnapshot {
  /** The next entries, in the order of their keys, until keys and values come to `limitBytes`; none at the end. */
  next(limitBytes: number): Promise<StateEntry[]>
  /** Goes on with the first key of the range that is not below `key`, forwards or backwards. Not while `next` is under way. */
  seek(key: Buffer): void
  close(): Promise<void>
}

/** Bytes of memory that a backend has taken outside of V8, by what for. */
export interface BackendMemory {
  /** Blocks that were read. */
  readonly block_cache: number
  /** What was written and is in no file yet. */
  readonly write_buffers: number
  /** Indexes and filters of open files. */
  readonly tables: number
}

export interface StateBackend {
  /** Values in the order of the keys; undefined where there is none. */
  getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]>
  range(options: RangeOptions): Promise<StateEntry[]>
  /** Of what has been written when it is called; writes that are under way may be in it or not. */
  snapshot(range: { readonly gte: Buffer; readonly lt: Buffer }): Promise<StateSnapshot>
  /**
   * A batch to fill and then pass to `write`; bytes handed to put are read at once (they may be reused after the call).
   */
  batch(): WriteBatch
  /** All of the batch or nothing of it. `sync`: survives a power cut when it resolves. */
  write(batch: WriteBatch, options: { readonly sync: boolean }): Promise<void>
  /** Gives back the space of what was deleted in a range. Absent where it takes none. */
  compact?(gte: Buffer, lt: Buffer): Promise<void>
  /** What it takes now; absent where all is on V8's heap. */
  memory?(): BackendMemory
  close(): Promise<void>
}

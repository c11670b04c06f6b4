/**
 * RocksDB as a state backend, through the `rocksdb` package (CommonJS, callbacks; the native part loads at the first open).
 *
 * Invariants: 1. memory below the cache is bounded by blockCacheBytes, two write buffers, and the indexes and filters of
 * openFilesMax files, which this binding keeps outside of the block cache (I6); 2. every failure is a
 * WeirError; 3. close waits for what is under way.
 *
 * Measured (one core of a shared machine, 32-byte keys, 200-byte values): a chained batch takes 0.5 us a put on this
 * thread and 3 us in the pool; an array batch 0.5 and 6, of which the greater part on this thread. getMany takes 190 us
 * for one key, 10 us a key for 100 and 5 for 1,000 or more: read in batches.
 */
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { assert, WeirError } from '../../kernel/index.js'
import type { BackendMemory, RangeOptions, StateBackend, StateEntry, StateSnapshot, WriteBatch } from '../backend.js'
import { Calls, failed, notOpened } from './calls.js'

export interface RocksDbOptions {
  /** Uncompressed blocks kept in memory. */
  readonly blockCacheBytes?: number
  /** Size at which the table in memory is written out; up to two exist. */
  readonly writeBufferBytes?: number
  readonly openFilesMax?: number
}

/** Read in one go, in the pool; what it holds is then passed on entry by entry. */
const snapshotReadBytes = 64 * 1024

const defaults = { blockCacheBytes: 32 << 20, writeBufferBytes: 16 << 20, openFilesMax: 512 }

type Callback<T = void> = (error: Error | null | undefined, value: T) => void

interface NativeBatch {
  put(key: Buffer, value: Buffer): unknown
  del(key: Buffer): unknown
  write(options: { sync: boolean }, done: Callback): void
}

interface NativeIterator {
  next(done: (error: Error | null | undefined, key?: Buffer, value?: Buffer) => void): void
  seek(key: Buffer): void
  end(done: Callback): void
}

interface NativeDb {
  open(options: Record<string, unknown>, done: Callback): void
  close(done: Callback): void
  getMany(keys: readonly Buffer[], options: { asBuffer: true }, done: Callback<(Buffer | undefined)[]>): void
  iterator(options: Record<string, unknown>): NativeIterator
  batch(): NativeBatch
  getProperty(name: string): string
  compactRange(start: Buffer, end: Buffer, done: Callback): void
}

function call<T>(what: string, start: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const done: Callback<T> = (error, value) => (error ? reject(failed(what, error)) : resolve(value))
    try {
      start(done)
    } catch (error) {
      reject(failed(what, error))
    }
  })
}

/**
 * Opens the database in `directory`, which is created when missing.
 * @throws WeirError DIRECTORY_IN_USE while a process (this one included) has it open, BACKEND_FAILED
 */
export async function openWithRocksDb(directory: string, options: RocksDbOptions = {}): Promise<StateBackend> {
  const { blockCacheBytes, writeBufferBytes, openFilesMax } = { ...defaults, ...options }
  let db: NativeDb
  try {
    await mkdir(directory, { recursive: true })
    const rocksdb = createRequire(import.meta.url)('rocksdb') as (location: string) => NativeDb
    db = rocksdb(directory)
  } catch (error) {
    throw failed(`open ${directory}`, error)
  }
  const settings = { cacheSize: blockCacheBytes, writeBufferSize: writeBufferBytes, maxOpenFiles: openFilesMax }
  await new Promise<void>((resolve, reject) => {
    db.open(settings, error => {
      if (error) reject(notOpened(directory, error))
      else resolve()
    })
  })
  return new RocksDbBackend(db)
}

class RocksDbBatch implements WriteBatch {
  readonly native: NativeBatch
  operations = 0

  constructor(native: NativeBatch) {
    this.native = native
  }

  put(key: Buffer, value: Buffer): void {
    this.native.put(key, value)
    this.operations++
  }

  delete(key: Buffer): void {
    this.native.del(key)
    this.operations++
  }
}

class RocksDbBackend implements StateBackend {
  readonly #db: NativeDb
  readonly #calls = new Calls()
  readonly #snapshots = new Set<StateSnapshot>()

  constructor(db: NativeDb) {
    this.#db = db
  }

  getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    return this.#calls.run(() => call('read', done => this.#db.getMany(keys, { asBuffer: true }, done)))
  }

  range(options: RangeOptions): Promise<StateEntry[]> {
    return this.#calls.run(async () => {
      const { gte, lt, limit, reverse = false, keysOnly = false } = options
      if (limit <= 0) return []
      const iterator = this.#db.iterator({ gte, lt, limit, reverse, values: !keysOnly, highWaterMark: 256 * 1024 })
      try {
        return await call<StateEntry[]>('read a range', done => collect(iterator, [], Number.POSITIVE_INFINITY, done))
      } finally {
        await call('end an iterator', done => iterator.end(done))
      }
    })
  }

  snapshot({ gte, lt }: { readonly gte: Buffer; readonly lt: Buffer }): Promise<StateSnapshot> {
    return this.#calls.run(async () => {
      // It holds a snapshot of the database from here on. What only it reads would push better out of the block cache.
      const iterator = this.#db.iterator({ gte, lt, highWaterMark: snapshotReadBytes, fillCache: false })
      let closed = false
      const requireOpen = (): void => {
        if (closed) throw new WeirError('BACKEND_FAILED', 'the snapshot is closed')
      }
      const snapshot: StateSnapshot = {
        next: limitBytes =>
          this.#calls.run(async () => {
            requireOpen()
            return await call<StateEntry[]>('read a snapshot', done => collect(iterator, [], limitBytes, done))
          }),
        seek: key => {
          requireOpen()
          // The binding takes a key before the range for its end.
          iterator.seek(key.compare(gte) < 0 ? gte : key)
        },
        close: async () => {
          if (closed) return
          closed = true
          this.#snapshots.delete(snapshot)
          await call('end an iterator', done => iterator.end(done))
        },
      }
      this.#snapshots.add(snapshot)
      return snapshot
    })
  }

  batch(): WriteBatch {
    assert(!this.#calls.closed, 'the backend is open')
    return new RocksDbBatch(this.#db.batch())
  }

  write(batch: WriteBatch, options: { readonly sync: boolean }): Promise<void> {
    assert(batch instanceof RocksDbBatch, 'a batch of this backend')
    return this.#calls.run(() => call('write', done => batch.native.write({ sync: options.sync }, done)))
  }

  /** Rewrites the files that hold the range, on a thread of the pool; others read and write meanwhile. */
  compact(gte: Buffer, lt: Buffer): Promise<void> {
    return this.#calls.run(() => call('compact', done => this.#db.compactRange(gte, lt, done)))
  }

  memory(): BackendMemory {
    const bytes = (name: string): number => (this.#calls.closed ? 0 : Number(this.#db.getProperty(`rocksdb.${name}`)))
    return {
      block_cache: bytes('block-cache-usage'),
      write_buffers: bytes('size-all-mem-tables'),
      tables: bytes('estimate-table-readers-mem'),
    }
  }

  async close(): Promise<void> {
    if (this.#calls.closed) return
    await this.#calls.close()
    for (const snapshot of this.#snapshots) await snapshot.close()
    await call('close', done => this.#db.close(done))
  }
}

/** @param limitBytes of keys and values, after which no further entry is asked for */
function collect(iterator: NativeIterator, into: StateEntry[], limitBytes: number, done: Callback<StateEntry[]>): void {
  iterator.next((error, key, value) => {
    if (error || key === undefined || value === undefined) return done(error, into)
    into.push({ key, value })
    const left = limitBytes - key.length - value.length
    if (left <= 0) return done(undefined, into)
    collect(iterator, into, left, done)
  })
}

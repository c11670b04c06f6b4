/**
 * RocksDB as a state backend through the `rocksdb-native` package, for machines on which `rocksdb` has no binary (arm64
 * Linux). What it lacks is made up for here:
 *
 * Invariants: 1. its batches have no synchronous write: after one that must survive a power cut, every write-ahead log
 * file there is is synced from here, and the directory, which is what RocksDB itself would do; 2. the size of its block
 * cache cannot be set: 32 MB, of which indexes and filters are part; 3. bytes handed to a batch are copied; a batch that is
 * never written holds nothing of the database.
 */
import { mkdir, open, readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { assert, WeirError } from '../../kernel/index.js'
import type { BackendMemory, RangeOptions, StateBackend, StateEntry, StateSnapshot, WriteBatch } from '../backend.js'
import { Calls, failed, notOpened } from './calls.js'
import type { RocksDbOptions } from './rocksdb.js'

interface NativeReads {
  get(key: Buffer): Promise<Buffer | null>
  flush(): Promise<void>
  destroy(): void
}

interface NativeWrites {
  tryPut(key: Buffer, value: Buffer): void
  tryDelete(key: Buffer): void
  flush(): Promise<void>
  destroy(): void
}

type NativeEntries = AsyncIterable<{ key: Buffer; value: Buffer | null }>

interface NativeDb {
  ready(): Promise<void>
  close(): Promise<void>
  read(options: { capacity: number }): NativeReads
  write(options: { capacity: number }): NativeWrites
  iterator(range: Record<string, unknown>, options: { capacity: number }): NativeEntries
  snapshot(): NativeDb
  compactRange(start: Buffer, end: Buffer): Promise<void>
  getProperty(name: string): Promise<string>
}

interface NativeModule {
  new (path: string, options: Record<string, unknown>): NativeDb
  readonly constants: { readonly pinningTier: { readonly NONE: number } }
}

/** Entries read at a time. */
const readAhead = 256

/**
 * Opens the database in `directory`, which is created when missing.
 * @throws WeirError DIRECTORY_IN_USE while a process (this one included) has it open, BACKEND_FAILED
 */
export async function openRocksDbNative(directory: string, options: RocksDbOptions): Promise<StateBackend> {
  let db: NativeDb
  try {
    await mkdir(directory, { recursive: true })
    const RocksDb = createRequire(import.meta.url)('rocksdb-native') as NativeModule
    const { NONE } = RocksDb.constants.pinningTier
    db = new RocksDb(directory, {
      ...(options.writeBufferBytes !== undefined && { writeBufferSize: options.writeBufferBytes }),
      maxOpenFiles: options.openFilesMax ?? 512,
      // Pinned, indexes and filters would grow past the cache.
      ...{ topLevelIndexPinningTier: NONE, partitionPinningTier: NONE, unpartitionedPinningTier: NONE },
    })
  } catch (error) {
    throw failed(`open ${directory}`, error)
  }
  try {
    await db.ready()
  } catch (error) {
    throw notOpened(directory, error as Error)
  }
  return new NativeBackend(directory, db)
}

type Operation = readonly [key: Buffer, value: Buffer | undefined]

class NativeBatch implements WriteBatch {
  readonly list: Operation[] = []

  get operations(): number {
    return this.list.length
  }

  put(key: Buffer, value: Buffer): void {
    this.list.push([Buffer.from(key), Buffer.from(value)])
  }

  delete(key: Buffer): void {
    this.list.push([Buffer.from(key), undefined])
  }
}

class NativeBackend implements StateBackend {
  readonly #directory: string
  readonly #db: NativeDb
  readonly #calls = new Calls()
  readonly #snapshots = new Set<StateSnapshot>()
  #memory: BackendMemory = { block_cache: 0, write_buffers: 0, tables: 0 }

  constructor(directory: string, db: NativeDb) {
    this.#directory = directory
    this.#db = db
  }

  #run<T>(what: string, work: () => Promise<T>): Promise<T> {
    return this.#calls.run(async () => {
      try {
        return await work()
      } catch (error) {
        throw error instanceof WeirError ? error : failed(what, error)
      }
    })
  }

  getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    return this.#run('read', async () => {
      if (keys.length === 0) return []
      const batch = this.#db.read({ capacity: keys.length })
      try {
        const values = Promise.all(keys.map(key => batch.get(key)))
        const [found] = await Promise.all([values, batch.flush()])
        return found.map(value => value ?? undefined)
      } finally {
        batch.destroy()
      }
    })
  }

  range({ gte, lt, limit, reverse = false, keysOnly = false }: RangeOptions): Promise<StateEntry[]> {
    return this.#run('read a range', async () => {
      if (limit <= 0 || gte.compare(lt) >= 0) return []
      const range = { gte, lt, limit, reverse, values: !keysOnly }
      return await collect(this.#db.iterator(range, { capacity: Math.min(limit, readAhead) }))
    })
  }

  snapshot({ gte, lt }: { readonly gte: Buffer; readonly lt: Buffer }): Promise<StateSnapshot> {
    return this.#run('take a snapshot', async () => {
      const session = this.#db.snapshot()
      let from = gte
      let closed = false
      const requireOpen = (): void => {
        if (closed) throw new WeirError('BACKEND_FAILED', 'the snapshot is closed')
      }
      // Each call stands anew where the last one ended: an iterator of this package reads ahead and cannot be moved.
      const snapshot: StateSnapshot = {
        next: limitBytes =>
          this.#run('read a snapshot', async () => {
            requireOpen()
            if (from.compare(lt) >= 0) return []
            const entries = await collect(session.iterator({ gte: from, lt }, { capacity: readAhead }), limitBytes)
            from = entries.length === 0 ? lt : Buffer.concat([entries[entries.length - 1]!.key, Buffer.of(0)])
            return entries
          }),
        seek: key => {
          requireOpen()
          from = key.compare(gte) < 0 ? gte : Buffer.from(key)
        },
        close: async () => {
          if (closed) return
          closed = true
          this.#snapshots.delete(snapshot)
          await session.close()
        },
      }
      this.#snapshots.add(snapshot)
      return snapshot
    })
  }

  batch(): WriteBatch {
    assert(!this.#calls.closed, 'the backend is open')
    return new NativeBatch()
  }

  write(batch: WriteBatch, options: { readonly sync: boolean }): Promise<void> {
    assert(batch instanceof NativeBatch, 'a batch of this backend')
    return this.#run('write', async () => {
      if (batch.operations > 0) await this.#apply(batch)
      if (options.sync) await syncLogs(this.#directory)
    })
  }

  async #apply({ list }: NativeBatch): Promise<void> {
    const native = this.#db.write({ capacity: list.length })
    try {
      for (const [key, value] of list) {
        if (value === undefined) native.tryDelete(key)
        else native.tryPut(key, value)
      }
      await native.flush()
    } finally {
      native.destroy()
    }
  }

  compact(gte: Buffer, lt: Buffer): Promise<void> {
    return this.#run('compact', () => this.#db.compactRange(gte, lt))
  }

  /** As of the call before: the package tells it in its own time. */
  memory(): BackendMemory {
    void this.#run('tell its memory', async () => {
      const bytes = async (name: string): Promise<number> => Number(await this.#db.getProperty(`rocksdb.${name}`))
      this.#memory = {
        block_cache: await bytes('block-cache-usage'),
        write_buffers: await bytes('size-all-mem-tables'),
        tables: await bytes('estimate-table-readers-mem'),
      }
    }).catch(() => {
      // Closed, or about to be: the last figures stand.
    })
    return this.#memory
  }

  async close(): Promise<void> {
    if (this.#calls.closed) return
    await this.#calls.close()
    for (const snapshot of this.#snapshots) await snapshot.close()
    try {
      await this.#db.close()
    } catch (error) {
      throw failed('close', error)
    }
  }
}

/** @param limitBytes of keys and values, after which no further entry is taken */
async function collect(entries: NativeEntries, limitBytes = Number.POSITIVE_INFINITY): Promise<StateEntry[]> {
  const into: StateEntry[] = []
  let left = limitBytes
  for await (const { key, value } of entries) {
    into.push({ key, value: value ?? Buffer.alloc(0) })
    left -= key.length + (value?.length ?? 0)
    if (left <= 0) break
  }
  return into
}

/** A log file that is gone by now was superseded by files that RocksDB has synced. */
async function syncLogs(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.log'))
  for (const name of names) await syncFile(join(directory, name), true)
  await syncFile(directory, false)
}

async function syncFile(path: string, mayBeGone: boolean): Promise<void> {
  let file: Awaited<ReturnType<typeof open>>
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (mayBeGone && (error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    await file.datasync()
  } finally {
    await file.close()
  }
}

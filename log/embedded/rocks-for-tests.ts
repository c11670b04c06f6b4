/** The least of RocksDB that the log's tests need. The runner uses the state backend, which has the same shape. */
import { createRequire } from 'node:module'
import type { DbBatch, DbEntry, DbRange, EmbeddedDb } from './db.js'

type Done = (error: Error | null | undefined) => void

interface Native {
  open(options: object, done: Done): void
  close(done: Done): void
  batch(): { put(key: Buffer, value: Buffer): void; del(key: Buffer): void; write(options: object, done: Done): void }
  iterator(options: object): {
    next(done: (error: Error | null | undefined, key?: Buffer, value?: Buffer) => void): void
    end(done: Done): void
  }
}

const called = (start: (done: Done) => void): Promise<void> =>
  new Promise((resolve, reject) => start(error => (error ? reject(error) : resolve())))

export interface RocksForTests extends EmbeddedDb {
  close(): Promise<void>
}

export async function openRocksForTests(directory: string): Promise<RocksForTests> {
  const rocksdb = createRequire(import.meta.url)('rocksdb') as (directory: string) => Native
  const db = rocksdb(directory)
  await called(done => db.open({ writeBufferSize: 16 << 20 }, done))
  const writes = new WeakMap<DbBatch, ReturnType<Native['batch']>>()
  return {
    async range(options: DbRange): Promise<readonly DbEntry[]> {
      const iterator = db.iterator({ ...options, values: options.keysOnly !== true, highWaterMark: 256 * 1024 })
      const found: DbEntry[] = []
      try {
        await new Promise<void>((resolve, reject) => {
          const step = (): void =>
            iterator.next((error, key, value) => {
              if (error) return reject(error)
              if (key === undefined || value === undefined) return resolve()
              found.push({ key, value })
              step()
            })
          step()
        })
      } finally {
        await called(done => iterator.end(done))
      }
      return found
    },
    batch() {
      const native = db.batch()
      const batch = {
        operations: 0,
        put(key: Buffer, value: Buffer): void {
          native.put(key, value)
          batch.operations++
        },
        delete(key: Buffer): void {
          native.del(key)
          batch.operations++
        },
      }
      writes.set(batch, native)
      return batch
    },
    write: (batch, options) => called(done => writes.get(batch)!.write(options, done)),
    close: () => called(done => db.close(done)),
  }
}

/**
 * The backend in memory, and the disk below it for simulations.
 *
 * Invariants, as RocksDB keeps them: 1. a batch is there completely or not at all; 2. after `crash` what is left is a
 * prefix of the batches written (the write-ahead log is a prefix), never without one that was written with `sync`;
 * 3. one owner at a time.
 */
import { assert, WeirError } from '../../kernel/index.js'
import type { RangeOptions, StateBackend, StateEntry, StateSnapshot, WriteBatch } from '../backend.js'

/** Newest batches that a crash may drop; older ones count as flushed. Bounds the memory that undoing them takes (I6). */
const unsyncedBatchesMax = 64

interface Change {
  readonly key: string
  /** undefined: was, or becomes, absent */
  readonly before: Buffer | undefined
}

/** What survives a crash. Keys are latin-1 strings: one code unit a byte, so they compare as unsigned bytes. */
export class MemoryDisk {
  readonly #values = new Map<string, Buffer>()
  #sorted: string[] = []
  /** Keys of #values that #sorted lacks; #sorted may also hold keys that are gone. */
  #unsorted: string[] = []
  /** How to undo each unsynced batch, oldest first. */
  readonly #unsynced: Change[][] = []
  #owner: MemoryBackend | undefined

  /** @throws WeirError DIRECTORY_IN_USE while another owner has it open */
  open(): StateBackend {
    if (this.#owner !== undefined) throw new WeirError('DIRECTORY_IN_USE', 'the memory disk has an owner')
    this.#owner = new MemoryBackend(this)
    return this.#owner
  }

  /** Batches that a crash may drop. */
  get unsynced(): number {
    return this.#unsynced.length
  }

  get entries(): number {
    return this.#values.size
  }

  /**
   * The process dies: its backend is dead, and of the unsynced batches the oldest `keep` survive.
   * @param keep 0 to `unsynced`
   */
  crash(keep = 0): void {
    assert(keep >= 0 && keep <= this.#unsynced.length, `keeps ${keep} of ${this.#unsynced.length} batches`)
    this.#owner = undefined
    while (this.#unsynced.length > keep) {
      const changes = this.#unsynced.pop()!
      for (let i = changes.length - 1; i >= 0; i--) this.#set(changes[i]!.key, changes[i]!.before)
    }
    this.#unsynced.length = 0
  }

  /** Another disk with the same content, as a backup or a checkpoint makes one. */
  copy(): MemoryDisk {
    const copied = new MemoryDisk()
    for (const [key, value] of this.#values) copied.#set(key, value)
    return copied
  }

  #set(key: string, value: Buffer | undefined): void {
    if (value === undefined) this.#values.delete(key)
    else {
      if (!this.#values.has(key)) this.#unsorted.push(key)
      this.#values.set(key, value)
    }
  }

  /** For the owner only. */
  requireOwner(backend: MemoryBackend): void {
    if (this.#owner !== backend) throw new WeirError('BACKEND_FAILED', 'the memory backend is closed')
  }

  /** For the owner only: a clean close loses nothing. */
  release(backend: MemoryBackend): void {
    if (this.#owner !== backend) return
    this.#owner = undefined
    this.#unsynced.length = 0
  }

  get(key: string): Buffer | undefined {
    return this.#values.get(key)
  }

  apply(operations: readonly MemoryOperation[], sync: boolean): void {
    const undo: Change[] = []
    for (const { key, value } of operations) {
      undo.push({ key, before: this.#values.get(key) })
      this.#set(key, value)
    }
    if (sync) this.#unsynced.length = 0
    else {
      this.#unsynced.push(undo)
      if (this.#unsynced.length > unsyncedBatchesMax) this.#unsynced.shift()
    }
  }

  range(gte: string, lt: string, limit: number, reverse: boolean): StateEntry[] {
    this.#sort()
    const found: StateEntry[] = []
    let at = lowerBound(this.#sorted, reverse ? lt : gte) + (reverse ? -1 : 0)
    const step = reverse ? -1 : 1
    for (; found.length < limit; at += step) {
      const key = this.#sorted[at]
      if (key === undefined || (reverse ? key < gte : key >= lt)) break
      const value = this.#values.get(key)
      if (value !== undefined) found.push({ key: Buffer.from(key, 'latin1'), value: Buffer.from(value) })
    }
    return found
  }

  /** Merges what came since the last range; costs a pass over the keys, once for each run of writes. */
  #sort(): void {
    if (this.#unsorted.length === 0 && this.#sorted.length === this.#values.size) return
    this.#unsorted.sort(byCodeUnit)
    const old = this.#sorted
    const fresh = this.#unsorted
    const merged: string[] = []
    for (let i = 0, j = 0; i < old.length || j < fresh.length; ) {
      const takeOld = j >= fresh.length || (i < old.length && old[i]! <= fresh[j]!)
      const key = takeOld ? old[i++]! : fresh[j++]!
      if (this.#values.has(key) && merged[merged.length - 1] !== key) merged.push(key)
    }
    this.#sorted = merged
    this.#unsorted = []
  }
}

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}

interface MemoryOperation {
  readonly key: string
  readonly value: Buffer | undefined
}

class MemoryBatch implements WriteBatch {
  readonly list: MemoryOperation[] = []
  written = false

  get operations(): number {
    return this.list.length
  }

  put(key: Buffer, value: Buffer): void {
    assert(!this.written, 'the batch has been written')
    this.list.push({ key: key.toString('latin1'), value: Buffer.from(value) })
  }

  delete(key: Buffer): void {
    assert(!this.written, 'the batch has been written')
    this.list.push({ key: key.toString('latin1'), value: undefined })
  }
}

class MemoryBackend implements StateBackend {
  readonly #disk: MemoryDisk

  constructor(disk: MemoryDisk) {
    this.#disk = disk
  }

  async getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    this.#disk.requireOwner(this)
    return keys.map(key => {
      const value = this.#disk.get(key.toString('latin1'))
      return value === undefined ? undefined : Buffer.from(value)
    })
  }

  async range(options: RangeOptions): Promise<StateEntry[]> {
    this.#disk.requireOwner(this)
    const { gte, lt, limit, reverse = false, keysOnly = false } = options
    const found = this.#disk.range(gte.toString('latin1'), lt.toString('latin1'), limit, reverse)
    return keysOnly ? found.map(({ key }) => ({ key, value: Buffer.alloc(0) })) : found
  }

  async snapshot({ gte, lt }: { readonly gte: Buffer; readonly lt: Buffer }): Promise<StateSnapshot> {
    this.#disk.requireOwner(this)
    const entries = this.#disk.range(gte.toString('latin1'), lt.toString('latin1'), Number.POSITIVE_INFINITY, false)
    let at = 0
    let closed = false
    const requireOpen = (): void => {
      this.#disk.requireOwner(this)
      if (closed) throw new WeirError('BACKEND_FAILED', 'the snapshot is closed')
    }
    return {
      next: async limitBytes => {
        requireOpen()
        const from = at
        for (let bytes = 0; at < entries.length && bytes < limitBytes; at++) {
          bytes += entries[at]!.key.length + entries[at]!.value.length
        }
        return entries.slice(from, at)
      },
      seek: key => {
        requireOpen()
        at = entries.findIndex(entry => entry.key.compare(key) >= 0)
        if (at === -1) at = entries.length
      },
      close: async () => {
        closed = true
      },
    }
  }

  batch(): WriteBatch {
    return new MemoryBatch()
  }

  async write(batch: WriteBatch, options: { readonly sync: boolean }): Promise<void> {
    this.#disk.requireOwner(this)
    assert(batch instanceof MemoryBatch && !batch.written, 'a batch of this backend, written once')
    batch.written = true
    this.#disk.apply(batch.list, options.sync)
  }

  async close(): Promise<void> {
    this.#disk.release(this)
  }
}

/**
 * How a process divides its memory. One number, `memory.budget`, is what its resident memory should stay below; every part
 * that can grow has its share of it (docs/operations.md). Measured by `npm run bench:state`.
 *
 *   runtime        node, libraries, model, V8's young generation, the records of an epoch, requests that wait;
 *                  a slot thread has a heap of its own
 *   state          what V8 takes for live state: 2.25 times what the cache counts (a key takes 1.1 to 1.4 times what is
 *                  counted, V8 collects at 1.4 times what lives and goes on while it does, malloc keeps some)
 *   block cache    RocksDB's uncompressed blocks
 *   write buffers  RocksDB's tables in memory, of which two exist
 *   tables         RocksDB's indexes and filters, which lie outside its cache: an open file of 64 MB has 2.5 MB of them at most
 *   rest           values on their way from and to RocksDB, iterators, checkpoints
 */
import { WeirError } from '../../kernel/index.js'

export interface MemoryShare {
  /** Of one slot's state, as it counts itself. */
  readonly cacheBytesMax: number
  /** What is dirty cannot be evicted: a write-back is due before it fills the cache. */
  readonly dirtyBytesMax: number
  /** Of one database. */
  readonly backend: BackendShare
}

export interface BackendShare {
  readonly blockCacheBytes: number
  readonly writeBufferBytes: number
  readonly openFilesMax: number
}

const mb = 1 << 20
const runtimeBytes = 288 * mb
const threadBytes = 128 * mb
/** Per slot: below, RocksDB writes a file every few thousand records and reads each block again and again. */
const slotBytesMin = 64 * mb
const tableBytesPerFile = 2.5 * mb
/** RocksDB keeps ten of them for itself. */
const filesBeside = 10

const part = { state: 7 / 12, blockCache: 1 / 12, writeBuffers: 1 / 12, tables: 1 / 6 }
const residentPerCounted = 2.25

export interface MemoryUsers {
  /** Slots that the process may come to run, each with a store of its own. */
  readonly slots: number
  /** Threads with a heap of their own beside the main one. */
  readonly threads: number
}

/** @throws WeirError USAGE when it is too little */
export function shareMemory(budgetBytes: number, { slots, threads }: MemoryUsers): MemoryShare {
  const fixed = runtimeBytes + threads * threadBytes
  const bytes = (budgetBytes - fixed) / slots
  if (bytes < slotBytesMin) {
    const least = Math.ceil((fixed + slots * slotBytesMin) / mb)
    throw new WeirError('USAGE', `memory.budget is ${Math.floor(budgetBytes / mb)}m; ${slots} slots need ${least}m`)
  }
  const cacheBytesMax = Math.floor((bytes * part.state) / residentPerCounted)
  return {
    cacheBytesMax,
    dirtyBytesMax: Math.floor(cacheBytesMax * 0.75),
    backend: {
      blockCacheBytes: Math.floor(bytes * part.blockCache),
      writeBufferBytes: Math.floor((bytes * part.writeBuffers) / 2),
      openFilesMax: filesBeside + Math.floor((bytes * part.tables) / tableBytesPerFile),
    },
  }
}

/** What a database that is no slot's may have: the decision view of an edge. */
export function viewShare(budgetBytes: number): BackendShare {
  return shareMemory(budgetBytes, { slots: 1, threads: 0 }).backend
}

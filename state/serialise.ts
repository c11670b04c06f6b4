/**
 * Turns dirty cells into one backend batch, at the epoch's boundary and before the next epoch's operators run (I2).
 * The sink stands at one key at a time; values pass through one scratch buffer.
 */
import { ByteWriter } from '../kernel/index.js'
import type { WriteBatch } from './backend.js'
import type { Cell, KeyEntry, StoreCore } from './entry.js'
import { expiryKey } from './expiry.js'
import type { KeyWriter } from './keys.js'

export class EntrySink {
  readonly batch: WriteBatch
  /** Bytes of keys and values put. */
  bytes = 0
  readonly #core: StoreCore
  readonly #keys: KeyWriter
  readonly #scratch = new ByteWriter(4_096)
  readonly #onceWritten: (() => void)[] = []
  /** The first day of which an object was put into the expiry index. */
  armedDay = Number.POSITIVE_INFINITY
  #step = ''
  #entry: KeyEntry | undefined

  constructor(core: StoreCore, batch: WriteBatch) {
    this.#core = core
    this.#keys = core.keys
    this.batch = batch
  }

  /** Moves on to another key. @param prefix of the step's entries */
  at(step: string, prefix: Buffer, entry: KeyEntry): void {
    this.#step = step
    this.#entry = entry
    this.#keys.begin(prefix, entry.group, entry.key)
  }

  /** The writer for the next value; empty. */
  scratch(): ByteWriter {
    this.#scratch.reset()
    return this.#scratch
  }

  /** Puts what the scratch holds. */
  putRoot(handle: Buffer): void {
    this.put(this.#keys.root(handle), this.#scratch.view())
  }

  putPart(handle: Buffer, id: string): void {
    this.put(this.#keys.part(handle, id), this.#scratch.view())
  }

  deleteRoot(handle: Buffer): void {
    this.batch.delete(this.#keys.root(handle))
  }

  deletePart(handle: Buffer, id: string): void {
    this.batch.delete(this.#keys.part(handle, id))
  }

  /** As putPart; the page can be read back before the batch is written. */
  putPage(cell: Cell, handle: Buffer, id: string): void {
    let pages = this.#core.pendingPages.get(cell)
    if (pages === undefined) {
      pages = new Map()
      this.#core.pendingPages.set(cell, pages)
    }
    pages.set(id, Buffer.from(this.#scratch.view()))
    this.putPart(handle, id)
  }

  deletePage(cell: Cell, handle: Buffer, id: string): void {
    this.#core.pendingPages.get(cell)?.delete(id)
    this.deletePart(handle, id)
  }

  armExpiry(day: number, handle: Buffer): void {
    const { key, group } = this.#entry!
    this.armedDay = Math.min(this.armedDay, day)
    this.put(expiryKey(this.#core.namespace, day, this.#step, group, key, handle), Buffer.alloc(0))
  }

  put(key: Buffer, value: Buffer): void {
    this.batch.put(key, value)
    this.bytes += key.length + value.length
  }

  deleteKey(key: Buffer): void {
    this.batch.delete(key)
  }

  /** Has `then` called at the first epoch boundary after the batch is in the backend. */
  onceWritten(then: () => void): void {
    this.#onceWritten.push(then)
  }

  get afterWrite(): readonly (() => void)[] {
    return this.#onceWritten
  }
}

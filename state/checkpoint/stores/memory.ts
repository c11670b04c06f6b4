/** The checkpoint store in memory, for tests and simulations: calls can be made to fail, objects to be damaged. */
import { WeirError } from '../../../kernel/index.js'
import { type CheckpointStore, checkObjectName, type StoredObject } from '../store.js'

export interface StoreCall {
  readonly kind: 'put' | 'create' | 'get' | 'list' | 'delete'
  /** For a list the prefix; a delete of several is a call for each. */
  readonly name: string
}

/** 'lost': nothing happens; 'unheard': it happens, and the caller does not hear of it. */
export type StoreFault = 'lost' | 'unheard' | undefined

/** What outlives a close: keep it, and open it again. */
export class MemoryObjects {
  readonly objects = new Map<string, Buffer>()
  /** Asked before every call. */
  fault: (call: StoreCall) => StoreFault = () => undefined

  open(): CheckpointStore {
    return new MemoryCheckpointStore(this)
  }
}

class MemoryCheckpointStore implements CheckpointStore {
  readonly #kept: MemoryObjects
  #closed = false

  constructor(kept: MemoryObjects) {
    this.#kept = kept
  }

  #call<T>(kind: StoreCall['kind'], name: string, work: () => T): T {
    if (this.#closed) throw new WeirError('CHECKPOINT_STORE_FAILED', 'the checkpoint store is closed')
    if (kind !== 'list') checkObjectName(name)
    const fault = this.#kept.fault({ kind, name })
    const result = fault === 'lost' ? undefined : work()
    if (fault !== undefined) throw new WeirError('CHECKPOINT_STORE_FAILED', `${kind} of ${name} was made to fail`)
    return result as T
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.#call('put', name, () => this.#kept.objects.set(name, Buffer.from(bytes)))
  }

  async create(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.#call('create', name, () => {
      if (this.#kept.objects.has(name)) return false
      this.#kept.objects.set(name, Buffer.from(bytes))
      return true
    })
  }

  async get(name: string): Promise<Buffer | undefined> {
    return this.#call('get', name, () => {
      const found = this.#kept.objects.get(name)
      return found && Buffer.from(found)
    })
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    const names = this.#call('list', prefix, () =>
      [...this.#kept.objects.keys()].filter(name => name.startsWith(prefix)).sort(),
    )
    for (const name of names) {
      const found = this.#kept.objects.get(name)
      if (found !== undefined) yield { name, bytes: found.length }
    }
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const name of names) this.#call('delete', name, () => this.#kept.objects.delete(name))
  }

  async close(): Promise<void> {
    this.#closed = true
  }
}

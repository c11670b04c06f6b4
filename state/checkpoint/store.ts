/**
 * The checkpoint-store port: objects by name, each there completely or not at all. A directory and an object store stand
 * behind it and run the same conformance suite.
 */
import { WeirError } from '../../kernel/index.js'

export interface StoredObject {
  readonly name: string
  readonly bytes: number
}

/**
 * Objects by name (`/` separates; letters, digits, . _ - /). No name is another's folder: where `a/b` is, `a` is not.
 * Every method throws WeirError CHECKPOINT_STORE_FAILED, also after `close`.
 */
export interface CheckpointStore {
  /** All of it or nothing; durable when it resolves. An object of that name is replaced. */
  put(name: string, bytes: Uint8Array): Promise<void>
  /** Only when there is none of that name. @returns false when there was one */
  create(name: string, bytes: Uint8Array): Promise<boolean>
  get(name: string): Promise<Buffer | undefined>
  /** In the order of their names' bytes. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Those that are not there are passed over. */
  delete(names: readonly string[]): Promise<void>
  close(): Promise<void>
}

const nameBytesMax = 900

/** @throws WeirError CHECKPOINT_STORE_FAILED for a name that not every store can hold */
export function checkObjectName(name: string): void {
  const parts = name.split('/')
  const fine = /^[A-Za-z0-9._/-]+$/.test(name) && parts.every(part => part !== '' && part !== '.' && part !== '..')
  if (!fine || name.length > nameBytesMax) {
    throw new WeirError('CHECKPOINT_STORE_FAILED', `'${name}' cannot be the name of an object in a checkpoint store`)
  }
}

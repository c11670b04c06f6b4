/**
 * A checkpoint store whose objects are encrypted: each is sealed as a whole (kernel/seal.ts) with its name as context, so that
 * objects that were changed, cut short or swapped are found. Names and sizes stay readable.
 *
 * What it cannot see: that an object was put back to what it was before. Manifests name the hashes of what belongs to them.
 * In memory are an object and its sealed form, never more.
 */
import {
  assertNever,
  isWeirError,
  type SealKeys,
  seal,
  sealedWith,
  sealOverheadBytes,
  sha256Hex,
  unseal,
  WeirError,
} from '../../kernel/index.js'
import { hashOfName } from './manifest.js'
import type { CheckpointStore } from './store.js'

/**
 * @param keys the first one writes; all of them read
 * @returns a store that closes the one below. Its reads throw WeirError CHECKPOINT_KEY where the key is missing or the object is
 * not encrypted, CHECKPOINT_CORRUPT where it was changed, STATE_FORMAT where a newer Weir wrote it
 */
export function encrypted(store: CheckpointStore, keys: SealKeys): CheckpointStore {
  return {
    put: async (name, bytes) => store.put(name, await seal(keys, bytes, name)),
    create: async (name, bytes) => store.create(name, await seal(keys, bytes, name)),
    get: async name => {
      const sealed = await store.get(name)
      return sealed === undefined ? undefined : opened(keys, sealed, name)
    },
    list: async function* (prefix) {
      for await (const { name, bytes } of store.list(prefix)) {
        // What is not encrypted may be shorter.
        yield { name, bytes: Math.max(0, bytes - sealOverheadBytes) }
      }
    },
    delete: names => store.delete(names),
    close: () => store.close(),
  }
}

async function opened(keys: SealKeys, sealed: Buffer, name: string): Promise<Buffer> {
  const result = await unseal(keys, sealed, name)
  switch (result.kind) {
    case 'opened':
      return result.bytes
    case 'not-sealed':
      // What is plain has the hash of its name; what has not was torn, and says nothing of keys.
      if (/-[0-9a-f]{64}$/.test(name) && sha256Hex(sealed) !== hashOfName(name)) throw changed(name)
      throw new WeirError('CHECKPOINT_KEY', `${name} is not encrypted, though a key is set`)
    case 'newer-version':
      throw new WeirError('STATE_FORMAT', `${name} is encrypted in version ${result.version} of the format`)
    case 'unknown-key':
      throw new WeirError(
        'CHECKPOINT_KEY',
        `${name} is encrypted with key ${result.keyId}; there is only ${[...keys.keys()].join(', ')}`,
      )
    case 'corrupt':
      throw changed(name)
    default:
      return assertNever(result)
  }
}

/**
 * For where there are no keys: what is encrypted is not damaged, and nothing is to be written in plain beside it for want of a key.
 * @returns a store that closes the one below. Its reads throw WeirError CHECKPOINT_KEY
 */
export function unencrypted(store: CheckpointStore): CheckpointStore {
  return {
    put: (name, bytes) => store.put(name, bytes),
    create: (name, bytes) => store.create(name, bytes),
    get: async name => {
      const stored = await store.get(name)
      const keyId = stored && sealedWith(stored)
      if (keyId === undefined) return stored
      throw new WeirError('CHECKPOINT_KEY', `${name} is encrypted with key ${keyId}; there is none`)
    },
    list: prefix => store.list(prefix),
    delete: names => store.delete(names),
    close: () => store.close(),
  }
}

const changed = (name: string): WeirError =>
  new WeirError('CHECKPOINT_CORRUPT', `${name} was changed, or is another object, since it was encrypted`)

export interface Reencrypted {
  readonly objects: number
  /** Of these, the ones that were written anew. */
  readonly renewed: number
  /** Of these, the ones that are as they were: told by `onFailed`. */
  readonly failed: number
}

/**
 * Writes what other keys have encrypted anew with the first one, after which the others are needed no more but for what failed: that
 * is passed over, so that one damaged object does not keep an old key in use. May be repeated, and goes on where it was stopped. An object that is deleted in between may come back: retention deletes it again.
 * @param store the one below, which `encrypted` was given
 * @param options.plain what was stored before there were keys: `encrypt` takes it as it is, `refuse` fails on it with CHECKPOINT_KEY
 * @param options.onFailed what cannot be read with these keys, as `encrypted` says it
 * @throws WeirError CHECKPOINT_STORE_FAILED
 */
export async function reencrypt(
  store: CheckpointStore,
  keys: SealKeys,
  options: {
    readonly plain: 'encrypt' | 'refuse'
    readonly prefix?: string
    readonly onFailed: (name: string, error: WeirError) => void
  },
): Promise<Reencrypted> {
  const counts = { objects: 0, renewed: 0, failed: 0 }
  for await (const { name } of store.list(options.prefix ?? '')) {
    try {
      const done = await renew(store, keys, name, options.plain)
      if (done === 'gone') continue
      if (done === 'renewed') counts.renewed++
    } catch (error) {
      if (!isWeirError(error) || error.code === 'CHECKPOINT_STORE_FAILED') throw error
      counts.failed++
      options.onFailed(name, error)
    }
    counts.objects++
  }
  return counts
}

async function renew(
  store: CheckpointStore,
  keys: SealKeys,
  name: string,
  plain: 'encrypt' | 'refuse',
): Promise<'renewed' | 'as it was' | 'gone'> {
  const stored = await store.get(name)
  if (stored === undefined) return 'gone'
  const keyId = sealedWith(stored)
  // Opened also when the key is right: one that was changed must not pass for one that is done.
  const bytes = keyId === undefined && plain === 'encrypt' ? stored : await opened(keys, stored, name)
  const [first] = keys.keys()
  if (keyId === first) return 'as it was'
  await store.put(name, await seal(keys, bytes, name))
  return 'renewed'
}

/** A checkpoint store of which calls fail. */
import { WeirError } from '../../kernel/index.js'
import type { CheckpointStore } from '../../state/index.js'

/** 'lost': the call does nothing; 'unheard': it does what it should, and says that it failed. */
export type StoreFault = 'lost' | 'unheard' | undefined
/** Waits, and says what goes wrong with the call. */
export type BeforeCall = (call: keyof CheckpointStore) => Promise<StoreFault>

const failure = (call: string): WeirError => new WeirError('CHECKPOINT_STORE_FAILED', `injected: ${call}`)

export function faultyStore(inner: CheckpointStore, before: BeforeCall): CheckpointStore {
  const call = async <T>(kind: keyof CheckpointStore, work: () => Promise<T>): Promise<T> => {
    const fault = await before(kind)
    if (fault === 'lost') throw failure(kind)
    const result = await work()
    if (fault === 'unheard') throw failure(kind)
    return result
  }
  return {
    put: (name, bytes) => call('put', () => inner.put(name, bytes)),
    create: (name, bytes) => call('create', () => inner.create(name, bytes)),
    get: name => call('get', () => inner.get(name)),
    async *list(prefix) {
      if ((await before('list')) !== undefined) throw failure('list')
      yield* inner.list(prefix)
    },
    delete: names => call('delete', () => inner.delete(names)),
    close: () => inner.close(),
  }
}

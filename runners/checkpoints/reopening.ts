/**
 * A checkpoint store that could not be opened yet: each call tries again, and what is open then stays open.
 *
 * A store that is away when a slot starts must not keep the slot from going on with the state on its disk.
 */
import { WeirError } from '../../kernel/index.js'
import type { CheckpointStore } from '../../state/index.js'

export function reopening(open: () => Promise<CheckpointStore>): CheckpointStore {
  let opening: Promise<CheckpointStore> | undefined
  let closed = false
  const opened = async (): Promise<CheckpointStore> => {
    if (closed) throw new WeirError('CHECKPOINT_STORE_FAILED', 'the checkpoint store is closed')
    opening ??= open()
    try {
      return await opening
    } catch (error) {
      opening = undefined
      throw error
    }
  }
  return {
    put: async (name, bytes) => await (await opened()).put(name, bytes),
    create: async (name, bytes) => await (await opened()).create(name, bytes),
    get: async name => await (await opened()).get(name),
    async *list(prefix) {
      yield* (await opened()).list(prefix)
    },
    delete: async names => await (await opened()).delete(names),
    close: async () => {
      closed = true
      const store = await opening?.catch(() => undefined)
      await store?.close()
    },
  }
}

/** Removes everything that a store has written under its namespace, a bounded part at a time. */
import type { StateBackend } from './backend.js'
import { prefixRange, space } from './keys.js'

const sliceMax = 4_096

/**
 * Once the position is gone: a crash on the way leaves a store that is wiped when it is opened.
 * @throws WeirError BACKEND_FAILED
 */
export async function wipe(backend: StateBackend, namespace: Uint8Array): Promise<void> {
  for (const within of Object.values(space)) {
    const { gte, lt } = prefixRange(Buffer.concat([namespace, Buffer.of(within)]))
    for (;;) {
      const slice = await backend.range({ gte, lt, limit: sliceMax, keysOnly: true })
      if (slice.length === 0) break
      const batch = backend.batch()
      for (const { key } of slice) batch.delete(key)
      await backend.write(batch, { sync: false })
    }
  }
}

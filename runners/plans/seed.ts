/** The state that a later plan begins with, for one of its slots. */
import { assert, WeirError } from '../../kernel/index.js'
import { type CheckpointStore, readSavepoint, restoreSavepoint, type StateBackend } from '../../state/index.js'
import type { Placement } from '../../topology/index.js'
import type { SlotOptions } from '../slot/index.js'

export interface SeedOptions {
  readonly store: CheckpointStore
  readonly slot: number
  /** Of the plan that begins. */
  readonly placement: Placement
  readonly backend: StateBackend
  readonly namespace?: Uint8Array
  readonly onProgress?: (bytes: number, ofBytes: number) => void
}

/** A key group lies in one partition, that of its number; a partition in one slot. */
export function seedOf(options: SeedOptions): NonNullable<SlotOptions['seed']> {
  const { store, slot, placement, backend, namespace, onProgress } = options
  return async (genesis, position) => {
    const { app, from } = genesis
    const { savepoint, sha256 } = await readSavepoint(store, app, from.savepoint)
    if (sha256 !== from.sha256) {
      throw new WeirError(
        'CHECKPOINT_CORRUPT',
        `savepoint '${from.savepoint}' is not the one that plan ${genesis.plan} began with`,
      )
    }
    const { partitions, slots } = placement
    assert(savepoint.key_groups % partitions === 0, 'a key group lies in one partition')
    await restoreSavepoint(store, savepoint, {
      backend,
      migration: from.migration,
      ownsGroup: group => (group % partitions) % slots === slot,
      position,
      ...(namespace && { namespace }),
      ...(onProgress && { onProgress }),
    })
  }
}

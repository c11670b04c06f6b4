/** Where a deployment keeps its checkpoints: a directory or a bucket, encrypted where there are keys. */
import {
  type CheckpointStore,
  encrypted,
  openDirectoryStore,
  openS3Store,
  parseS3Url,
  unencrypted,
} from '../../state/index.js'
import { type KeySource, loadSealKeys } from '../encryption/index.js'
import { reopening } from './reopening.js'

export interface CheckpointPlace extends KeySource {
  /** A directory, or `s3://BUCKET/PREFIX`. */
  readonly store: string
}

export const isBucket = (store: string): boolean => store.startsWith('s3://')

/** As it is stored. @throws WeirError USAGE, CHECKPOINT_STORE_FAILED where there is no such directory and none can be made */
export function openStoreBelow({ store }: CheckpointPlace): Promise<CheckpointStore> {
  return isBucket(store) ? openS3Store(parseS3Url(store)) : openDirectoryStore(store)
}

/** @throws WeirError as `openStoreBelow` does; INVALID_KEYS */
export async function openCheckpointStore(place: CheckpointPlace): Promise<CheckpointStore> {
  const sealing = sealed(place)
  return sealing(await openStoreBelow(place))
}

/** Where it cannot be opened now, each of its calls tries that again. @throws WeirError INVALID_KEYS */
export function checkpointStoreOf(place: CheckpointPlace): CheckpointStore {
  return sealed(place)(reopening(() => openStoreBelow(place)))
}

function sealed(place: CheckpointPlace): (store: CheckpointStore) => CheckpointStore {
  const keys = loadSealKeys(place)
  return keys === undefined ? unencrypted : store => encrypted(store, keys)
}

export { lookAt, type StoredState } from './look.js'
export { newestPlan, type PlanOf, planOf, type SavepointRequest, saveCheckpoints } from './savepoint.js'

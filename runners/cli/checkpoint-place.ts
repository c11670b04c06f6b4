import type { CheckpointPlace } from '../checkpoints/index.js'
import { type Config, optionalTextOf } from '../config/index.js'

/** @param store in place of the configured one. @returns undefined where neither is given */
export function placeOf(config: Config, store?: string): CheckpointPlace | undefined {
  const where = store ?? optionalTextOf(config, 'checkpoints.store')
  if (where === undefined) return undefined
  return {
    store: where,
    keys: optionalTextOf(config, 'checkpoints.keys'),
    keyFile: optionalTextOf(config, 'checkpoints.key_file'),
  }
}

/** How one seed's world is laid out, from tiny caches and pages, which miss all the time, to ordinary ones. */
import { millis } from '../../kernel/index.js'
import type { SlotLimits } from '../../runners/slot/index.js'
import type { Random } from './random.js'
import type { Sizes } from './topology.js'

export interface WorldConfig {
  readonly partitions: number
  readonly outputPartitions: number
  readonly keyGroups: number
  readonly markers: boolean
  readonly cacheBytesMax: number
  readonly syncState: boolean
  readonly sizes: Sizes
  readonly limits: Partial<SlotLimits>
}

const tinySizes: Sizes = {
  reservoir: { headEventsMax: 3, leafEvents: 2, fanout: 2, transitionsInRoot: 2 },
  dedupe: { rootEntriesMax: 2, pageEntries: 2, cleanPagesMax: 1 },
}
const ordinarySizes: Sizes = {
  reservoir: { headEventsMax: 128, leafEvents: 96, fanout: 64, transitionsInRoot: 64 },
  dedupe: { rootEntriesMax: 128, pageEntries: 64, cleanPagesMax: 64 },
}

export function drawConfig(random: Random, slots = 1): WorldConfig {
  const partitions = random.between(1, 4) + slots - 1
  return {
    partitions,
    outputPartitions: random.between(1, 3),
    keyGroups: partitions * random.pick([1, 4, 64]),
    markers: random.chance(0.5),
    cacheBytesMax: random.pick([1, 5_000, 64 << 20]),
    syncState: random.chance(0.5),
    sizes: random.chance(0.6) ? tinySizes : ordinarySizes,
    limits: {
      epochRecordsMax: random.pick(slots === 1 ? [2, 7, 30, 4_096] : [4, 30, 4_096]),
      epochBytesMax: random.pick([600, 8 << 20, 8 << 20]),
      outputRowsMax: random.pick([1, 2, 7, 4_096]),
      pollWaitMs: millis(random.pick([0, 0, 100])),
      idleAfterMs: millis(random.pick([500, 60_000, 86_400_000])),
      dirtyBytesMax: random.pick([1, 3_000, 64 << 20]),
      recordsPerWriteBackMax: random.pick([1, 10, 40, 200_000]),
      sweepKeysMax: random.pick([1, 256]),
      exclusionsPerEpochMax: random.pick([2, 1_000]),
      epochsPerWriteBackMax: random.pick([3, 5_000]),
      ...(slots > 1 && { inFlightRowsMax: random.pick([1, 7, 65_536]) }),
    },
  }
}

/** The same for slots that have standbys. */
export function withHeartbeats(config: WorldConfig, random: Random): WorldConfig {
  const limits: Partial<SlotLimits> = {
    heartbeatMs: millis(random.pick([1, 250, 61_000])),
    heartbeatsPerWriteBackMax: random.pick([2, 14_400]),
    epochsPerFollowMax: random.pick([1, 3, 64]),
  }
  return { ...config, limits: { ...config.limits, ...limits } }
}

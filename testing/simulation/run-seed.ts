/** One seed from beginning to end. */
import type { MemoryDisk as StateDisk } from '../../state/index.js'
import type { Hits } from './chaos.js'
import { Random } from './random.js'
import { verifyOutputs, verifyState } from './verify.js'
import { verifyExchange } from './verify-exchange.js'
import { World, type WorldKind } from './world.js'

/** @throws Difference, or whatever a slot threw that it should not have */
export async function runSeed(seed: number, hits: Hits, kind: Partial<WorldKind> = {}): Promise<void> {
  const { slots, standbys }: WorldKind = { slots: 1, standbys: 0, ...kind }
  const world = new World(new Random(String(seed)), hits, { slots, standbys })
  try {
    await world.run()
    const states: StateDisk[] = []
    for (const fleet of world.fleets) states.push(await fleet.stop())
    await (slots === 1 ? verifyOutputs(world) : verifyExchange(world, hits))
    for (const fleet of world.fleets) {
      const followed = await fleet.stopFollower()
      const rebuilt = await fleet.rebuild()
      await verifyState(states[fleet.slot]!, rebuilt)
      if (followed !== undefined) await verifyState(followed, rebuilt)
      const restored = await fleet.restore()
      if (restored !== undefined) await verifyState(restored, rebuilt)
    }
  } finally {
    await world.remove()
  }
}

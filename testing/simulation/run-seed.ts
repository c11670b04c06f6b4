/** One seed from beginning to end. */
import type { Hits } from './chaos.js'
import { Random } from './random.js'
import { verifyOutputs, verifyState } from './verify.js'
import { World } from './world.js'

/** @throws Difference, or whatever the slot threw that it should not have */
export async function runSeed(seed: number, hits: Hits): Promise<void> {
  const world = new World(new Random(String(seed)), hits)
  await world.run()
  const state = await world.stop()
  await verifyOutputs(world)
  await verifyState(state, await world.rebuild())
}

/** Slots that are followed and taken over, a fixed range of seeds each; `npm run sim -- --standbys 1` runs as many as you like. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { crashPoints, Hits, oneSlotKinds, standbyKinds } from './chaos.js'
import { runSeed } from './run-seed.js'

for (const [slots, seeds] of [
  [1, 150],
  [2, 60],
] as const) {
  it(`${slots} slots with standbys differ from the oracle in none of ${seeds} seeds`, async () => {
    const hits = new Hits()
    for (let seed = 0; seed < seeds; seed++) {
      try {
        await runSeed(seed, hits, slots, 1)
      } catch (error) {
        throw new Error(`seed ${seed}; again: npm run sim -- --seed ${seed} --slots ${slots} --standbys 1`, {
          cause: error,
        })
      }
    }
    const kinds = standbyKinds.filter(kind => slots === 1 || !oneSlotKinds.includes(kind))
    assert.deepEqual(
      [...crashPoints, ...kinds].filter(what => hits.of(what) === 0),
      [],
    )
  })
}

it('a seed that found a difference once finds none any more: a checkpoint that lacked segments counted as kept', async () => {
  await runSeed(427, new Hits(), 1, 1)
})

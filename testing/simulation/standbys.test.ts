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
        await runSeed(seed, hits, { slots, standbys: 1 })
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

/**
 * At which a checkpoint that lacked segments counted as one of those that are kept, or was removed before there were others; one
 * that was published while a standby looked counted as one that it should have found; the log was trimmed by a state that lay
 * below it; and two owners that removed checkpoints at a time left fewer than each meant to.
 */
const found = [
  [427, 1],
  [451, 1],
  [197, 2],
  [100_081, 1],
  [101_946, 1],
  [101_998, 1],
] as const

it('seeds that found a difference once find none any more', async () => {
  for (const [seed, slots] of found) await runSeed(seed, new Hits(), { slots, standbys: 1 })
})

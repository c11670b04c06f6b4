/** Several slots over one log, a fixed range of seeds each; `npm run sim -- --slots 3` runs as many as you like. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { crashPoints, exchangeKinds, Hits } from './chaos.js'
import { runSeed } from './run-seed.js'

const seeds = 200

for (const slots of [2, 3]) {
  it(`${slots} slots differ from the oracle in none of ${seeds} seeds`, async () => {
    const hits = new Hits()
    for (let seed = 0; seed < seeds; seed++) {
      try {
        await runSeed(seed, hits, { slots })
      } catch (error) {
        throw new Error(`seed ${seed}; again: npm run sim -- --seed ${seed} --slots ${slots}`, { cause: error })
      }
    }
    assert.deepEqual(
      [...crashPoints, ...exchangeKinds].filter(what => hits.of(what) === 0),
      [],
    )
  })
}

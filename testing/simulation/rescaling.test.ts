/** Plans that change while the world goes on, a fixed range of seeds each; `npm run sim -- --rescale` runs as many as you like. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { crashPoints, Hits, type Kind, type Point } from './chaos.js'
import { planKinds, planPoints } from './plan-kinds.js'
import { runSeed } from './run-seed.js'

for (const [standbys, seeds] of [
  [0, 200],
  [1, 80],
] as const) {
  it(`rescaled slots with ${standbys} standbys differ from the oracle in none of ${seeds} seeds`, async () => {
    const hits = new Hits()
    for (let seed = 0; seed < seeds; seed++) {
      try {
        await runSeed(seed, hits, { slots: undefined, standbys })
      } catch (error) {
        throw new Error(`seed ${seed}; again: npm run sim -- --seed ${seed} --rescale --standbys ${standbys}`, {
          cause: error,
        })
      }
    }
    const due: readonly (Kind | Point)[] = [...crashPoints, ...planPoints, 'seeding', ...planKinds]
    assert.deepEqual(
      due.filter(what => hits.of(what) === 0),
      [],
    )
  })
}

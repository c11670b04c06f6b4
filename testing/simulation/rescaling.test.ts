/** Plans that change while the world goes on, a fixed range of seeds each; `npm run sim -- --rescale` runs as many as you like. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { crashPoints, Hits, type Kind, type Point } from './chaos.js'
import { planKinds, planPoints } from './plan-kinds.js'
import { runSeed } from './run-seed.js'

const points: readonly Point[] = [...crashPoints, ...planPoints, 'seeding']
const ofStandbys: readonly Kind[] = ['standby follows', 'promotion after a crash', 'promotion of a live slot']

for (const [standbys, seeds, kinds] of [
  [0, 150, planKinds],
  [1, 60, ofStandbys],
] as const) {
  it(`${seeds} seeds with other plans and ${standbys} standbys differ from the oracle in none`, async () => {
    const hits = new Hits()
    for (let seed = 0; seed < seeds; seed++) {
      try {
        await runSeed(seed, hits, { slots: undefined, standbys })
      } catch (error) {
        const again = `npm run sim -- --seed ${seed} --rescale --standbys ${standbys}`
        throw new Error(`seed ${seed}; again: ${again}`, { cause: error })
      }
    }
    assert.deepEqual(
      [...points, ...kinds].filter(what => hits.of(what) === 0),
      [],
    )
  })
}

it('a seed decides everything', async () => {
  const [first, second] = [new Hits(), new Hits()]
  for (const hits of [first, second]) await runSeed(31, hits, { slots: undefined, standbys: 1 })
  assert.ok(first.of('next plan begun') > 0)
  assert.deepEqual([...second.counts], [...first.counts])
})

/** kill -9 under load, ten rounds of a few thousand requests. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { aggressiveRetention, runRounds } from './rounds.js'

for (const [name, flags] of [
  ['everything kept for days', []],
  ['the log trimmed all the time', aggressiveRetention],
] as const) {
  test(`what was acknowledged has exactly one decision, with the features of a run that nothing disturbed: ${name}`, async t => {
    const dataDir = mkdtempSync(join(tmpdir(), 'weir-kill-'))
    t.after(() => rmSync(dataDir, { recursive: true, force: true }))
    const outcome = await runRounds({
      dataDir,
      rounds: 10,
      requestsPerRound: 4_000,
      clients: 48,
      seed: 11,
      flags,
      say: line => t.diagnostic(line),
    })
    assert.deepEqual(
      { lost: outcome.lost, duplicated: outcome.duplicated, wrong: outcome.wrong, notFound: outcome.notFound },
      { lost: [], duplicated: [], wrong: [], notFound: [] },
    )
    assert.ok(outcome.acknowledged > 100, `only ${outcome.acknowledged} were acknowledged`)
  })
}

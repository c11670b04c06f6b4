/** kill -9 under load, a few rounds; ten of them in `npm run test:services`. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runRounds } from './rounds.js'

test('what was acknowledged has exactly one decision, with the features of a run that nothing disturbed', async t => {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-kill-'))
  t.after(() => rmSync(dataDir, { recursive: true, force: true }))
  const outcome = await runRounds({
    dataDir,
    rounds: 3,
    requestsPerRound: 800,
    clients: 24,
    seed: 7,
    say: line => t.diagnostic(line),
  })
  assert.deepEqual(
    { lost: outcome.lost, duplicated: outcome.duplicated, wrong: outcome.wrong, notFound: outcome.notFound },
    { lost: [], duplicated: [], wrong: [], notFound: [] },
  )
  assert.ok(outcome.acknowledged > 100, `only ${outcome.acknowledged} were acknowledged`)
})

/** kill -9 under load, a few rounds, while the log is trimmed as fast as it may be; ten of them in `npm run test:services`. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { aggressiveRetention, runRounds } from './rounds.js'
import { trimmedTo } from './trimmed.js'

test('what was acknowledged has exactly one decision, with the features of a run that nothing disturbed', async t => {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-kill-'))
  t.after(() => rmSync(dataDir, { recursive: true, force: true }))
  const outcome = await runRounds({
    dataDir,
    rounds: 3,
    requestsPerRound: 800,
    clients: 24,
    seed: 7,
    flags: aggressiveRetention,
    say: line => t.diagnostic(line),
  })
  assert.deepEqual(
    { lost: outcome.lost, duplicated: outcome.duplicated, wrong: outcome.wrong, notFound: outcome.notFound },
    { lost: [], duplicated: [], wrong: [], notFound: [] },
  )
  assert.ok(outcome.acknowledged > 100, `only ${outcome.acknowledged} were acknowledged`)
  const [transactions, journal] = [
    await trimmedTo(dataDir, 'transactions'),
    await trimmedTo(dataDir, 'weir.fraud.epochs'),
  ]
  t.diagnostic(`transactions are trimmed to ${transactions}, the journal to ${journal}`)
  assert.ok(transactions > 0 && journal > 0)
})

/**
 * `npm run demo:kill`: kills Weir under load before your eyes, again and again, and counts what came of it.
 *
 *   npm run demo:kill -- --rounds 5 --requests 2000 --seed 1
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runRounds } from './rounds.js'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '2000' },
    clients: { type: 'string', default: '32' },
    seed: { type: 'string', default: '1' },
  },
})
const dataDir = mkdtempSync(join(tmpdir(), 'weir-kill-'))
const say = (line: string): void => void process.stdout.write(`${line}\n`)
try {
  const outcome = await runRounds({
    dataDir,
    rounds: Number(values.rounds),
    requestsPerRound: Number(values.requests),
    clients: Number(values.clients),
    seed: Number(values.seed),
    say,
  })
  const { lost, duplicated, wrong, notFound } = outcome
  say(`${outcome.acknowledged} acknowledged, ${outcome.decisions} decided, ${notFound.length} not found by GET`)
  say(`lost ${lost.length}, duplicated ${duplicated.length}, wrong ${wrong.length}`)
  for (const line of [...lost, ...duplicated, ...wrong, ...notFound].slice(0, 10)) say(`  ${line}`)
  if (lost.length + duplicated.length + wrong.length + notFound.length > 0) process.exitCode = 1
} finally {
  rmSync(dataDir, { recursive: true, force: true })
}

/**
 * A replay that is killed at any point and goes on ends with the bytes of one that was never disturbed; and what its files
 * may meet meanwhile either is recovered from or is one clear error, never other bytes.
 */
import assert from 'node:assert/strict'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, beforeEach, describe, it } from 'node:test'
import { type Ended, errorLine, errorShape, signalWhen, sizeOf, weir } from './testing/cli.js'
import { generatedInput, ReplayJob } from './testing/job.js'
import { freshPath } from './testing/run.js'

/** Some 100 epochs and, with a write-back every 48 of them, state that lags behind the journal. */
const transactions = 7_000
const input = generatedInput(3, transactions)
const job = new ReplayJob(input, freshPath('decisions.ndjson'), ['--epoch-records', '64', '--model', 'none'])
let undisturbed: { readonly decisions: Buffer; readonly deadLetters: Buffer }
let summary: unknown

/** Park-Miller. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

function assertUndisturbed(ended: Ended): void {
  assert.equal(ended.code, 0, ended.stderr)
  const { decisions, deadLetters } = job.bytes()
  assert.ok(decisions.equals(undisturbed.decisions), 'the decisions are those of an undisturbed run')
  assert.ok(deadLetters.equals(undisturbed.deadLetters), 'the dead letters are those of an undisturbed run')
  assert.deepEqual(JSON.parse(ended.stdout), summary)
  assert.ok(!job.unfinished, 'journal and state are removed on success')
}

function assertOneClearError(ended: Ended, code: string): void {
  assert.equal(ended.code, 1, ended.stderr)
  assert.match(errorLine(ended), errorShape)
  assert.ok(errorLine(ended).startsWith(`${code}: `), ended.stderr)
  assert.equal(ended.stdout, '')
}

/** Kills the job with -9 once the share of its output is there, be it from before. */
async function killAt(share: number): Promise<void> {
  const due = undisturbed.decisions.length * share
  const ended = await signalWhen(job.start(), 'SIGKILL', () => sizeOf(job.output) > due)
  assert.equal(ended.signal, 'SIGKILL', ended.stderr)
  assert.ok(job.unfinished)
}

before(async () => {
  const ended = await job.run()
  assert.equal(ended.code, 0, ended.stderr)
  undisturbed = job.bytes()
  summary = JSON.parse(ended.stdout)
  assert.ok(undisturbed.deadLetters.length > 0)
})

describe('kill -9', () => {
  it('at a dozen points of one replay, each time given again, changes no byte', async () => {
    job.remove()
    const random = seeded(7)
    const shares = Array.from({ length: 11 }, random).sort((a, b) => a - b)
    for (const share of shares) await killAt(share * 0.95)
    // during recovery: as soon as it holds the lock again
    const lock = join(job.workFolder, 'lock')
    const held = readFileSync(lock, 'utf8')
    const running = job.start()
    await signalWhen(running, 'SIGKILL', () => existsSync(lock) && readFileSync(lock, 'utf8') !== held)
    assertUndisturbed(await job.run())
  })

  it('a finished output is overwritten by the same command', async () => {
    assertUndisturbed(await job.run())
    writeFileSync(job.output, 'something else, and longer\n'.repeat(200_000))
    assertUndisturbed(await job.run())
  })
})

describe('Ctrl-C', () => {
  it('ends with one clear line and exit code 1, and the same command goes on', async () => {
    job.remove()
    const due = undisturbed.decisions.length / 3
    const ended = await signalWhen(job.start(), 'SIGINT', () => sizeOf(job.output) > due)
    assertOneClearError(ended, 'INTERRUPTED')
    assert.ok(job.unfinished)
    assertUndisturbed(await job.run())
  })
})

/** An unfinished replay, made once; each test starts from a copy of it. */
describe('an unfinished replay', () => {
  const saved = freshPath('saved')
  const parts = (): readonly (readonly [string, string])[] => [
    [job.output, `${saved}.output`],
    [job.deadLetters, `${saved}.dead`],
    [job.workFolder, `${saved}.work`],
  ]
  before(async () => {
    job.remove()
    await killAt(0.6)
    for (const [from, to] of parts()) cpSync(from, to, { recursive: true })
  })
  const restore = (): void => {
    job.remove()
    for (const [to, from] of parts()) cpSync(from, to, { recursive: true })
  }
  beforeEach(restore)

  const journal = join(job.workFolder, 'journal')
  const state = join(job.workFolder, 'state')
  const without = (flag: string): string[] => {
    const at = job.args.indexOf(flag)
    return job.args.toSpliced(at, 2)
  }

  it('folds only the epochs again that its state does not hold', async () => {
    const ended = await job.run()
    assertUndisturbed(ended)
    const epochs = Number(/resumed: \d+ records in (\d+) epochs/.exec(ended.stderr)?.[1] ?? 0)
    assert.ok(epochs <= 48, ended.stderr)
  })

  it('refuses other arguments, another input, another model, and keeps what it has', async () => {
    const otherInput = freshPath('other.csv')
    writeFileSync(otherInput, readFileSync(input).subarray(0, -40))
    const before = job.bytes()
    for (const [args, named] of [
      [[...job.args, '--partitions', '4'], 'partitions'],
      [[...job.args, '--currency', 'USD'], 'currency'],
      [without('--model'), 'model'],
      [[...without('--input'), '--input', otherInput], 'input_sha256'],
    ] as const) {
      const ended = await weir(args)
      assertOneClearError(ended, 'REPLAY_MISMATCH')
      assert.ok(errorLine(ended).includes(named), errorLine(ended))
      assert.ok(job.unfinished)
    }
    assert.ok(before.decisions.subarray(0, sizeOf(job.output)).equals(job.bytes().decisions))
    assertUndisturbed(await job.run())
  })

  it('goes on under another path of the input, another length of epochs, another cache', async () => {
    const renamed = freshPath('renamed.csv')
    cpSync(input, renamed)
    const ended = await weir([
      ...without('--input'),
      '--input',
      renamed,
      '--memory-budget',
      '352m',
      '--epoch-records',
      '1000',
    ])
    assertUndisturbed(ended)
  })

  it('--fresh starts over, also with other arguments and a damaged journal', async () => {
    writeFileSync(journal, 'no journal')
    assertOneClearError(await job.run(), 'JOURNAL_CORRUPT')
    assertUndisturbed(await job.run('--fresh'))
  })

  it('goes on from an output that was cut, or is gone', async () => {
    truncateSync(job.output, Math.floor(sizeOf(job.output) / 2))
    assertUndisturbed(await job.run())
    restore()
    rmSync(job.output)
    assertUndisturbed(await job.run())
    restore()
    truncateSync(job.deadLetters, 10)
    assertUndisturbed(await job.run())
  })

  it('goes on from a journal that was cut anywhere, or is gone', async () => {
    const size = sizeOf(journal)
    for (const length of [size - 1, Math.floor(size * 0.7), 300, 30, 0]) {
      truncateSync(journal, length)
      const ended = await job.run()
      assertUndisturbed(ended)
      restore()
    }
    rmSync(journal)
    assertUndisturbed(await job.run())
  })

  it('a byte of the journal changed is one clear error', async () => {
    const bytes = readFileSync(journal)
    const at = Math.floor(bytes.length / 2)
    bytes[at] = bytes[at]! ^ 1
    writeFileSync(journal, bytes)
    assertOneClearError(await job.run(), 'JOURNAL_CORRUPT')
  })

  it('builds its state again when the directory is gone', async () => {
    rmSync(state, { recursive: true })
    assertUndisturbed(await job.run())
  })

  it('recovers from every file of its state that is gone or overwritten', async () => {
    const names = readdirSync(state).filter(name => statSync(join(state, name)).size > 0)
    assert.ok(
      names.some(name => name.endsWith('.log') || name.endsWith('.sst')),
      `state was written before the kill: ${names}`,
    )
    for (const name of names) {
      for (const damage of [rmSync, overwrite]) {
        damage(join(state, name))
        assertUndisturbed(await job.run())
        restore()
      }
    }
  })

  it('one process at a time: the second is refused, also with --fresh, and harms nothing', async () => {
    const lock = join(job.workFolder, 'lock')
    const held = readFileSync(lock, 'utf8')
    const first = job.start()
    await waitFor(() => existsSync(lock) && readFileSync(lock, 'utf8') !== held)
    first.child.kill('SIGSTOP')
    try {
      assertOneClearError(await job.run(), 'DIRECTORY_IN_USE')
      assertOneClearError(await job.run('--fresh'), 'DIRECTORY_IN_USE')
    } finally {
      first.child.kill('SIGCONT')
    }
    assertUndisturbed(await first.ended)
  })
})

it('two that start at once on a new output: one decides, the other is refused', async () => {
  job.remove()
  const both = await Promise.all([job.start().ended, job.start().ended])
  const [winner, loser] = both[0].code === 0 ? both : [both[1], both[0]]
  assertUndisturbed(winner!)
  // the second may have come only after the first was done: then it did the same again
  if (loser!.code !== 0) assertOneClearError(loser!, 'DIRECTORY_IN_USE')
})

/** From a third of the file on, 64 bytes, or as many as there are. */
function overwrite(path: string): void {
  const bytes = readFileSync(path)
  const from = Math.floor(bytes.length / 3)
  bytes.fill(0xa5, from, Math.min(bytes.length, from + 64))
  writeFileSync(path, bytes)
}

async function waitFor(due: () => boolean): Promise<void> {
  const pollMs = 2
  for (let polls = 0; !due(); polls++) {
    assert.ok(polls < 30_000, 'it happens within a minute')
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
}

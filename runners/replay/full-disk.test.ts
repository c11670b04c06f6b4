/** A disk that is full or read-only: one clear error, and once there is room the same command goes on with the same bytes. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type Ended, errorLine, errorShape } from './testing/cli.js'
import { generatedInput, ReplayJob } from './testing/job.js'
import { freshPath } from './testing/run.js'

const disk = freshPath('disk')

function mount(...options: string[]): void {
  execFileSync('mount', ['-t', 'tmpfs', ...options, 'tmpfs', disk], { stdio: 'pipe' })
}

/** Why no disk of a chosen size can be had here; false when it can. */
function cannotMount(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting a small tmpfs needs root on Linux'
  mkdirSync(disk)
  try {
    mount('-o', 'size=4m')
    return false
  } catch {
    return 'mounting a tmpfs is not permitted here'
  }
}

const skip = cannotMount()

function assertUnwritable(ended: Ended): void {
  assert.equal(ended.code, 1, ended.stderr)
  assert.match(errorLine(ended), errorShape)
  assert.match(errorLine(ended), /^(OUTPUT_UNWRITABLE|BACKEND_FAILED|EPOCH_FAILED): /)
}

describe('a disk', { skip }, () => {
  after(() => execFileSync('umount', [disk], { stdio: 'pipe' }))

  it('that is full ends a replay with one error; with room again it goes on', async () => {
    const input = generatedInput(5, 6_000)
    const flags = ['--epoch-records', '64', '--model', 'none']
    const elsewhere = new ReplayJob(input, freshPath('elsewhere.ndjson'), flags)
    assert.equal((await elsewhere.run()).code, 0)
    const job = new ReplayJob(input, join(disk, 'out.ndjson'), flags)
    assertUnwritable(await job.run())
    assertUnwritable(await job.run())
    execFileSync('mount', ['-o', 'remount,size=256m', disk])
    const resumed = await job.run()
    assert.equal(resumed.code, 0, resumed.stderr)
    assert.ok(job.bytes().decisions.equals(elsewhere.bytes().decisions))
    assert.ok(job.bytes().deadLetters.equals(elsewhere.bytes().deadLetters))
    assert.ok(!job.unfinished)
  })

  it('that is read-only refuses at once, and keeps what is on it', async () => {
    const job = new ReplayJob(generatedInput(5, 100), join(disk, 'out.ndjson'), ['--model', 'none'])
    const before = job.bytes().decisions
    execFileSync('mount', ['-o', 'remount,ro', disk])
    const ended = await job.run()
    execFileSync('mount', ['-o', 'remount,rw', disk])
    assert.ok(errorLine(ended).startsWith('OUTPUT_UNWRITABLE: '), ended.stderr)
    assertUnwritable(ended)
    assert.ok(job.bytes().decisions.equals(before))
  })
})

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import { isAlive } from '../guard/index.js'

const goneMsMax = 20_000

it('a process of Weir goes when whoever launched it is killed, also one that is frozen', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-guarded-'))
  const program = `
    const { launchWorker } = await import(${JSON.stringify(new URL('index.js', import.meta.url))})
    const worker = launchWorker(['127.0.0.1:1'], ${JSON.stringify(folder)}, 0)
    worker.signal('SIGSTOP')
    console.log(worker.pid)
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface(owner.stdout)[Symbol.asyncIterator]()
    const pid = Number((await lines.next()).value)
    assert.ok(isAlive(pid))
    owner.kill('SIGKILL')
    await once(owner, 'exit')
    const giveUpAt = performance.now() + goneMsMax
    while (isAlive(pid) && performance.now() < giveUpAt) await new Promise(resolve => setTimeout(resolve, 20))
    assert.equal(isAlive(pid), false)
  } finally {
    owner.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
})

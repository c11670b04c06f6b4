import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { isAlive } from '../guard/index.js'
import { GuardedFolder } from './process.js'

const goneMsMax = 10_000

describe('service processes', () => {
  it('go, with their files, when the process that started them is killed', async () => {
    const program = `
      const { GuardedFolder } = await import(${JSON.stringify(new URL('process.js', import.meta.url))})
      const folder = await GuardedFolder.create('weir-guard-')
      const sleeper = 'console.log(process.pid); setInterval(() => {}, 1000)'
      const options = { name: 'sleeper', readyMsMax: 10_000, isReady: output => output.includes('\\n') && console.log(output.trim()) === undefined }
      await folder.start(process.execPath, ['-e', sleeper], options)
      console.log(folder.path)`
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines = createInterface(owner.stdout)[Symbol.asyncIterator]()
    const pid = Number((await lines.next()).value)
    const folder = String((await lines.next()).value)
    assert.ok(isAlive(pid) && existsSync(folder))
    owner.kill('SIGKILL')
    await once(owner, 'exit')
    const giveUpAt = performance.now() + goneMsMax
    while ((isAlive(pid) || existsSync(folder)) && performance.now() < giveUpAt) {
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    assert.deepEqual([isAlive(pid), existsSync(folder)], [false, false])
  })

  it('that end before they are ready are told with what they wrote', async () => {
    const folder = await GuardedFolder.create('weir-guard-')
    const options = { name: 'broken', readyMsMax: 10_000, isReady: () => false }
    await assert.rejects(folder.start(process.execPath, ['-e', 'console.error("no disk")'], options), /no disk/)
    await folder.close()
    assert.equal(existsSync(folder.path), false)
  })

  it('that take too long are ended', async () => {
    const folder = await GuardedFolder.create('weir-guard-')
    const endless = ['-e', 'setInterval(() => {}, 1000)']
    await assert.rejects(folder.run(process.execPath, endless, { stdin: '', msMax: 200 }), /did not end within 200 ms/)
    await folder.close()
  })
})

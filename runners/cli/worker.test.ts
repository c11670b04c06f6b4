/** `weir worker`: what it refuses before it asks anybody. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { VerbIo } from './verb.js'
import { workerVerb } from './worker.js'

for (const every of ['0s', '999ms', 'forever']) {
  it(`refuses a checkpoint every ${every}`, () => {
    const args = ['--brokers', '127.0.0.1:1', '--checkpoints-store', '/nowhere', '--checkpoints-every', every]
    const refused = { code: 'USAGE', message: /checkpoints\.every is a time of 1s or more/ }
    return assert.rejects(workerVerb.run(args, {} as VerbIo), refused)
  })
}

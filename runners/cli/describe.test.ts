/** `weir describe`: as planned for as many slots as asked. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { describeVerb } from './describe.js'
import type { VerbIo } from './verb.js'

async function out(...args: string[]): Promise<string> {
  const parts: string[] = []
  const io = { out: (text: string) => void parts.push(text) } as unknown as VerbIo
  assert.equal(await describeVerb.run(args, io), 0)
  return parts.join('')
}

it('shows no hop with one slot, and every hop with what it costs with several', async () => {
  assert.ok(!(await out()).includes('repartition'))
  assert.equal(JSON.parse(await out('--json')).hops, undefined)
  assert.equal(await out('--slots', '1'), await out())
  assert.match(await out('--slots', '3'), /weir\.fraud\.terminal\.repartition\n +\+1 commit/)
  const { slots, commits, hops } = JSON.parse(await out('--slots', '3', '--json'))
  assert.deepEqual([slots, commits], [3, 3])
  assert.deepEqual(
    hops.map((hop: { route: string }) => hop.route),
    ['rekey', 'key', 'home'],
  )
  assert.match(
    await out('--slots', '3', '--format', 'mermaid'),
    /terminal_number == "\+1 commit" ==> terminal_repartition/,
  )
})

it('refuses a number of slots that is none', async () => {
  await assert.rejects(out('--slots', '0'), { code: 'USAGE' })
})

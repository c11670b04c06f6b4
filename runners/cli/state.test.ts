/** `weir state get` as its users have it: processes, against a `weir up` that has decided. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { freePort, startWeir as startUp } from '../../testing/weir-process/index.js'
import { errorLine, errorShape, weir } from '../replay/testing/cli.js'
import { temporaryFolder } from './testing/up.js'

const up = await startUp(`${temporaryFolder()}/data`, await freePort())
after(() => up.stop())
const at = ['--url', up.url]
const customers = 5
const perCustomer = 4
const start = Date.now() - 60_000

for (let i = 0; i < customers * perCustomer; i++) {
  const transaction = {
    transaction_id: `tx-${i}`,
    event_time: start + i * 1_000,
    customer_id: `customer-${i % customers}`,
    terminal_id: 'terminal-1',
    amount_minor: 1_000 + i,
    currency: 'EUR',
  }
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(transaction) }
  assert.equal((await fetch(`${up.url}/v1/decisions?deadline_ms=30000`, request)).status, 200)
}

interface Shown {
  readonly key: string
  readonly found: boolean
  readonly states: readonly { readonly value: Record<string, unknown> }[]
}

async function get(step: string, key: string, ...flags: string[]): Promise<Shown> {
  const ended = await weir(['state', 'get', '--step', step, '--key', key, '--json', ...flags, ...at])
  assert.deepEqual([ended.code, ended.stderr], [0, ''])
  return JSON.parse(ended.stdout) as Shown
}

describe('weir state get', () => {
  it('shows the windows of a customer, masked, and equal to what was sent', async () => {
    const { key, found, states } = await get('customer', 'customer-3')
    assert.deepEqual([key, found], ['c…3 (10)', true])
    const sent = Array.from({ length: perCustomer }, (_, i) => i * customers + 3)
    const { events, newest, windows } = states[0]!.value
    assert.deepEqual([events, newest], [perCustomer, new Date(start + sent.at(-1)! * 1_000).toISOString()])
    const sum = sent.reduce((so, i) => so + 1_000 + i, 0)
    for (const window of windows as Record<string, unknown>[]) {
      assert.deepEqual([window.count, window.amount], [perCustomer, { sum: String(sum), mean: sum / perCustomer }])
    }
    assert.equal((windows as unknown[]).length, 3)
    assert.equal((await get('customer', 'customer-1', '--show-pii')).key, 'customer-1')
    assert.equal((await get('dedupe', 'customer-1')).states[0]!.value.ids, perCustomer)
    assert.equal((await get('terminal', 'terminal-1')).states[0]!.value.events, customers * perCustomer)
  })

  it('says found: false of a key without state', async () => {
    assert.equal((await get('customer', 'nobody')).found, false)
    const words = await weir(['state', 'get', '--step', 'customer', '--key', 'nobody', ...at])
    assert.equal(words.code, 0)
    assert.match(words.stdout, /^step customer, key n…y \(6\): no state, slot 0, key group \d+, epoch \d+\n$/)
  })

  it('prints a table', async () => {
    const { code, stdout } = await weir(['state', 'get', '--step', 'customer', '--key', 'customer-2', ...at])
    assert.equal(code, 0)
    assert.match(stdout, /^step customer, key c…2 \(10\): slot 0, /)
    assert.match(stdout, /^events +paged reservoir@1, expires \d{4}-/m)
    assert.match(stdout, /^ +amount +sum 4038, mean 1009\.5$/m)
    assert.match(stdout, /^timers +none$/m)
    assert.ok(!stdout.includes('customer-2'))
  })

  it('fails in one line, with the exit code of the contract', async () => {
    const wrong = [
      [['state', 'get', '--step', 'nobody', '--key', 'k', ...at], 1, /^UNKNOWN_STEP: .*customer, terminal/],
      [['state', 'get', '--step', 'customer', '--key', 'k', '--url', 'http://127.0.0.1:1'], 1, /^UNREACHABLE: /],
      [['state', 'get', '--step', 'customer', ...at], 2, /^USAGE: --key is missing/],
      [['state', 'put', '--step', 'customer', '--key', 'k', ...at], 2, /^USAGE: 'put' is not get/],
      [['state', '--step', 'customer', '--key', 'k', ...at], 2, /^USAGE: get is missing/],
    ] as const
    for (const [args, code, shape] of wrong) {
      const ended = await weir(args)
      assert.deepEqual([ended.code, ended.stdout], [code, ''], args.join(' '))
      assert.match(errorLine(ended), shape)
      assert.match(errorLine(ended), errorShape)
    }
  })

  it('leaves no key in the log of the server', () => {
    assert.ok(!/customer-\d|nobody|terminal-1/.test(up.stderr()))
  })
})

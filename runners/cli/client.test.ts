/** The verbs that talk to a running Weir, as their users have them: processes, against `weir up`. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fakeWeir, problem } from '../client/testing/fake-weir.js'
import { errorLine, errorShape, startWeir, weir } from '../replay/testing/cli.js'
import { startUp, temporaryFolder } from './testing/up.js'

const up = await startUp()
const folder = temporaryFolder()
const at = ['--url', up.url]

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'
let files = 0

function csv(...lines: string[]): string {
  const path = join(folder, `${++files}.csv`)
  writeFileSync(path, [header, ...lines, ''].join('\n'))
  return path
}

const payment = (id: string, customer = `c-${id}`, amount = '10.50', fraud = ''): string =>
  `${id},2024-01-01 10:00:00,${customer},t1,${amount},${fraud}`

async function produce(...lines: string[]): Promise<Record<string, number>> {
  const ended = await weir(['produce', '--format', 'handbook', '--json', '--input', csv(...lines), ...at])
  assert.equal(ended.code, 0, ended.stderr)
  return JSON.parse(ended.stdout) as Record<string, number>
}

const idsOf = (ndjson: string): string[] =>
  ndjson
    .trimEnd()
    .split('\n')
    .map(line => (JSON.parse(line) as { transaction_id: string }).transaction_id)

describe('weir produce', () => {
  it('sends a file, and once more without a second decision; a conflict and a bad line are named', async () => {
    const first = await produce(payment('p1', 'c1', '10.50', '1'), payment('p2', 'c2', '20', '0'), payment('p3', 'c1'))
    assert.deepEqual(
      [first.sent, first.decided, first.pending, first.repeated, first.labels, first.failed],
      [3, 3, 0, 0, 2, 0],
    )
    const path = csv(payment('p1', 'c1'), payment('p2', 'c2', '99'), 'no record', payment('p4'))
    const again = await weir(['produce', '--format', 'handbook', '--json', '--input', path, ...at])
    assert.equal(again.code, 0)
    const summary = JSON.parse(again.stdout) as Record<string, number>
    assert.deepEqual(
      [summary.lines, summary.malformed, summary.sent, summary.repeated, summary.conflicts, summary.decided],
      [4, 1, 3, 1, 1, 1],
    )
    assert.match(again.stderr, /^line 3: IDEMPOTENCY_MISMATCH: /m)
    assert.match(again.stderr, /^line 4: MALFORMED_RECORD: /m)
  })

  it('says in words what it did, and fails in one line where there is nobody or no file', async () => {
    const path = csv(payment('p5'))
    const words = await weir(['produce', '--format', 'handbook', '--rate', '1000', '--input', path, ...at])
    assert.match(words.stdout, /^decided +1$/m)
    const nobody = await weir(['produce', '--format', 'handbook', '--input', path, '--url', 'http://127.0.0.1:1'])
    assert.deepEqual([nobody.code, nobody.stderr.split('\n').length], [1, 2])
    assert.match(errorLine(nobody), /^UNREACHABLE: .*127\.0\.0\.1:1 /)
    const none = await weir(['produce', '--input', join(folder, 'none.csv'), ...at])
    assert.deepEqual([none.code, none.stdout], [1, ''])
    assert.match(errorLine(none), /^INPUT_UNREADABLE: /)
  })
})

describe('weir produce against a server that fails', () => {
  it('names the lines, prints the summary, and its exit code is 1', async () => {
    const fake = await fakeWeir()
    fake.onPost = () => problem(500, 'INTERNAL_ERROR')
    const path = csv(payment('s1'))
    const ended = await weir(['produce', '--format', 'handbook', '--json', '--input', path, '--url', fake.url])
    assert.equal(ended.code, 1)
    assert.equal((JSON.parse(ended.stdout) as { failed: number }).failed, 1)
    assert.match(errorLine(ended), /^line 2: INTERNAL_ERROR: said INTERNAL_ERROR; /)
  })

  it('sends the token of the environment', async () => {
    const fake = await fakeWeir()
    const args = ['produce', '--format', 'handbook', '--input', csv(payment('s2')), '--url', fake.url]
    await weir(args, { env: { WEIR_TOKEN: 'a-token' } })
    assert.equal(fake.received[0]?.headers.authorization, 'Bearer a-token')
  })
})

describe('weir decisions', () => {
  it('shows what there is as NDJSON, in order, and ends after --count', async () => {
    await produce(payment('d1', 'one'), payment('d2', 'one'), payment('d3', 'one'))
    const all = await weir(['decisions', '--from-beginning', '--count', '3', ...at])
    assert.deepEqual([all.code, all.stderr], [0, ''])
    assert.equal(idsOf(all.stdout).length, 3)
  })

  it('follows what is decided from now on, until Ctrl-C', async () => {
    const running = startWeir(['decisions', ...at])
    const seen: string[] = []
    running.child.stdout?.on('data', (chunk: Buffer) => seen.push(...idsOf(chunk.toString())))
    // it does not say when it has begun: new decisions until it has seen one
    for (let i = 0; seen.length === 0; i++) await produce(payment(`f${i}`))
    running.child.kill('SIGINT')
    const ended = await running.ended
    assert.deepEqual([ended.code, ended.stderr], [0, ''])
    assert.ok(
      seen.every(id => id.startsWith('f')),
      seen.join(),
    )
  })

  it('ends quietly when nobody reads it any longer, as with | head', async () => {
    await produce(payment('h1'))
    const running = startWeir(['decisions', '--from-beginning', ...at])
    let over = false
    const ended = running.ended.finally(() => {
      over = true
    })
    await once(running.child.stdout!, 'data')
    running.child.stdout!.destroy()
    for (let i = 2; !over; i++) await produce(payment(`h${i}`))
    const { code, signal, stderr } = await ended
    assert.deepEqual([code, signal, stderr], [0, null, ''])
  })

  it('says in one line that the server has ended the stream', async () => {
    const other = await startUp(['--model', 'none'])
    const running = startWeir(['decisions', '--url', other.url, '--from-beginning'])
    const first = once(running.child.stdout!, 'data')
    const path = csv(payment('e1'))
    await weir(['produce', '--format', 'handbook', '--input', path, '--url', other.url])
    await first
    assert.equal((await other.stop()).code, 0)
    const ended = await running.ended
    assert.equal(ended.code, 1)
    assert.match(errorLine(ended), /^UNREACHABLE: /)
    assert.equal(ended.stderr.split('\n').length, 2)
  })
})

describe('weir explain', () => {
  it('says why, in words or as JSON', async () => {
    await produce(payment('x1', 'cx', '400'))
    const words = await weir(['explain', 'x1', ...at])
    assert.deepEqual([words.code, words.stderr], [0, ''])
    assert.match(words.stdout, /^Transaction x1 of customer cx was /)
    assert.match(words.stdout, /tx_amount: 400/)
    const json = await weir(['explain', '--json', 'x1', '--customer', 'cx', ...at])
    const decision = JSON.parse(json.stdout) as { explanation: string; features: { tx_amount: number } }
    assert.equal(`${decision.explanation}\n`, words.stdout)
    assert.equal(decision.features.tx_amount, 400)
  })

  it('asks whose it is where several customers have the id', async () => {
    await produce(payment('same', 'a'), payment('same', 'b'))
    const several = await weir(['explain', 'same', ...at])
    assert.equal(several.code, 1)
    assert.match(errorLine(several), /^AMBIGUOUS_ID: /)
    const one = await weir(['explain', '--customer', 'b', 'same', ...at])
    assert.match(one.stdout, /^Transaction same of customer b was /)
  })

  it('fails in one line', async () => {
    const wrong = [
      [['explain', 'no-such', ...at], 1, /^NOT_FOUND: /],
      [['explain', 'x1', '--url', 'http://127.0.0.1:1'], 1, /^UNREACHABLE: /],
      [['explain', ...at], 2, /^USAGE: ID is missing/],
      [['explain', '', ...at], 2, /^USAGE: ID is missing/],
      [['explain', 'a', 'b', ...at], 2, /^USAGE: unexpected argument 'b'/],
      [['explain', 'a', '--url', 'nowhere'], 2, /^USAGE: 'nowhere' is no address/],
      [['decisions', '--count', '0', ...at], 2, /^USAGE: --count is '0'/],
      [['decisions', 'extra', ...at], 2, /^USAGE: unexpected argument/],
      [['produce', ...at], 2, /^USAGE: --input is missing/],
      [['produce', '--input', 'x.csv', '--concurrency', '0', ...at], 2, /^USAGE: --concurrency/],
    ] as const
    const all = await Promise.all(wrong.map(([args]) => weir(args)))
    for (const [i, [args, code, shape]] of wrong.entries()) {
      const ended = all[i]!
      assert.deepEqual([ended.code, ended.stdout], [code, ''], args.join(' '))
      assert.match(errorLine(ended), shape)
      assert.match(errorLine(ended), errorShape)
    }
  })

  it('an id that looks like a flag comes after --', async () => {
    await produce(payment('-x', 'cx'))
    assert.match((await weir(['explain', ...at, '--', '-x'])).stdout, /^Transaction -x of customer cx/)
  })
})

describe('every verb', () => {
  it('has --help with an example', async () => {
    const list = (await weir(['--help'])).stdout
    const names = [...list.matchAll(/^ {2}([a-z]+) /gm)].map(match => match[1]!)
    for (const name of ['produce', 'decisions', 'explain', 'doctor', 'config']) assert.ok(names.includes(name), name)
    const helps = await Promise.all(names.map(name => weir([name, '--help'])))
    for (const [i, name] of names.entries()) {
      const { code, stdout } = helps[i]!
      assert.equal(code, 0)
      assert.match(stdout, new RegExp(`^usage: weir ${name}`))
      assert.match(stdout, /\nexample:\n {2}\S/)
    }
  })
})

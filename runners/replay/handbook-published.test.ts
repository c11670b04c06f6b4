/**
 * The published Handbook data (60 days, 575,755 transactions) through `weir replay`, as a user runs it: exactness against an
 * independent recomputation, the same bytes for every placement, and for a run that was killed half-way.
 * WEIR_HANDBOOK_DIR names the folder of handbook-raw-60d.csv.gz; the data states no licence, so it is not in the repository.
 */
import assert from 'node:assert/strict'
import { createReadStream, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { createGunzip } from 'node:zlib'
import { type Arrival, sortedOracle } from '../../testing/oracle/index.js'
import { type Ended, signalWhen, sizeOf, startWeir, weir } from './testing/cli.js'
import { assertDecision, type HandbookTransaction, labelArrival, transactionArrival } from './testing/expectations.js'
import { type DecisionLine, freshPath, sha256OfFile } from './testing/run.js'

const file = 'handbook-raw-60d.csv.gz'
const directory = process.env.WEIR_HANDBOOK_DIR
const input = join(directory ?? '', file)
const transactions = 575_755
const skip =
  directory === undefined
    ? `WEIR_HANDBOOK_DIR is not set; it names the folder of ${file}`
    : existsSync(input)
      ? false
      : `WEIR_HANDBOOK_DIR holds no ${file}`

const replayArgs = (output: string, ...more: string[]): string[] => [
  ...['replay', '--format', 'handbook', '--input', input, '--output', output, '--json'],
  ...more,
]

describe('the published Handbook data', { skip }, () => {
  const one = freshPath('one.ndjson')
  let sha256 = ''

  it('gives one decision each, and the same bytes with 1 and with 4 partitions', async () => {
    const four = freshPath('four.ndjson')
    const ended = await Promise.all([weir(replayArgs(one)), weir(replayArgs(four, '--partitions', '4'))])
    for (const run of ended) assertAllDecided(run)
    sha256 = await sha256OfFile(one)
    assert.equal(await sha256OfFile(four), sha256)
    for (const output of [one, four]) {
      assert.equal(sizeOf(`${output}.dead-letter.ndjson`), 0)
      assert.ok(existsSync(`${output}.dead-letter.ndjson`), 'created even when empty')
      assert.ok(!existsSync(`${output}.replay`), 'the journal is removed on success')
    }
    rmSync(four)
  })

  it('has every feature of every decision as an independent recomputation has it, in input order', async () => {
    assert.notEqual(sha256, '', 'the first test wrote it')
    const expected = sortedOracle(await arrivals())
    const rows = lines(createReadStream(input).pipe(createGunzip()))
    await rows.next()
    let line = 0
    for await (const text of lines(createReadStream(one))) {
      const row = await rows.next()
      const answer = expected.next()
      assert.ok(row.done !== true && answer.done !== true, `data line ${line}: the input has ended`)
      assert.equal(answer.value.outcome, 'decision')
      if (answer.value.outcome !== 'decision') return
      assertDecision(JSON.parse(text) as DecisionLine, parse(row.value), answer.value, line)
      line++
    }
    assert.equal(line, transactions)
    assert.equal(expected.next().done, true)
  })

  it('gives the same bytes when it is killed with -9 half-way and goes on', async () => {
    assert.notEqual(sha256, '', 'the first test wrote it')
    const output = freshPath('killed.ndjson')
    const half = sizeOf(one) / 2
    const killed = await signalWhen(startWeir(replayArgs(output)), 'SIGKILL', () => sizeOf(output) >= half)
    assert.equal(killed.signal, 'SIGKILL')
    assert.ok(sizeOf(output) < sizeOf(one), 'it was killed before its end')
    assert.ok(existsSync(`${output}.replay`), 'it left what it needs to go on')
    const resumed = await weir(replayArgs(output))
    assertAllDecided(resumed)
    assert.equal(await sha256OfFile(output), sha256)
    assert.ok(!existsSync(`${output}.replay`))
  })
})

function assertAllDecided(run: Ended): void {
  assert.equal(run.code, 0, run.stderr)
  const none = { blank_lines: 0, duplicates: 0, conflicts: 0, dead_letters: 0 }
  assert.deepEqual(JSON.parse(run.stdout), { lines: transactions, decisions: transactions, ...none })
}

/** Everything that enters the log, in its order: each transaction, then its label. */
async function arrivals(): Promise<Arrival[]> {
  const list: Arrival[] = []
  const rows = lines(createReadStream(input).pipe(createGunzip()))
  await rows.next()
  for await (const text of rows) {
    const t = parse(text)
    list.push(transactionArrival(t, 'EUR'))
    if (t.fraud !== null) list.push(labelArrival(t, t.fraud))
  }
  return list
}

/** These files are plain: no quotes, six columns in this order, amounts with two decimals. */
function parse(text: string): HandbookTransaction {
  const [transaction_id, at, customer_id, terminal_id, amount, fraud] = text.split(',') as string[]
  const [major, minor] = amount!.split('.') as [string, string]
  assert.equal(minor.length, 2)
  return {
    transaction_id: transaction_id!,
    event_time: Date.parse(at!),
    customer_id: customer_id!,
    terminal_id: terminal_id!,
    amount_minor: Number(major) * 100 + Number(minor),
    fraud: fraud === '1',
  }
}

function lines(stream: NodeJS.ReadableStream): AsyncIterableIterator<string> {
  return createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]()
}

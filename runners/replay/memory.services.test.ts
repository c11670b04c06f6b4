/** 3,000,000 transactions of 1,000,000 customers, far more than the cache holds, under 1 GB of memory. Takes minutes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createWriteStream, rmSync } from 'node:fs'
import { it } from 'node:test'
import { weir } from './testing/cli.js'
import { freshPath, lineCountOf } from './testing/run.js'

const transactions = 3_000_000
const customers = 1_000_000
const terminals = 50_000
const residentMbMax = 1_000

/** Every customer once, in an order that helps no cache, then at random; sixty days, equal steps. */
async function writeInput(path: string): Promise<void> {
  const file = createWriteStream(path)
  file.write('TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n')
  const start = Date.UTC(2024, 0, 1)
  const stepMs = (60 * 86_400_000) / transactions
  let random = 12_345
  let chunk: string[] = []
  for (let i = 0; i < transactions; i++) {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
    const customer = i < customers ? (i * 7_919) % customers : (random >>> 4) % customers
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
    const at = new Date(start + Math.floor((i * stepMs) / 1_000) * 1_000).toISOString().slice(0, 19)
    const cents = String((random >>> 4) % 100).padStart(2, '0')
    const fraud = (random >>> 5) % 1_000 === 0 ? 1 : 0
    chunk.push(`${i},${at},${customer},${(random >>> 8) % terminals},${(random >>> 12) % 120}.${cents},${fraud}\n`)
    if (chunk.length === 8_192) {
      if (!file.write(chunk.join(''))) await once(file, 'drain')
      chunk = []
    }
  }
  file.end(chunk.join(''))
  await once(file, 'finish')
}

it(`replays ${transactions} transactions of ${customers} customers below ${residentMbMax} MB`, async t => {
  const input = freshPath('many.csv')
  const output = freshPath('many.ndjson')
  await writeInput(input)
  const args = ['replay', '--format', 'handbook', '--input', input, '--output', output, '--json', '--profile']
  const ended = await weir(args)
  assert.equal(ended.code, 0, ended.stderr)
  const none = { blank_lines: 0, duplicates: 0, conflicts: 0, dead_letters: 0 }
  assert.deepEqual(JSON.parse(ended.stdout), { lines: transactions, decisions: transactions, ...none })
  assert.equal(await lineCountOf(output), transactions)
  const profile = JSON.parse(ended.stderr.trimEnd().split('\n').at(-1)!) as { max_rss_mb: number; cpu_ms: number }
  t.diagnostic(`${Math.round(profile.max_rss_mb)} MB resident at most, ${Math.round(profile.cpu_ms / 1_000)} s of CPU`)
  assert.ok(profile.max_rss_mb < residentMbMax, `${profile.max_rss_mb} MB`)
  rmSync(output)
})

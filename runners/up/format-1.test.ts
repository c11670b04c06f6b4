/** A database that Weir wrote before journals could be trimmed: it opens, goes on, and can then be trimmed. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { type DurationMs, days, eventTime, repositoryFile } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { requiredOnly, type Transaction } from '../../schemas/avro/index.js'
import { MemoryDisk } from '../../state/index.js'
import { shareMemory } from '../memory/index.js'
import { firstLink, journalTopicOf } from '../slot/index.js'
import { EmbeddedEngine } from './index.js'

/** When transaction 0 was sent. Ten of three customers, one a minute; 3 and 4 once more; state as of the first six. */
const begun = Date.UTC(2026, 10, 20)

async function written(): Promise<MemoryDisk> {
  const lines = gunzipSync(readFileSync(repositoryFile('runners/up/fixtures/database-format-1.ndjson.gz'))).toString()
  const disk = new MemoryDisk()
  const backend = disk.open()
  const batch = backend.batch()
  for (const line of lines.split('\n')) {
    const [key, value] = JSON.parse(line) as [string, string]
    batch.put(Buffer.from(key, 'hex'), Buffer.from(value, 'base64'))
  }
  await backend.write(batch, { sync: true })
  await backend.close()
  return disk
}

const transaction = (i: number): Transaction =>
  requiredOnly({
    transaction_id: `tx-${i}`,
    event_time: eventTime(begun + i * 60_000),
    customer_id: `c${i % 3}`,
    terminal_id: `t${i % 2}`,
    amount_minor: 100 * i,
    currency: 'EUR',
  })

async function decided(
  engine: EmbeddedEngine,
  i: number,
): Promise<{ repeated: boolean; decision: Record<string, unknown> }> {
  const reply = await engine.decisions.decide(transaction(i), 5_000)
  assert.equal(reply.kind, 'decided')
  if (reply.kind !== 'decided') return assert.fail()
  return { repeated: reply.repeated, decision: JSON.parse(reply.decision.toString()) as Record<string, unknown> }
}

test('what an older Weir wrote is gone on from, and then bounded', async () => {
  const disk = await written()
  let nowMs = begun + 10 * 60_000
  const failures: string[] = []
  const open = (): Promise<EmbeddedEngine> =>
    EmbeddedEngine.open({
      app: 'fraud',
      dataDir: 'unused',
      model: 'none',
      rules: undefined,
      features: undefined,
      cardKey: 'test',
      memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
      inFlightMax: 100,
      retention: {
        transactions: 0 as DurationMs,
        labels: 0 as DurationMs,
        decisions: days(67),
        provisional: days(67),
        deadLetters: days(30),
      },
      clock: { nowMs: () => nowMs, sleep: async () => {} },
      onEvent: event => {
        if (event.kind === 'retention-failed' || event.kind === 'slot-failed') failures.push(event.message)
      },
      openDatabase: async () => disk.open(),
    })

  const first = await open()
  assert.equal(first.health.status().decisions, 10)
  assert.equal((await first.decisions.find('tx-9', 'c0')).kind, 'found')
  assert.equal((await decided(first, 4)).repeated, true)
  const next = await decided(first, 12)
  assert.equal(next.repeated, false)
  assert.equal((next.decision.features as Record<string, number>).customer_id_nb_tx_1day_window, 5)
  await first.close()

  // The state now reflects an epoch of version 2: what it was made from may go.
  nowMs += 60_000
  const second = await open()
  for (let tries = 0; (await journalStart(disk)) === 0 && tries < 200; tries++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  await second.close()
  assert.ok((await journalStart(disk)) > 0)

  const third = await open()
  assert.equal((await decided(third, 4)).repeated, true)
  const last = await decided(third, 15)
  assert.equal((last.decision.features as Record<string, number>).customer_id_nb_tx_1day_window, 6)
  await third.close()
  assert.deepEqual(failures, [])
})

/** The oldest epoch that the journal has; 0 while it has its genesis. */
async function journalStart(disk: MemoryDisk): Promise<number> {
  const backend = disk.copy().open()
  const log = await EmbeddedLog.open({ db: backend })
  const first = await firstLink(log, { topic: journalTopicOf('fraud'), partition: 0 })
  await log.close()
  assert.ok(first)
  return first.record.kind === 'epoch' ? first.record.epoch : 0
}

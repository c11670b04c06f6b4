/**
 * Continuous traffic on a real disk, whose days pass quickly: the data directory stops growing, and a start takes what the
 * last write-back left, not what the history was.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { days, eventTime } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { requiredOnly } from '../../schemas/avro/index.js'
import { openRocksDb } from '../../state/index.js'
import { shareMemory } from '../memory/index.js'
import { EmbeddedEngine } from './index.js'

const daysOfTraffic = 450
const perDay = 600
const writeBackRecords = 3_000
const begun = Date.UTC(2026, 0, 1)

test('a data directory is as large after fifteen months as after five, and starts as quickly', async t => {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-long-'))
  let nowMs = begun
  const replayed: number[] = []
  const troubles: string[] = []
  const open = (): Promise<EmbeddedEngine> =>
    EmbeddedEngine.open({
      app: 'fraud',
      dataDir,
      model: 'none',
      rules: undefined,
      features: undefined,
      cardKey: 'test',
      memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
      inFlightMax: 2_000,
      retention: {
        transactions: days(7),
        labels: days(67),
        decisions: days(67),
        provisional: days(67),
        deadLetters: days(30),
      },
      writeBackRecords,
      clock: { nowMs: () => nowMs, sleep: ms => new Promise(resolve => setTimeout(resolve, ms)) },
      onEvent: event => {
        if (event.kind === 'replayed') replayed.push(event.records)
        if (event.kind === 'slot-failed' || event.kind === 'retention-failed') troubles.push(event.message)
      },
    })
  let engine = await open()
  t.after(async () => {
    await engine.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const sizes: number[] = []
  for (let day = 1; day <= daysOfTraffic; day++) {
    await Promise.all(
      Array.from({ length: perDay }, (_, i) =>
        engine.decisions.decide(
          requiredOnly({
            transaction_id: `${day}-${i}`,
            event_time: eventTime(nowMs - i),
            customer_id: `c${(day * 31 + i) % 900}`,
            terminal_id: `t${i % 90}`,
            amount_minor: (day * 7_919 + i * 104_729) % 50_000,
            currency: 'EUR',
          }),
          30_000,
        ),
      ),
    )
    nowMs += days(1)
    if (day % 50 > 0) continue
    // Eight thousand transactions a second are a day's: retention, one round a second, may lag behind for a while.
    for (let round = 0; round < 40; round++) {
      nowMs += 1_100
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    const size = sizeOf(dataDir)
    if (day >= 150) sizes.push(size)
    const startedAt = performance.now()
    await engine.close()
    const closedAt = performance.now()
    engine = await open()
    const [closedMs, openedMs] = [closedAt - startedAt, performance.now() - closedAt]
    t.diagnostic(
      `day ${day}: ${(size / 2 ** 20).toFixed(1)} MiB, closed in ${closedMs.toFixed(0)} ms, opened in ${openedMs.toFixed(0)} ms`,
    )
  }
  await engine.close()
  assert.deepEqual(troubles, [])
  assert.ok(replayed.every(records => records <= writeBackRecords))
  const [first, last] = [sizes[0]!, Math.max(...sizes.slice(1))]
  assert.ok(last < first * 1.5, `${sizes.join(', ')} bytes`)
  const left = await recordsLeft(dataDir, ['transactions', 'decisions', 'weir.fraud.epochs'])
  t.diagnostic(`left of ${daysOfTraffic * perDay}: ${left.join(', ')} transactions, decisions, epochs`)
  assert.ok(left[0]! <= 9 * perDay + writeBackRecords && left[1]! <= 69 * perDay && left[2]! <= 2 * writeBackRecords)
})

function sizeOf(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    // RocksDB removes files as it compacts.
    bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0
  }
  return bytes
}

async function recordsLeft(dataDir: string, topics: readonly string[]): Promise<number[]> {
  const backend = await openRocksDb(join(dataDir, 'db'))
  const log = await EmbeddedLog.open({ db: backend })
  const left: number[] = []
  for (const topic of topics) {
    const { earliest, latest } = await log.range({ topic, partition: 0 })
    left.push(Number(latest - earliest))
  }
  await log.close()
  await backend.close()
  return left
}

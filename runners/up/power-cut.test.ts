/**
 * Power cuts under load, with and without a log that is trimmed as fast as it may be: the disk drops a suffix of what was not synced, at a random moment. What was answered before, by
 * a decision or by 202, must be there afterwards, once, and the same.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DecideReply, FindReply } from '../../edge/index.js'
import { type DurationMs, days, eventTime, systemClock } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { requiredOnly, type Transaction } from '../../schemas/avro/index.js'
import { MemoryDisk, type StateBackend } from '../../state/index.js'
import { seededRandom } from '../../testing/random/index.js'
import { shareMemory } from '../memory/index.js'
import { EmbeddedEngine } from './index.js'

const cuts = 12

const begun = Date.now()
/** A second of it passes in 10 ms, so that retention has its turn often. */
const fastClock = { nowMs: () => begun + (Date.now() - begun) * 100, sleep: systemClock.sleep }
const nothing = 0 as DurationMs
const aggressive = {
  transactions: nothing,
  labels: nothing,
  decisions: days(67),
  provisional: days(67),
  deadLetters: nothing,
}

function open(disk: MemoryDisk, trims: boolean, onTrouble: (what: string) => void): Promise<EmbeddedEngine> {
  return EmbeddedEngine.open({
    app: 'fraud',
    dataDir: 'unused',
    model: 'none',
    rules: undefined,
    features: undefined,
    cardKey: 'test',
    memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
    inFlightMax: 1_000,
    clock: fastClock,
    ...(trims ? { retention: aggressive, writeBackRecords: 10 } : {}),
    onEvent: event => {
      if (event.kind === 'slot-failed' && event.code === 'HISTORY_TRIMMED') onTrouble(event.message)
    },
    openDatabase: async () => slow(disk.open()),
  })
}

/** A disk in memory answers before any timer can fire; real ones take their time. */
function slow(backend: StateBackend): StateBackend {
  return {
    getMany: keys => backend.getMany(keys),
    range: options => backend.range(options),
    snapshot: range => backend.snapshot(range),
    batch: () => backend.batch(),
    write: async (batch, options) => {
      await new Promise(resolve => setTimeout(resolve, 2))
      await backend.write(batch, options)
    },
    close: () => backend.close(),
  }
}

/** A 202 promises a decision, not at once. */
async function findWithin(engine: EmbeddedEngine, id: string, customer: string): Promise<FindReply> {
  for (let tries = 0; tries < 500; tries++) {
    const found = await engine.decisions.find(id, customer)
    if (found.kind === 'found') return found
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return { kind: 'unknown' }
}

function transaction(id: string, random: () => number): Transaction {
  return requiredOnly({
    transaction_id: id,
    event_time: eventTime(Date.now()),
    customer_id: `c${Math.floor(random() * 20)}`,
    terminal_id: `t${Math.floor(random() * 5)}`,
    amount_minor: Math.floor(random() * 10_000),
    currency: 'EUR',
  })
}

for (const trims of [false, true]) {
  test(`nothing that was answered is lost in a power cut${trims ? ' that meets retention' : ''}`, async t => {
    const troubles: string[] = []
    const random = seededRandom(42)
    const disk = new MemoryDisk()
    const answered = new Map<string, { sent: Transaction; reply: DecideReply }>()
    let pendings = 0
    for (let cut = 0; cut < cuts; cut++) {
      const engine = await open(disk, trims, what => troubles.push(what))
      const asked: Promise<void>[] = []
      const requests = 20 + Math.floor(random() * 200)
      for (let i = 0; i < requests; i++) {
        const sent = transaction(`${cut}-${i}`, random)
        // Some callers have no patience: they get a 202, which is a promise too.
        const deadlineMs = random() < 0.3 ? 0 : 5_000
        asked.push(
          engine.decisions.decide(sent, deadlineMs).then(
            reply => {
              answered.set(sent.transaction_id, { sent, reply })
              if (reply.kind === 'pending') pendings++
            },
            () => {}, // the power went: nobody was promised anything
          ),
        )
        if (random() < 0.1) await new Promise(resolve => setTimeout(resolve, Math.floor(random() * 3)))
      }
      disk.crash(Math.floor(random() * (disk.unsynced + 1)))
      await engine.close().catch(() => {})
      await Promise.all(asked)
    }
    const engine = await open(disk, trims, what => troubles.push(what))
    for (const [id, { sent, reply }] of answered) {
      const found = await findWithin(engine, id, sent.customer_id)
      assert.equal(found.kind, 'found', `${id} was answered ${reply.kind}`)
      if (reply.kind === 'decided' && found.kind === 'found') assert.deepEqual(found.decision, reply.decision)
    }
    t.diagnostic(`${answered.size} answers over ${cuts} cuts, ${pendings} of them 202`)
    assert.ok(answered.size > 100 && pendings > 10)
    await engine.close()
    assert.deepEqual(troubles, [])
    if (trims) {
      const log = await EmbeddedLog.open({ db: disk.copy().open() })
      for (const topic of ['transactions', 'weir.fraud.epochs']) {
        const { earliest } = await log.range({ topic, partition: 0 })
        t.diagnostic(`${topic} is trimmed to ${earliest}`)
        assert.ok(earliest > 0n)
      }
      await log.close()
    }
  })
}

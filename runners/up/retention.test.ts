/** Retention step by step on a log in memory, and under an engine whose days pass quickly. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type DurationMs, days, eventTime, isWeirError, millis, seconds } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { offset } from '../../log/index.js'
import { requiredOnly, type Transaction } from '../../schemas/avro/index.js'
import { MemoryDisk, type StateBackend } from '../../state/index.js'
import { shareMemory } from '../memory/index.js'
import type { Reflected } from '../slot/index.js'
import { EmbeddedEngine } from './index.js'
import { type RetentionParts, type RetentionRule, type RetentionTimes, trimWhatIsDue } from './retention.js'

const journal = { topic: 'journal', partition: 0 }

/** Ten records of each topic, one a second from 0 on; it is the tenth second. */
async function bench() {
  let nowMs = 0
  const clock = { nowMs: () => nowMs, sleep: async () => {} }
  const log = await EmbeddedLog.open({ db: new MemoryDisk().open(), clock })
  const topics = ['in', 'out', journal.topic]
  for (const topic of topics) await log.createTopic(topic, 1)
  for (; nowMs < 10_000; nowMs += 1_000) {
    for (const topic of topics) await log.append([{ topic, partition: 0, records: [{ key: null, value: null }] }])
  }
  const reflected: Reflected = { journal: offset(8), positions: [{ topic: 'in', partition: 0, offset: '7' }] }
  const trim = (rules: readonly RetentionRule[], change: Partial<RetentionParts> = {}): Promise<void> =>
    trimWhatIsDue({ log, clock, rules, journal, reflected: () => reflected, stopped: () => false, ...change })
  const earliest = async (topic: string): Promise<number> => Number((await log.range({ topic, partition: 0 })).earliest)
  return { log, trim, earliest, setClock: (ms: number) => (nowMs = ms) }
}

const forever = Number.POSITIVE_INFINITY as DurationMs

describe('retention', () => {
  it('trims by the age that the log gave its records', async () => {
    const { trim, earliest } = await bench()
    await trim([{ topic: 'out', keepMs: seconds(4) }])
    assert.equal(await earliest('out'), 6)
    await trim([{ topic: 'out', keepMs: seconds(9) }])
    assert.equal(await earliest('out'), 6)
    await trim([{ topic: 'in', keepMs: forever, isInput: true }])
    assert.equal(await earliest('in'), 0)
  })

  it('takes inputs and journal no further than the store on disk reflects', async () => {
    const { trim, earliest } = await bench()
    const input = { topic: 'in', keepMs: millis(0), isInput: true } as const
    await trim([input], { reflected: () => undefined })
    assert.deepEqual([await earliest('in'), await earliest(journal.topic)], [0, 0])
    await trim([input])
    assert.deepEqual([await earliest('in'), await earliest(journal.topic)], [7, 8])
  })

  it('keeps what is younger than something before it: a clock was set back', async () => {
    const { log, trim, earliest, setClock } = await bench()
    setClock(2_000)
    await log.append([{ topic: 'out', partition: 0, records: [{ key: null, value: null }] }])
    setClock(8_000)
    await trim([{ topic: 'out', keepMs: seconds(4) }])
    assert.equal(await earliest('out'), 4)
    setClock(100_000)
    await trim([{ topic: 'out', keepMs: seconds(4) }])
    assert.equal(await earliest('out'), 11)
  })

  it('says what is about to go before it goes', async () => {
    const { trim, earliest } = await bench()
    const told: number[] = []
    const beforeTrim: RetentionRule['beforeTrim'] = async (batch, count) => {
      assert.equal(await earliest('out'), 0)
      for (let i = 0; i < count; i++) told.push(Number(batch.baseOffset) + batch.offsetDelta[i]!)
    }
    await trim([{ topic: 'out', keepMs: seconds(7), beforeTrim }])
    assert.deepEqual(told, [0, 1, 2])
    await assert.rejects(
      trim([{ topic: 'out', keepMs: seconds(2), beforeTrim: () => Promise.reject(new Error('no')) }]),
      /no/,
    )
    assert.equal(await earliest('out'), 3)
  })

  it('goes in steps, with a pause between, and stops between two when it is told to', async () => {
    const { log, trim, earliest, setClock } = await bench()
    const records = Array.from({ length: 10_000 }, () => ({ key: null, value: null }))
    await log.append([{ topic: 'out', partition: 0, records }])
    setClock(1_000_000)
    let pauses = 0
    const steps: number[] = []
    const clock = { nowMs: () => 1_000_000, sleep: async () => void pauses++ }
    const rule = {
      topic: 'out',
      keepMs: seconds(1),
      beforeTrim: async (_: unknown, count: number) => void steps.push(count),
    }
    await trim([rule], { clock, stopped: () => pauses >= 3 })
    assert.equal(pauses, 3)
    assert.ok(steps.every(count => count <= 1_024))
    assert.equal(
      await earliest('out'),
      steps.reduce((sum, count) => sum + count, 0),
    )
    await trim([rule], { clock })
    assert.equal(await earliest('out'), 10_010)
  })
})

const kept: RetentionTimes = {
  transactions: days(7),
  labels: days(67),
  decisions: days(67),
  provisional: days(67),
  deadLetters: days(30),
}
const begun = Date.UTC(2026, 0, 1)

/** A disk in memory answers before any timer can fire; real ones take their time. */
function slow(backend: StateBackend): StateBackend {
  return {
    getMany: keys => backend.getMany(keys),
    range: options => backend.range(options),
    snapshot: range => backend.snapshot(range),
    batch: () => backend.batch(),
    write: async (batch, options) => {
      await new Promise(resolve => setTimeout(resolve, 1))
      await backend.write(batch, options)
    },
    close: () => backend.close(),
  }
}

class Years {
  nowMs = begun
  readonly disk = new MemoryDisk()
  readonly troubles: string[] = []
  engine!: EmbeddedEngine

  async open(retention = kept): Promise<void> {
    this.engine = await EmbeddedEngine.open({
      app: 'fraud',
      dataDir: 'unused',
      model: 'none',
      rules: undefined,
      features: undefined,
      cardKey: 'test',
      memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
      inFlightMax: 1_000,
      retention,
      writeBackRecords: 40,
      clock: { nowMs: () => this.nowMs, sleep: ms => new Promise(resolve => setTimeout(resolve, Math.min(ms, 1))) },
      onEvent: event => {
        if (event.kind === 'slot-failed' || event.kind === 'retention-failed') this.troubles.push(event.message)
      },
      openDatabase: async () => slow(this.disk.open()),
    })
  }

  transaction(id: string, customer: string): Transaction {
    return requiredOnly({
      transaction_id: id,
      event_time: eventTime(this.nowMs),
      customer_id: customer,
      terminal_id: 't',
      amount_minor: 100,
      currency: 'EUR',
    })
  }

  /** Twenty transactions and three labels a day; some transactions come twice. */
  async day(day: number): Promise<void> {
    const sent = Array.from({ length: 20 }, (_, i) => this.transaction(`${day}-${i}`, `c${i % 7}`))
    await Promise.all(sent.map(transaction => this.engine.decisions.decide(transaction, 5_000)))
    for (const { transaction_id, customer_id, terminal_id, event_time } of sent.slice(0, 3)) {
      const label = {
        label: 'fraud',
        label_source: 'chargeback',
        available_at: eventTime(this.nowMs),
        analyst: null,
      } as const
      await this.engine.decisions.label({ transaction_id, customer_id, terminal_id, event_time, ...label })
    }
    await this.engine.decisions.decide(sent[5]!, 5_000)
    this.nowMs += days(1)
  }

  /** Until nothing more goes. */
  async settle(): Promise<void> {
    for (let same = 0, before = -1; same < 60; ) {
      this.nowMs += 1_100
      await new Promise(resolve => setTimeout(resolve, 10))
      same = this.disk.entries === before ? same + 1 : 0
      before = this.disk.entries
    }
  }
}

describe('an engine over many days', () => {
  it('takes no more space after 300 days than after 150, and starts from what is left', async t => {
    const years = new Years()
    t.after(() => years.engine.close())
    await years.open()
    const entries: number[] = []
    for (let day = 0; day < 300; day++) {
      await years.day(day)
      if (day === 149 || day === 299) {
        await years.settle()
        entries.push(years.disk.entries)
      }
    }
    const [half, whole] = entries as [number, number]
    assert.ok(whole < half * 1.05, `${half} entries in the database, then ${whole}`)
    assert.equal(years.engine.health.status().decisions, 6_000)
    assert.equal((await years.engine.decisions.find('10-1', 'c1')).kind, 'unknown')
    assert.equal((await years.engine.decisions.find('290-1', 'c1')).kind, 'found')
    await years.engine.close()
    const log = await EmbeddedLog.open({ db: years.disk.copy().open() })
    const oldest = async (topic: string): Promise<number> => Number((await log.range({ topic, partition: 0 })).earliest)
    assert.ok((await oldest('decisions')) > 229 * 20 && (await oldest('decisions')) < 240 * 20)
    assert.ok((await oldest('transactions')) > 290 * 21)
    await log.close()
    await years.open()
    assert.equal((await years.engine.decisions.decide(years.transaction('new', 'c1'), 5_000)).kind, 'decided')
    const repeated = await years.engine.decisions.decide(years.transaction('290-1', 'c1'), 5_000)
    assert.equal(repeated.kind === 'decided' && repeated.repeated, true)
    assert.deepEqual(years.troubles, [])
  })

  it('says of an id that it was decided when the decision is past its retention', async t => {
    const years = new Years()
    t.after(() => years.engine.close())
    await years.open()
    const first = years.transaction('first', 'c')
    assert.equal((await years.engine.decisions.decide(first, 5_000)).kind, 'decided')
    years.nowMs += days(66)
    await years.settle()
    assert.equal((await years.engine.decisions.decide(first, 5_000)).kind, 'decided')
    years.nowMs += days(2)
    await years.settle()
    assert.equal((await years.engine.decisions.find('first', 'c')).kind, 'unknown')
    assert.equal((await years.engine.decisions.decide(first, 5_000)).kind, 'expired')
    assert.deepEqual(years.troubles, [])
  })

  it('refuses to keep decisions for less than repeats may come', async () => {
    const years = new Years()
    await assert.rejects(
      years.open({ ...kept, decisions: days(66) }),
      error =>
        isWeirError(error, 'USAGE') && /of 66 days is shorter than the dedupe horizon of 67 days/.test(error.message),
    )
  })
})

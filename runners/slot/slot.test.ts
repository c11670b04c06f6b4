/** A topology through the real slot: what comes out, what the counters and the journal say, before and after a crash. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { days, type EventTimeMs, eventTime, hours } from '../../kernel/index.js'
import { count, type StepContext, type StepRuntime } from '../../operators/index.js'
import type { Model } from '../../scoring/index.js'
import { intCodec, type ValueState } from '../../state/index.js'
import { type DriverOptions, TopologyDriver } from '../../testing/index.js'
import { json, modelNamed, type Stream, type Topology, toJson, topology } from '../../topology/index.js'
import type { EpochRecord } from './journal.js'
import type { SlotEvent } from './options.js'

interface Payment {
  readonly id: string
  readonly who: string
  readonly cents: number
  readonly atMs: number
  /** The step that throws on it. */
  readonly trap?: 'total' | 'policy'
}

const startMs = Date.UTC(2024, 0, 1)
const payment = (id: string, more: Partial<Payment> = {}): Payment => ({
  id,
  who: 'c1',
  cents: 100,
  atMs: startMs,
  ...more,
})

interface Total {
  readonly id: string
  readonly who: string
  readonly total: number
}

interface TotalState {
  readonly total: ValueState<number>
}

function totals(): Topology {
  const app = topology('totals')
  const payments = app
    .source(
      'payments',
      json('payment', value => value as Payment),
      { eventTime: p => eventTime(p.atMs) },
    )
    .keyBy('by-customer', p => p.who)
    .dedupe('dedupe', { idOf: p => p.id, fingerprintOf: [p => p.cents], horizon: days(30) })
  payments
    .process<Total, TotalState>('total', {
      state: factory => ({ total: factory.value('total', intCodec) }),
      create: ({ state }) => ({
        onRecord(p, _at, out) {
          if (p.trap === 'total') throw new Error('no total for this')
          const total = (state.total.get() ?? 0) + p.cents
          state.total.set(total)
          return out.emit({ id: p.id, who: p.who, total })
        },
      }),
    })
    .to(
      'totals',
      toJson('total', t => t.who),
    )
  payments
    .velocity('spending', {}, { n_1day: count().over(days(1)) })
    .score('model', { model: modelNamed('fake') })
    .decide<{ id: string; n: number; score: number | null; degraded: boolean }>('policy', {
      parameters: {},
      bind: () => ({
        needsImpacts: () => false,
        decide: ({ value, row, scoringFailed }) => {
          if (value.trap === 'policy') throw new Error('no decision for this')
          const score = Number.isNaN(row.score) ? null : row.score
          return { id: value.id, n: row.features[0] ?? -1, score, degraded: scoringFailed }
        },
      }),
    })
    .to(
      'decisions',
      toJson('decision', () => ''),
    )
  return app
}

/** Fails while `broken` says so. */
function fakeModel(broken: () => boolean = () => false): ReadonlyMap<string, Model> {
  const model: Model = {
    contract: {
      modelId: 'fake',
      version: '1',
      features: ['n_1day'],
      missing: Number.NaN,
      output: 'p',
      sha256: '0'.repeat(64),
      reference: new Float64Array(1),
    },
    featureNames: ['n_1day'],
    async score(rows) {
      const failed = broken()
      for (const row of rows) row.score = failed ? Number.NaN : 0.25
      return { failedRows: failed ? rows.length : 0, error: failed ? new Error('out of order') : null }
    },
    explain: async () => ({ failedRows: 0, error: null, impacts: new Float64Array(0) }),
    close: async () => {},
  }
  return new Map([['fake', model]])
}

const start = (options: DriverOptions = {}): Promise<TopologyDriver> =>
  TopologyDriver.start(totals(), { models: fakeModel(), ...options })

const idsOf = (records: readonly unknown[]): string[] => records.map(record => (record as { id: string }).id)

async function epochsOf(driver: TopologyDriver): Promise<EpochRecord[]> {
  const records = (await driver.read('weir.totals.epochs')) as EpochRecord[]
  return records.filter(record => record.kind === 'epoch')
}

describe('a record on which an operator throws', () => {
  it('is left out, dead-lettered, and journaled as excluded', async () => {
    const events: SlotEvent[] = []
    const driver = await start({ onEvent: event => events.push(event) })
    await driver.send('payments', [payment('a'), payment('b', { trap: 'total' }), payment('c')])
    assert.deepEqual(await driver.read('totals'), [
      { id: 'a', who: 'c1', total: 100 },
      { id: 'c', who: 'c1', total: 200 },
    ])
    const [letter, ...others] = await driver.deadLetters()
    assert.deepEqual(others, [])
    assert.equal(letter?.code, 'OPERATOR_EXCEPTION')
    assert.match(letter?.message ?? '', /step 'total' threw: no total for this/)
    assert.deepEqual(JSON.parse(letter?.value ?? ''), payment('b', { trap: 'total' }))
    const [epoch, ...later] = await epochsOf(driver)
    assert.deepEqual(later, [])
    assert.deepEqual(epoch?.excluded, [{ topic: 'payments', partition: 0, offset: '1' }])
    assert.equal(driver.counts.get('dead_letters'), 1)
    assert.deepEqual(
      events.flatMap(event => (event.kind === 'recovering' ? [event.reason] : [])),
      ['start', `step 'total' threw on payments/0/1, which is left out`],
    )
    assert.deepEqual(
      events.flatMap(event => (event.kind === 'excluded' ? [event.position] : [])),
      ['payments/0/1'],
    )
  })

  it('leaves no trace in the state of the steps before, so its id is free again', async () => {
    const driver = await start()
    await driver.send('payments', [payment('a', { trap: 'policy' }), payment('b')])
    await driver.send('payments', [payment('a')])
    assert.deepEqual(idsOf(await driver.read('decisions')), ['b', 'a'])
    assert.equal(driver.counts.get('duplicates'), undefined)
  })

  it('is left out again when the epoch is replayed', async () => {
    const driver = await start()
    await driver.send('payments', [payment('a'), payment('b', { trap: 'total' })])
    await driver.crash()
    await driver.send('payments', [payment('c')])
    assert.deepEqual((await driver.read('totals')).at(-1), { id: 'c', who: 'c1', total: 200 })
    assert.equal((await driver.deadLetters()).length, 1)
  })

  it('may be one of many, in several steps', async () => {
    const driver = await start()
    const traps = ['total', undefined, 'policy', 'total', 'policy', undefined] as const
    await driver.send(
      'payments',
      traps.map((trap, i) => payment(`p${i}`, trap && { trap })),
    )
    assert.deepEqual(idsOf(await driver.read('decisions')), ['p1', 'p5'])
    assert.equal((await driver.deadLetters()).length, 4)
    assert.equal((await epochsOf(driver)).length, 1)
  })

  it('makes the epoch shorter where there are more than exclusionsPerEpochMax', async () => {
    const driver = await start({ limits: { exclusionsPerEpochMax: 2 } })
    const bad = (id: string) => payment(id, { trap: 'total' })
    await driver.send('payments', [...['a', 'b', 'c', 'd', 'e', 'f'].map(bad), payment('good'), bad('g')])
    assert.deepEqual(idsOf(await driver.read('decisions')), ['good'])
    assert.equal((await driver.deadLetters()).length, 7)
    const epochs = await epochsOf(driver)
    assert.ok(epochs.length > 1 && epochs.every(epoch => epoch.excluded.length <= 2))
    await driver.crash()
    await driver.send('payments', [payment('after')])
    assert.deepEqual(idsOf(await driver.read('decisions')), ['good', 'after'])
  })
})

describe('event times', () => {
  it('may be one day ahead of the log and no more', async () => {
    const driver = await start()
    const ahead = startMs + days(1)
    await driver.send('payments', [payment('edge', { atMs: ahead }), payment('beyond', { atMs: ahead + 1 })])
    assert.deepEqual(idsOf(await driver.read('decisions')), ['edge'])
    assert.deepEqual(
      (await driver.deadLetters()).map(letter => letter.code),
      ['INVALID_EVENT_TIME'],
    )
  })

  it('move the watermark by what was accepted alone', async () => {
    const driver = await start()
    await driver.send('payments', [
      payment('a'),
      payment('far', { atMs: startMs + days(400) }),
      payment('trapped', { atMs: startMs + hours(20), trap: 'total' }),
    ])
    const [epoch] = await epochsOf(driver)
    assert.equal(epoch?.clocks[0]?.watermark_ms, startMs - 600_000)
    assert.equal(epoch?.expiry_ms, startMs - 600_000)
  })
})

describe('the counters', () => {
  it('add up: every record is a decision, a duplicate or a dead letter', async () => {
    const driver = await start()
    await driver.send('payments', [payment('a'), payment('a'), 'no JSON', payment('b')])
    await driver.send('payments', [payment('a', { cents: 7 }), payment('c', { trap: 'policy' }), '{'])
    const counts = Object.fromEntries(driver.counts)
    assert.deepEqual(
      { ...counts },
      { records: 7, blank: 0, dead_letters: 3, duplicates: 2, conflicts: 1, decisions: 2, totals: 2 },
    )
    assert.deepEqual((await epochsOf(driver)).at(-1)?.counts, counts)
  })

  it('survive a crash', async () => {
    const driver = await start()
    await driver.send('payments', [payment('a'), payment('a'), payment('b')])
    const before = Object.fromEntries(driver.counts)
    await driver.crash()
    assert.deepEqual(Object.fromEntries(driver.counts), before)
  })
})

describe('a crash', () => {
  for (const recordsPerWriteBackMax of [1, 3, 200_000]) {
    it(`loses nothing and repeats nothing, writing back after ${recordsPerWriteBackMax} records`, async () => {
      const driver = await start({ limits: { recordsPerWriteBackMax } })
      for (let i = 0; i < 6; i++) {
        await driver.send('payments', [payment(`p${i}`), payment('p0')])
        await driver.crash()
      }
      const totals = (await driver.read('totals')) as { total: number }[]
      assert.deepEqual(
        totals.map(t => t.total),
        [100, 200, 300, 400, 500, 600],
      )
      assert.deepEqual(
        ((await driver.read('decisions')) as { n: number }[]).map(decision => decision.n),
        [1, 2, 3, 4, 5, 6],
      )
    })
  }

  it('raises the generation, and the chain goes on', async () => {
    const driver = await start()
    await driver.send('payments', [payment('a')])
    await driver.crash()
    await driver.send('payments', [payment('b')])
    assert.deepEqual(
      (await epochsOf(driver)).map(epoch => [epoch.epoch, epoch.generation]),
      [
        [1, 1],
        [2, 2],
      ],
    )
  })
})

describe('a model', () => {
  it('that fails makes degraded decisions, counted and told', async () => {
    let broken = true
    const events: SlotEvent[] = []
    const driver = await start({ models: fakeModel(() => broken), onEvent: event => events.push(event) })
    await driver.send('payments', [payment('a'), payment('b')])
    broken = false
    await driver.send('payments', [payment('c')])
    assert.deepEqual(await driver.read('decisions'), [
      { id: 'a', n: 1, score: null, degraded: true },
      { id: 'b', n: 2, score: null, degraded: true },
      { id: 'c', n: 3, score: 0.25, degraded: false },
    ])
    assert.equal(driver.counts.get('scoring_failed'), 2)
    assert.deepEqual(
      events.filter(event => event.kind === 'model-failed'),
      [{ kind: 'model-failed', rows: 2, epoch: 1, message: 'out of order' }],
    )
  })

  it('that throws makes degraded decisions, too', async () => {
    const models = fakeModel(() => {
      throw new Error('against its contract')
    })
    const driver = await start({ models })
    await driver.send('payments', [payment('a')])
    assert.deepEqual(await driver.read('decisions'), [{ id: 'a', n: 1, score: null, degraded: true }])
  })

  it('that nobody wired is an error before the first record', async () => {
    await assert.rejects(start({ models: new Map() }), { code: 'UNKNOWN_MODEL' })
  })

  it('is not asked again when an epoch is replayed', async () => {
    let calls = 0
    const driver = await start({
      models: fakeModel(() => {
        calls++
        return false
      }),
    })
    await driver.send('payments', [payment('a')])
    await driver.crash()
    assert.equal(calls, 1)
  })
})

describe('state', () => {
  const wrong = (build: (stream: Stream<{ k: string }>) => Stream<unknown>): Topology => {
    const app = topology('wrong')
    const stream = app.source(
      'in',
      json('any', value => value as { k: string }),
      { eventTime: () => 0 as EventTimeMs },
    )
    build(stream).to(
      'out',
      toJson('any', () => ''),
    )
    return app
  }

  it('asked for by a step that declares none is an error before the first record', async () => {
    const create = (context: StepContext): StepRuntime => {
      context.state.value('x', intCodec)
      return { onRow: () => true }
    }
    const liar = wrong(stream =>
      stream.via('liar', { kind: 'liar', stateful: false, features: [], parameters: {}, create }),
    )
    await assert.rejects(TopologyDriver.start(liar), { code: 'UNKEYED_STATE' })
  })

  it('declared twice under one name is an error before the first record', async () => {
    const twice = wrong(stream =>
      stream
        .keyBy('by-k', value => value.k)
        .process('twice', {
          state: factory => [factory.value('x', intCodec), factory.map('x', intCodec)],
          create: () => ({ onRecord: () => true }),
        }),
    )
    await assert.rejects(TopologyDriver.start(twice), { code: 'DUPLICATE_STATE' })
  })

  it('without a key is an error before the first record', async () => {
    const create = (): StepRuntime => ({ onRow: () => true })
    const unkeyed = wrong(stream =>
      stream.via('unkeyed', { kind: 'count', stateful: true, features: [], parameters: {}, create }),
    )
    await assert.rejects(TopologyDriver.start(unkeyed), { code: 'UNKEYED_STATE' })
  })
})

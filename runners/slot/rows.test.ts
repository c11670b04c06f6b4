/** Rows that come from one origin, or from none: features of their own, and a place in the epoch's order. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { days, type EventTimeMs, eventTime, hours, seconds } from '../../kernel/index.js'
import { count, type OperatorSpec, type ProcessSpec, sum } from '../../operators/index.js'
import { intCodec, type ValueState } from '../../state/index.js'
import { TopologyDriver } from '../../testing/index.js'
import { json, type Stream, type Topology, toJson, topology } from '../../topology/index.js'

interface Payment {
  readonly who: string
  readonly atMs: number
  readonly items?: readonly number[]
}

interface Silence {
  readonly kind: string
  readonly sinceMs: number
}

const startMs = Date.UTC(2024, 0, 1)
const out = toJson<unknown>('any', () => '')
const from = (app: Topology): Stream<Payment> =>
  app.source(
    'in',
    json('payment', value => value as Payment),
    { eventTime: p => eventTime(p.atMs), outOfOrderness: hours(0) },
  )

/** A timer a second behind each record. */
const silence: ProcessSpec<Payment, Silence, { last: ValueState<number> }> = {
  state: factory => ({ last: factory.value('last', intCodec) }),
  create: ({ state, timers }) => ({
    onRecord(_, at) {
      state.last.set(at)
      timers.timerAt(eventTime(at + seconds(1)))
      return true
    },
    onTimer: (_, to) => to.emit({ kind: 'silence', sinceMs: state.last.get() ?? 0 }),
  }),
}

describe('rows of one origin', () => {
  it('are aggregated one by one', async () => {
    const app = topology('items')
    from(app)
      .flatMap('items', p => (p.items ?? []).map(cents => ({ who: p.who, cents })))
      .keyBy('by-who', item => item.who)
      .velocity(
        'spending',
        { cents: item => item.cents },
        { n: count().over(days(1)), cents: sum('cents').over(days(1)) },
      )
      .withFeatures('features', (item, features) => [item.cents, features.n, features.cents])
      .to('out', out)
    await using driver = await TopologyDriver.start(app)
    await driver.send('in', [{ who: 'anna', atMs: startMs, items: [1, 20, 300] }])
    assert.deepEqual(await driver.read('out'), [
      [1, 1, 1],
      [20, 2, 21],
      [300, 3, 321],
    ])
  })

  it('keep the features that the origin had', async () => {
    const app = topology('inherited')
    from(app)
      .keyBy('by-who', p => p.who)
      .velocity('spending', {}, { n: count().over(days(1)) })
      .flatMap('twice', p => [p.who, p.who.toUpperCase()])
      .withFeatures('features', (who, features) => [who, features.n])
      .to('out', out)
    await using driver = await TopologyDriver.start(app)
    await driver.send('in', [{ who: 'anna', atMs: startMs }])
    assert.deepEqual(await driver.read('out'), [
      ['anna', 1],
      ['ANNA', 1],
    ])
  })
})

describe('rows out of timers', () => {
  it('are aggregated one by one', async () => {
    const app = topology('silences')
    from(app)
      .keyBy('by-who', p => p.who)
      .process('silence', silence)
      .keyBy('by-kind', s => s.kind)
      .velocity('silences', {}, { n: count().over(days(1)) })
      .withFeatures('features', (s, features) => [s.sinceMs - startMs, features.n])
      .to('out', out)
    await using driver = await TopologyDriver.start(app)
    await driver.send('in', [
      { who: 'anna', atMs: startMs },
      { who: 'ben', atMs: startMs + 500 },
      { who: 'cleo', atMs: startMs + 10_000 },
    ])
    await driver.send('in', [{ who: 'dan', atMs: startMs + 20_000 }])
    assert.deepEqual(await driver.read('out'), [
      [0, 1],
      [500, 2],
      [10_000, 3],
    ])
  })

  it('stand behind all records of their epoch where streams merge', async () => {
    const app = topology('order')
    const payments = from(app)
    const silences = payments.keyBy('by-who', p => p.who).process('silence', silence)
    silences
      .map('silent', s => s.kind)
      .merge(
        'all',
        payments.map('paid', p => p.who),
      )
      .to('out', out)
    await using driver = await TopologyDriver.start(app)
    await driver.send('in', [
      { who: 'anna', atMs: startMs },
      { who: 'ben', atMs: startMs + 10_000 },
    ])
    assert.deepEqual(await driver.read('out'), ['anna', 'ben', 'silence'])
  })
})

describe('at the end of an epoch', () => {
  it('an operator without state hears of the watermark, too', async () => {
    const heard: number[] = []
    const spec: OperatorSpec = {
      kind: 'listen',
      stateful: false,
      features: [],
      parameters: {},
      create: () => ({
        onRow: (row, to) => to.push(row),
        onWatermark: (to: EventTimeMs) => {
          heard.push(to)
          return true
        },
      }),
    }
    const app = topology('listening')
    from(app).via('listen', spec).to('out', out)
    await using driver = await TopologyDriver.start(app)
    await driver.send('in', [{ who: 'anna', atMs: startMs }])
    await driver.send('in', [{ who: 'anna', atMs: startMs + 5 }])
    assert.deepEqual(heard, [startMs, startMs + 5])
  })

  it('no key is current: what came last in the epoch is nobody’s state', async () => {
    const app = topology('keyless')
    from(app)
      .keyBy('by-who', p => p.who)
      .process<string, { n: ValueState<number> }>('count', {
        state: factory => ({ n: factory.value('n', intCodec) }),
        create: ({ state }) => ({
          onRecord: (p, _, to) => to.emit(p.who),
          onWatermark: (_, to) => to.emit(String(state.n.get())),
        }),
      })
      .to('out', out)
    await using driver = await TopologyDriver.start(app)
    await assert.rejects(driver.send('in', [{ who: 'anna', atMs: startMs }]), /uses state while no key is current/)
  })
})

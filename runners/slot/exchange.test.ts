/** What passes between slots, over a log in memory; with crashes and interleavings the simulation has more. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventTime, hours, minutes, plus } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { intCodec, type ValueState } from '../../state/index.js'
import { Cluster } from '../../testing/cluster/index.js'
import { ManualClock } from '../../testing/index.js'
import { type DecideFunction, json, type Stream, type Topology, toJson, topology } from '../../topology/index.js'

interface Payment {
  readonly id: number
  readonly who: string
  readonly shop: string
  readonly bank: string
}

interface Decision extends Payment {
  readonly shopCount: number
  readonly bankCount: number
}

type Counted = Payment & { readonly shopCount?: number; readonly bankCount?: number }

const start = Date.UTC(2024, 0, 1)
const payment = json<Payment>('payment', value => value as Payment)
const decide: DecideFunction<Counted, Counted> = {
  parameters: {},
  bind: () => ({
    needsImpacts: () => false,
    decide: ({ value }) => {
      if (value.bank === 'behind') throw new Error('behind the hops')
      return value
    },
  }),
}

/** Counts a key's payments; throws and drops between the hops where the payment says so. */
function counting(stream: Stream<Counted>, name: 'shop' | 'bank'): Stream<Counted> {
  return stream
    .keyBy(`${name}-key`, p => p[name], name)
    .process<Counted, ValueState<number>>(name, {
      state: factory => factory.value('n', intCodec),
      create: ({ state }) => ({
        onRecord: (value, _at, out) => {
          if (value.shop === `throws at ${name}`) throw new Error(`at ${name}`)
          if (value.shop === `ends at ${name}`) return true
          const n = (state.get() ?? 0) + 1
          if (!out.emit({ ...value, [`${name}Count`]: n })) return false
          state.set(n)
          return true
        },
      }),
    })
}

function chain(): Topology {
  const app = topology('app')
  const payments = app.source('payments', payment, {
    eventTime: p => eventTime(start + p.id),
    partitionedBy: { key: 'who', keyOf: p => p.who },
  })
  counting(counting(payments as Stream<Counted>, 'shop'), 'bank')
    .decide('policy', decide)
    .to(
      'decisions',
      toJson<Counted>('decision', d => d.who),
    )
  return app
}

const clock = (): ManualClock => new ManualClock(start)
const several = { slots: 3, partitions: 5 }

/** By home: nothing here relies on the partition, so home is where a record was sent. */
const sent = (count: number, of: (id: number) => Partial<Payment> = () => ({})): Payment[] =>
  Array.from({ length: count }, (_, id) => ({
    id,
    who: `w${id % 7}`,
    shop: `s${(id * 5) % 11}`,
    bank: `b${id % 4}`,
    ...of(id),
  }))

async function run(cluster: Cluster, payments: readonly Payment[], partitions: number): Promise<Decision[]> {
  for (const [i, one] of payments.entries()) {
    // A customer's payments lie in one partition; which one is the producer's choice.
    await cluster.send('payments', Number(one.who.slice(1)) % partitions, [one])
    if (i % 3 === 0) await cluster.slots[i % cluster.slots.length]!.step()
  }
  await cluster.drain()
  const decisions: Decision[] = []
  for (let p = 0; p < partitions; p++) decisions.push(...(await cluster.read<Decision>('decisions', p)))
  return decisions
}

const idsOf = (decisions: readonly Payment[], who: string): number[] =>
  decisions.filter(decision => decision.who === who).map(({ id }) => id)

describe('rows that go from key to key through several slots', () => {
  it('come back in the order of their customer, each once, whatever was dropped or thrown out on the way', async () => {
    const odd = ['throws at shop', 'throws at bank', 'ends at shop', 'ends at bank']
    const payments = sent(200, id => (id % 9 === 4 ? { shop: odd[id % 4]! } : id % 31 === 7 ? { bank: 'behind' } : {}))
    const cluster = await new Cluster(chain(), several, clock(), { epochRecordsMax: 4 }).start()
    const decisions = await run(cluster, payments, 5)
    const sound = payments.filter(({ shop, bank }) => !odd.includes(shop) && bank !== 'behind')
    for (let w = 0; w < 7; w++) assert.deepEqual(idsOf(decisions, `w${w}`), idsOf(sound, `w${w}`), `w${w}`)
    for (const count of ['shopCount', 'bankCount'] as const) {
      const key = count === 'shopCount' ? 'shop' : 'bank'
      const seen = new Map<string, number[]>()
      for (const decision of decisions) seen.set(decision[key], [...(seen.get(decision[key]) ?? []), decision[count]])
      for (const [name, counts] of seen) {
        // Those that throw behind the hops have been counted.
        assert.equal(new Set(counts).size, counts.length, `${name}: each of its payments has a count of its own`)
      }
    }
    const thrown = payments.filter(
      ({ shop, bank }) => shop.startsWith('throws') || (bank === 'behind' && !odd.includes(shop)),
    )
    const letters = await cluster.deadLetters()
    const originals = letters.map(({ value }) => (JSON.parse(value!) as Payment).id)
    assert.deepEqual(
      originals.sort((a, b) => a - b),
      thrown.map(({ id }) => id),
    )
    for (const { source } of letters) assert.match(source, /^payments\//)
    await cluster.close()
  })

  it('wait for room where too many are under way, and the hops go on', async () => {
    const cluster = await new Cluster(chain(), several, clock(), { epochRecordsMax: 8, inFlightRowsMax: 1 }).start()
    const decisions = await run(cluster, sent(60), 5)
    assert.equal(decisions.length, 60)
    assert.ok(cluster.events.some(event => event.kind === 'held-back'))
    await cluster.close()
  })

  it('are the dead letters that they can be when their record is gone from the log', async () => {
    const cluster = await new Cluster(chain(), several, clock()).start()
    await cluster.send(
      'payments',
      0,
      sent(1, () => ({ shop: 'throws at shop' })),
    )
    await cluster.slots[0]!.step()
    await cluster.log.trim({ topic: 'payments', partition: 0, offset: offset(1) })
    await cluster.drain()
    const [letter] = await cluster.deadLetters()
    assert.equal(letter?.value, null)
    assert.match(letter.message, /step 'shop' threw: at shop; the record itself is gone from the log/)
    assert.equal(letter.source, 'payments/0/0')
    await cluster.close()
  })
})

describe('a slot among several', () => {
  it('stops at what no slot has sent', async () => {
    const cluster = await new Cluster(chain(), several, clock()).start()
    await cluster.send('weir.app.shop.repartition', 1, ['not a row'])
    await assert.rejects(cluster.slots[1]!.step(), { code: 'HOP_CORRUPT', message: /weir.app.shop.repartition\/1\/0/ })
    await cluster.close()
  })

  it('does not start with inputs of other partitions than the plan says, nor with a journal of other slots', async () => {
    await assert.rejects(new Cluster(chain(), several, clock()).start({ payments: 4 }), { code: 'TOPIC_MISMATCH' })
    const cluster = await new Cluster(chain(), several, clock()).start()
    await cluster.close()
  })

  it('sends what a timer made home to itself, where nobody waits for it', async () => {
    const app = topology('app')
    const payments = app.source('payments', payment, {
      eventTime: p => eventTime(start + p.id),
      outOfOrderness: minutes(0),
      partitionedBy: { key: 'who', keyOf: p => p.who },
    })
    payments
      .keyBy('shop-key', p => p.shop)
      .process<Counted, ValueState<number>>('shop', {
        state: factory => factory.value('n', intCodec),
        create: ({ state, timers }) => ({
          onRecord: (value, at) => {
            state.set(value.id)
            timers.timerAt(plus(at, minutes(1)))
            return true
          },
          onTimer: (_at, out) => out.emit({ id: state.get() ?? -1, who: 'timer', shop: '', bank: '' }),
        }),
      })
      .decide('policy', decide)
      .to(
        'decisions',
        toJson<Counted>('decision', d => d.who),
      )
    const moved = clock()
    const cluster = await new Cluster(app, several, moved).start()
    const later = sent(10, id => ({ id: id * hours(1) }))
    for (let partition = 0; partition < 5; partition++) await cluster.send('payments', partition, later)
    await cluster.drain()
    // Clocks of those who have sent nothing hold the others back until they are idle.
    moved.advance(minutes(1))
    for (let partition = 0; partition < 5; partition++) {
      await cluster.send('payments', partition, [
        { ...later[9]!, id: hours(20) },
        { ...later[9]!, id: hours(21) },
      ])
      await cluster.drain()
    }
    const decisions = (await Promise.all([0, 1, 2, 3, 4].map(p => cluster.read<Decision>('decisions', p)))).flat()
    assert.ok(decisions.length > 0, 'a timer has fired in a stage behind a hop')
    for (const decision of decisions) assert.equal(decision.who, 'timer')
    await cluster.close()
  })
})

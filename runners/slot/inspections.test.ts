/** Questions about state while a slot runs, idles, recovers and stops. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { eventTime } from '../../kernel/index.js'
import { intCodec, type ValueState } from '../../state/index.js'
import { Cluster } from '../../testing/cluster/index.js'
import { ManualClock } from '../../testing/index.js'
import { seededRandom } from '../../testing/random/index.js'
import { type DecideFunction, json, type Stream, type Topology, toJson, topology } from '../../topology/index.js'
import { inspectionsMax } from './inspections.js'
import { slotOfKey } from './ownership.js'
import { Bench, drain } from './testing/bench.js'

interface Payment {
  readonly who: string
  readonly shop: string
}

const shown = { showPii: true }
/** Rows come home in their order before it: by steps of the engine's own, keyed by partition. */
const decide: DecideFunction<Payment, Payment> = {
  parameters: {},
  bind: () => ({ needsImpacts: () => false, decide: ({ value }) => value }),
}

function counting(stream: Stream<Payment>, name: 'who' | 'shop'): Stream<Payment> {
  return stream
    .keyBy(`${name}-key`, p => p[name], name)
    .process<Payment, ValueState<number>>(name, {
      state: factory => factory.value('n', intCodec),
      create: ({ state }) => ({
        onRecord: (value, _at, out) => {
          if (!out.emit(value)) return false
          state.set((state.get() ?? 0) + 1)
          return true
        },
      }),
    })
}

function shops(): Topology {
  const app = topology('shops')
  const payments = app.source(
    'payments',
    json<Payment>('payment', value => value as Payment),
    {
      eventTime: () => eventTime(0),
      partitionedBy: { key: 'who', keyOf: p => p.who },
    },
  )
  counting(counting(payments as Stream<Payment>, 'who'), 'shop')
    .decide('policy', decide)
    .to(
      'out',
      toJson<Payment>('out', p => p.who),
    )
  return app
}

describe('Slot.inspect', () => {
  it('answers as of the last committed epoch, idle or between two epochs', async () => {
    const bench = new Bench()
    const slot = await bench.started({}, { epochRecordsMax: 1 })
    const nOf = async () => {
      const { epoch, states } = await slot.inspect('count', 'all', shown)
      return [epoch, states[0]!.value]
    }
    assert.deepEqual(await nOf(), [0, null])
    await bench.send(['a', 'b', 'c'])
    await slot.step()
    assert.deepEqual(await nOf(), [1, 1])
    const step = slot.step()
    const asked = [nOf(), nOf(), nOf()]
    await step
    // One before the epoch at the most, the others after it.
    assert.deepEqual((await Promise.all(asked)).slice(1), [
      [2, 2],
      [2, 2],
    ])
    await slot.close()
  })

  it('changes nothing that the slot writes', async () => {
    const random = seededRandom(11)
    const run = async (looking: boolean) => {
      const bench = new Bench()
      const slot = await bench.started({}, { epochRecordsMax: 3, epochsPerWriteBackMax: 4 })
      let answers = 0
      for (let i = 0; i < 30; i++) {
        await bench.send([`a${i}`, i % 7 === 0 ? 'bad' : `b${i}`])
        const step = slot.step()
        const keys = ['all', 'nobody', `k${Math.floor(random() * 10)}`]
        const asked = looking ? keys.map(key => slot.inspect('count', key, shown)) : []
        await step
        answers += (await Promise.all(asked)).length
      }
      await drain(slot)
      await slot.close()
      assert.equal(answers, looking ? 90 : 0)
      return [
        await bench.read('out'),
        await bench.read('dead'),
        (await bench.epochs()).map(({ clocks: _, ...left }) => left),
      ]
    }
    assert.deepEqual(await run(true), await run(false))
  })

  it('says no when it does not run, when too many wait and for a step without state', async () => {
    const bench = new Bench()
    const slot = await bench.slot()
    await assert.rejects(slot.inspect('count', 'all', shown), { code: 'NOT_READY', what: 'slot 0 is created' })
    await slot.start()
    await assert.rejects(slot.inspect('nobody', 'all', shown), { code: 'UNKNOWN_STEP', message: /: count; / })
    const step = slot.step()
    const asked = Array.from({ length: inspectionsMax + 3 }, () => slot.inspect('count', 'all', shown))
    const answers = await Promise.allSettled(asked)
    await step
    const refused = answers.flatMap(answer => (answer.status === 'rejected' ? [answer.reason.code] : []))
    assert.deepEqual(refused, ['QUEUE_FULL', 'QUEUE_FULL', 'QUEUE_FULL'])
    const last = slot.inspect('count', 'all', shown)
    const closing = slot.close()
    await assert.rejects(last, { code: 'NOT_READY', what: 'slot 0 is closing' })
    await closing
    await assert.rejects(slot.inspect('count', 'all', shown), { code: 'NOT_READY', what: 'slot 0 is closed' })
  })

  it('tells who waits when the slot fails', async () => {
    const bench = new Bench()
    const slot = await bench.started()
    const other = await bench.started()
    await bench.send(['a'])
    const step = slot.step()
    // The first may be answered before the epoch.
    const [, asked] = [slot.inspect('count', 'all', shown), slot.inspect('count', 'all', shown)]
    const refused = assert.rejects(asked, { code: 'NOT_READY', what: 'slot 0 is failed' })
    await assert.rejects(step, { code: 'SLOT_FENCED' })
    await refused
    await other.close()
  })

  it('finds random keys in the slot that slotOfKey names, and in no other', async () => {
    const random = seededRandom(5)
    const cluster = await new Cluster(shops(), { slots: 3, partitions: 5 }, new ManualClock(0)).start()
    const counts = new Map<string, number>()
    for (let i = 0; i < 200; i++) {
      const payment = { who: `w${Math.floor(random() * 40)}`, shop: `shop é ${Math.floor(random() * 40)}` }
      counts.set(`who/${payment.who}`, (counts.get(`who/${payment.who}`) ?? 0) + 1)
      counts.set(`shop/${payment.shop}`, (counts.get(`shop/${payment.shop}`) ?? 0) + 1)
      await cluster.send('payments', i % 5, [payment])
    }
    await cluster.drain()
    for (const [place, count] of counts) {
      const [step, key] = place.split('/') as [string, string]
      const owner = slotOfKey(cluster.plan, step, key)
      for (const slot of cluster.slots) {
        const { slot: number, found, states } = await slot.inspect(step, key, shown)
        assert.equal(found, number === owner, place)
        assert.equal(states[0]!.value, found ? count : null)
      }
    }
    const own = cluster.plan.steps.filter(node => node.kind === 'operator' && node.spec.keyOfRow && node.spec.stateful)
    let found = 0
    for (const { name } of own) {
      for (let home = 0; home < 5; home++) {
        const there = await Promise.all(cluster.slots.map(slot => slot.inspect(name, String(home), shown)))
        const owner = slotOfKey(cluster.plan, name, String(home))
        found += there.filter(({ found }) => found).length
        assert.deepEqual(
          there.filter(({ found, slot }) => found && slot !== owner),
          [],
          `${name} ${home}`,
        )
      }
    }
    assert.ok(found > 0)
    assert.throws(() => slotOfKey(cluster.plan, 'out', 'k'), { code: 'UNKNOWN_STEP', message: /who.*shop/ })
  })
})

/** A plan that is closed and another that begins, with whoever does it killed at every point; the values are simple here. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type EventTimeMs, eventTime, minutes } from '../../kernel/index.js'
import { intCodec, MemoryDisk, readSavepoint, type ValueState } from '../../state/index.js'
import { Cluster } from '../../testing/cluster/index.js'
import { ManualClock } from '../../testing/index.js'
import { json, type Topology, toJson, topology } from '../../topology/index.js'
import type { Slot } from '../slot/index.js'
import { beginPlan } from './begin.js'
import { closePlan, type OpenSlot, reopenPlan } from './close.js'
import { standingOf } from './standing.js'

const partitions = 4
const points = [
  'started',
  'marked',
  'drained',
  'slot-closed',
  'closed',
  'part-written',
  'published',
  'plan-fenced',
  'slots-fenced',
  'begun',
] as const

interface Sale {
  readonly id: number
  readonly shop: string
  readonly article: string
}

interface Counted extends Sale {
  readonly ofShop: number
  readonly ofArticle: number
}

/** Counts by a key of the input, then by another one: with several slots rows go to another slot and come home. */
function sales(): Topology {
  const app = topology('sales')
  const counter = <In, Out>(of: (value: In, n: number) => Out) => ({
    state: (factory: { value(name: string, codec: typeof intCodec): ValueState<number> }) =>
      factory.value('n', intCodec),
    create: ({ state }: { state: ValueState<number> }) => ({
      onRecord(value: In, _at: EventTimeMs, out: { emit(value: Out): boolean }) {
        const n = (state.get() ?? 0) + 1
        state.set(n)
        return out.emit(of(value, n))
      },
    }),
  })
  app
    .source(
      'sold',
      json<Sale>('sale', value => value as Sale),
      {
        eventTime: ({ id }) => eventTime(id),
        outOfOrderness: minutes(1),
        partitionedBy: { key: 'shop', keyOf: ({ shop }) => shop },
      },
    )
    .keyBy('by-shop', ({ shop }) => shop, 'shop')
    .process(
      'of-shop',
      counter((sale: Sale, ofShop) => ({ ...sale, ofShop })),
    )
    .keyBy('by-article', ({ article }) => article, 'article')
    .process(
      'of-article',
      counter((sale: Sale & { ofShop: number }, ofArticle): Counted => ({ ...sale, ofArticle })),
    )
    .to(
      'counted',
      toJson<Counted>('counted', ({ shop }) => shop),
    )
  return app
}

class Shops {
  readonly cluster: Cluster
  #sent = 0

  private constructor(cluster: Cluster) {
    this.cluster = cluster
  }

  static async open(slots: number): Promise<Shops> {
    return new Shops(await new Cluster(sales(), { slots, partitions }, new ManualClock(0)).start())
  }

  async sell(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const id = this.#sent++
      const shop = `shop-${id % 7}`
      await this.cluster.send('sold', id % partitions, [{ id, shop, article: `article-${id % 5}` }])
    }
  }

  /** Everything that was sent is counted once, as many times as it came, by shop and by article. */
  async verify(): Promise<void> {
    await this.cluster.drain()
    const counted: Counted[] = []
    for (let partition = 0; partition < partitions; partition++) {
      counted.push(...(await this.cluster.read<Counted>('counted', partition)))
    }
    assert.deepEqual(
      counted.map(({ id }) => id).sort((a, b) => a - b),
      Array.from({ length: this.#sent }, (_, id) => id),
    )
    for (const [key, of] of [
      ['shop', 'ofShop'],
      ['article', 'ofArticle'],
    ] as const) {
      const seen = new Map<string, number[]>()
      for (const one of counted) seen.set(one[key], [...(seen.get(one[key]) ?? []), one[of]])
      for (const numbers of seen.values()) {
        assert.deepEqual(
          numbers.sort((a, b) => a - b),
          Array.from({ length: numbers.length }, (_, n) => n + 1),
        )
      }
    }
  }
}

/** What a slot of before may do once nobody has told it anything. */
async function zombies(slots: readonly Slot[]): Promise<void> {
  for (const slot of slots) {
    if (slot.state !== 'running') continue
    await assert.rejects(async () => {
      for (let i = 0; i < 10; i++) await slot.step()
      await slot.mark(null)
    }, /SLOT_FENCED|PLAN_CLOSED/)
  }
}

class Killed extends Error {}

/** Closes the plan, or goes on with that, and is killed at a point. @param occasion which time it comes there, from 1 */
async function killedAt({ cluster }: Shops, to: number, point: string, occasion = 1): Promise<void> {
  let seen = 0
  const at = (reached: string): void => {
    if (reached === point && ++seen === occasion) throw new Killed(point)
  }
  await assert.rejects(cluster.rescale(to, at), Killed)
}

const epochsOf = async ({ cluster }: Shops): Promise<readonly unknown[]> =>
  (await standingOf(cluster.log, 'sales')).last.map(link => link?.hash)

describe('a plan that another follows', () => {
  for (const [from, to] of [
    [1, 3],
    [3, 2],
    [2, 1],
  ] as const) {
    for (const point of points) {
      it(`${from} to ${to} slots, killed when ${point}`, async () => {
        const shops = await Shops.open(from)
        const { cluster } = shops
        await shops.sell(40)
        for (let i = 0; i < 3; i++) for (const slot of cluster.slots) await slot.step()
        await shops.sell(5)
        let killed = 0
        // The second time at the second occasion: between two slots, two parts.
        for (const occasion of [1, 2]) {
          let seen = 0
          const at = (reached: string): void => {
            if (reached === point && ++seen === occasion) throw new Killed(point)
          }
          await cluster.rescale(to, at).catch((error: unknown) => {
            if (!(error instanceof Killed)) throw error
            killed++
          })
          await shops.sell(3)
        }
        assert.ok(killed >= 1)
        const before = cluster.slots
        if ((await standingOf(cluster.log, 'sales')).plan === 1 || killed === 2) await cluster.rescale(to)
        if (before !== cluster.slots) await zombies(before)
        assert.equal(cluster.slots.length, to)
        await shops.sell(20)
        await shops.verify()
      })
    }
  }

  it('whoever closes a closed plan learns that another has begun', async () => {
    const shops = await Shops.open(2)
    const { cluster } = shops
    await shops.sell(20)
    const killed = (point: string) => (reached: string) => {
      if (reached === point) throw new Killed(point)
    }
    await assert.rejects(cluster.rescale(3, killed('closed')), Killed)
    const late = cluster.rescale(3, async point => {
      if (point !== 'started') return
      await cluster.rescale(3)
      await shops.sell(20)
      await cluster.drain()
    })
    await assert.rejects(late, { code: 'PLAN_CLOSED' })
    await shops.verify()
  })
})

describe('who asks for a plan without being able to begin one', () => {
  const nobodyFenced = (point: string): never => assert.fail(`got as far as ${point}`)

  it('leaves a plan alone that has begun as asked for, and refuses what is another', async () => {
    const shops = await Shops.open(2)
    const { cluster } = shops
    await shops.sell(20)
    const before = cluster.plan
    await cluster.rescale(3)
    const saved = await readSavepoint(cluster.savepoints.open(), 'sales', 'plan-1')
    const again = { log: cluster.log, saved, plan: cluster.plan, wishes: {}, at: nobodyFenced }
    assert.equal(await beginPlan(again), 2)
    await assert.rejects(beginPlan({ ...again, plan: before }), { code: 'PLAN_CLOSED' })
    await shops.sell(20)
    for (const slot of cluster.slots) await slot.step()
    assert.ok(cluster.slots.every(({ state }) => state === 'running'))
    await shops.verify()
  })

  it('is refused with a savepoint of a plan that went on, also of one slot', async () => {
    const shops = await Shops.open(1)
    const { cluster } = shops
    await shops.sell(20)
    await cluster.rescale(2)
    const { savepoint, sha256 } = await readSavepoint(cluster.savepoints.open(), 'sales', 'plan-1')
    const saved = { savepoint: { ...savepoint, plan: 2, closed: false }, sha256 }
    const begin = beginPlan({ log: cluster.log, saved, plan: cluster.plan, wishes: {}, at: nobodyFenced })
    await assert.rejects(begin, { code: 'SAVEPOINT_OPEN' })
  })
})

describe('whoever runs the slots of a plan that ends', () => {
  for (const starts of [true, false]) {
    it(`lets go of all of them where none closes${starts ? '' : ' and none starts'}, and says what failed first`, async () => {
      const { cluster } = await Shops.open(3)
      const { log, plan } = cluster
      const released: number[] = []
      const open = async (number: number): Promise<OpenSlot> => ({
        slot: {
          start: () => (starts ? Promise.resolve() : Promise.reject(new Error(`start of ${number}`))),
          close: () => Promise.reject(new Error(`close of ${number}`)),
          closing: undefined,
          step: async () => ({ kind: 'idle' }),
          mark: () => Promise.reject(new Error(`mark of ${number}`)),
          hasDrained: async () => true,
        },
        log,
        backend: new MemoryDisk().open(),
        release: async () => {
          released.push(number)
        },
      })
      const store = cluster.savepoints.open()
      const closing = closePlan({ log, store, plan, name: 'a', clock: new ManualClock(0), open })
      await assert.rejects(closing, { message: starts ? 'mark of 0' : 'start of 0' })
      assert.deepEqual(released.splice(0), [0, 1, 2])
      await assert.rejects(reopenPlan({ log, plan, open }), { message: starts ? 'close of 0' : 'start of 0' })
      assert.deepEqual(released.splice(0), [0, 1, 2])
      const third = (number: number) => (number < 2 ? open(number) : Promise.reject(new Error('no third')))
      await assert.rejects(reopenPlan({ log, plan, open: third }), { message: 'no third' })
      assert.deepEqual(released, [0, 1])
    })
  }
})

describe('a plan whose closing is given up', () => {
  for (const slots of [1, 3]) {
    for (const point of ['started', 'marked', 'drained']) {
      it(`goes on with its ${slots} slots when whoever closed it was killed when ${point}`, async () => {
        const shops = await Shops.open(slots)
        const { cluster } = shops
        await shops.sell(40)
        for (let i = 0; i < 3; i++) for (const slot of cluster.slots) await slot.step()
        await killedAt(shops, 2, point)
        await shops.sell(7)
        await zombies(await cluster.reopen())
        const { plan, ends } = await standingOf(cluster.log, 'sales')
        assert.deepEqual({ plan, ends }, { plan: 1, ends: undefined })
        await shops.sell(20)
        await shops.verify()
        // Into another savepoint, and nothing is left of the first try.
        await cluster.rescale(2)
        await shops.sell(20)
        await shops.verify()
      })
    }
  }

  it('goes on when whoever gave it up was killed between two slots', async () => {
    const shops = await Shops.open(3)
    const { cluster } = shops
    await shops.sell(40)
    await killedAt(shops, 2, 'marked')
    let opened = 0
    const killed = cluster.reopen(slot => {
      if (++opened === 2) slot.mark = () => Promise.reject(new Killed())
    })
    await assert.rejects(killed, Killed)
    assert.notEqual((await standingOf(cluster.log, 'sales')).ends, undefined)
    await cluster.reopen()
    await shops.sell(20)
    await shops.verify()
  })

  for (const occasion of [1, 2]) {
    it(`does not go on once a slot is closed, of which ${occasion} are: nothing is written, and the closing goes on`, async () => {
      const shops = await Shops.open(2)
      const { cluster } = shops
      await shops.sell(40)
      await killedAt(shops, 3, 'slot-closed', occasion)
      const before = await epochsOf(shops)
      await assert.rejects(cluster.reopen(), /PLAN_CLOSED: slot \d of plan 1 is closed into 'plan-1' already/)
      assert.deepEqual(await epochsOf(shops), before)
      await cluster.rescale(3)
      await shops.sell(20)
      await shops.verify()
    })
  }

  it('sees behind its own fence that a slot was closed meanwhile', async () => {
    const shops = await Shops.open(2)
    const { cluster } = shops
    await shops.sell(40)
    await killedAt(shops, 3, 'drained')
    let opened = 0
    // Another command gets on when the first slot is opened.
    const meanwhile = cluster.reopen(async () => {
      if (opened++ === 0) await killedAt(shops, 3, 'slot-closed')
    })
    await assert.rejects(meanwhile, /PLAN_CLOSED/)
    await cluster.rescale(3)
    await shops.verify()
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteReader, ByteWriter, days, eventTime, WeirError } from '../../kernel/index.js'
import { MemoryDisk } from '../backends/memory.js'
import { MemoryObjects } from '../checkpoint/stores/memory.js'
import { intCodec, stringCodec } from '../codecs.js'
import type { PagedCodec, StateCodec, StateFactory } from '../handles.js'
import { type EventLog, eventLogCodec } from '../model/event-log.js'
import { StateStore } from '../store.js'
import { avroCodec } from './avro.js'
import { type CodecMigration, CodecMigrations } from './codec-migrations.js'
import { type Migration, type MigrationWishes, planMigration } from './migration.js'
import { restoreSavepoint } from './restore.js'
import type { Savepoint } from './savepoint.js'
import { declaredState, type StepStateSchema } from './schema.js'
import { keyGroups, positionOf, savepointOf } from './testing/bench.js'

type Declare = (state: StateFactory) => unknown
const schemaOf = (steps: Readonly<Record<string, Declare>>): readonly StepStateSchema[] =>
  Object.entries(steps).map(([step, declare]) => ({ step, handles: declaredState(declare) }))

const point = (steps: readonly StepStateSchema[], changes: Partial<Savepoint> = {}) => ({
  name: 'point',
  closed: true,
  slots: 1,
  steps,
  ...changes,
})

const planned = (
  from: Readonly<Record<string, Declare>>,
  to: Readonly<Record<string, Declare>>,
  wishes: MigrationWishes = {},
  migrations?: CodecMigrations,
): Migration => planMigration(point(schemaOf(from)), schemaOf(to), wishes, migrations)

function refusal(...args: Parameters<typeof planned>): string {
  try {
    planned(...args)
  } catch (error) {
    assert.ok(error instanceof WeirError && error.code === 'STATE_INCOMPATIBLE', String(error))
    return error.message
  }
  return assert.fail('it was not refused')
}

const value =
  (name: string, codec: StateCodec<never> | StateCodec<unknown>): Declare =>
  state =>
    state.value(name, codec as StateCodec<unknown>)
const text = value('v', stringCodec as StateCodec<never>)
const paged =
  (codec: Partial<PagedCodec<EventLog>>): Declare =>
  state =>
    state.paged('log', { ...eventLogCodec, ...codec })

describe('planMigration', () => {
  it('takes what is the same as it is; steps and states that are new begin empty', () => {
    const migration = planned({ a: text }, { a: state => [text(state), state.map('m', intCodec)], b: text })
    assert.deepEqual(migration, [
      { from: 'a', to: 'a', handles: [{ from: 'v', to: 'v', kind: 'value', change: null }] },
    ])
    assert.deepEqual(JSON.parse(JSON.stringify(migration)), migration)
  })

  it('loses nothing that nobody has named', () => {
    const both: Declare = state => [text(state), state.map('m', intCodec)]
    assert.match(refusal({ a: text }, { b: text }), /step 'a': the plan has none .*drop a, or rename a=NEW/)
    assert.match(refusal({ a: both }, { a: text }), /step 'a', state 'm': the plan has none .*drop a\/m/)
    assert.deepEqual(planned({ a: text }, { b: text }, { drop: ['a'] })[0]!.to, null)
    assert.deepEqual(planned({ a: text }, { b: text }, { rename: { a: 'b' } })[0]!.to, 'b')
    assert.equal(planned({ a: both }, { a: text }, { drop: ['a/m'] })[0]!.handles[1]!.to, null)
    const renamed = planned(
      { a: text },
      { b: value('w', stringCodec as StateCodec<never>) },
      { rename: { a: 'b', 'a/v': 'w' } },
    )
    assert.deepEqual(renamed[0]!.handles[0], { from: 'v', to: 'w', kind: 'value', change: null })
  })

  it('refuses wishes that meet nothing, and two that meet in one place', () => {
    for (const wishes of [{ drop: ['b'] }, { drop: ['a/x'] }, { rename: { b: 'a' } }]) {
      assert.throws(() => planned({ a: text }, { a: text }, wishes), { code: 'USAGE' }, JSON.stringify(wishes))
    }
    assert.match(refusal({ a: text, b: text }, { b: text }, { rename: { a: 'b' } }), /'b' would have the state of two/)
  })

  it('names step, state and difference, of all that do not fit', () => {
    const map: Declare = state => state.map('v', stringCodec)
    assert.match(refusal({ a: text }, { a: map }), /step 'a', state 'v': a value has become a map \(drop a\/v\)/)
    assert.match(refusal({ a: text }, { a: value('v', intCodec as StateCodec<never>) }), /codec string has become int/)
    const message = refusal({ a: text, b: text, c: text }, { a: map, b: text })
    assert.match(message, /step 'a', .*; step 'c': /)
    assert.ok(!message.includes("'b'"))
  })

  it('goes by versions and layouts, and by the migrations that there are', () => {
    const second = { version: 2 }
    assert.match(refusal({ a: paged({}) }, { a: paged(second) }), /codec event-log has version 2, and does not read 1/)
    assert.match(refusal({ a: paged(second) }, { a: paged({}) }), /has version 1, and does not read 2/)
    const small = { layout: { page: 4 } }
    assert.match(refusal({ a: paged({}) }, { a: paged(small) }), /laid out as \{"page":4\}, and was as undefined/)
    const migrations = new CodecMigrations()
    const entry: CodecMigration['entry'] = ({ bytes }) => bytes
    migrations.register({ codec: 'event-log', from: 1, to: 2, entry })
    assert.throws(() => migrations.register({ codec: 'event-log', from: 1, to: 3, entry }), /registered already/)
    migrations.register({ codec: 'event-log', from: 2, to: 4, layout: () => ({ page: 4 }), entry })
    const [step] = planned({ a: paged({}) }, { a: paged({ version: 4, ...small }) }, {}, migrations)
    assert.deepEqual(step!.handles[0]!.change, {
      from: { name: 'event-log', version: 1 },
      to: { name: 'event-log', version: 4, layout: { page: 4 } },
    })
    assert.match(refusal({ a: paged({}) }, { a: paged({ version: 4 }) }, {}, migrations), /laid out/)
    assert.match(refusal({ a: paged({}) }, { a: paged({ version: 3 }) }, {}, migrations), /does not read 1/)
  })

  it('reads another layout of the same version as it is where the codec says so', () => {
    const migrations = new CodecMigrations()
    migrations.registerLayouts('event-log', (before, after) => Number(before) >= Number(after))
    assert.throws(() => migrations.registerLayouts('event-log', () => true), /registered already/)
    const from = (before: number, after: number): Migration =>
      planned({ a: paged({ layout: before }) }, { a: paged({ layout: after }) }, {}, migrations)
    assert.equal(from(2, 1)[0]!.handles[0]!.change, null)
    assert.throws(() => from(1, 2), /codec event-log is laid out as 2, and was as 1/)
  })

  it('resolves Avro schemas, or says why not', () => {
    const avro = (schema: unknown): Declare => value('v', avroCodec(schema as never) as StateCodec<never>)
    const of = (...fields: unknown[]) => avro({ type: 'record', name: 'R', fields })
    const [x, y] = [
      { name: 'x', type: 'int' },
      { name: 'y', type: 'int' },
    ]
    assert.ok(planned({ a: of(x) }, { a: of(x, { ...y, default: 0 }) })[0]!.handles[0]!.change !== null)
    assert.match(refusal({ a: of(x) }, { a: of(x, y) }), /step 'a', state 'v': by the rules of Avro .*y/)
    assert.match(refusal({ a: of(x) }, { a: text }), /codec avro-[0-9a-f]{16} has become string/)
  })

  it('lets go of what is between slots, and of nothing while something may be under way', () => {
    const steps: StepStateSchema[] = [
      { step: 'home', exchange: true, handles: declaredState(text) },
      ...schemaOf({ a: text }),
    ]
    assert.deepEqual(
      planMigration(point(steps, { slots: 3 }), schemaOf({ a: text })).map(({ to }) => to),
      [null, 'a'],
    )
    assert.throws(() => planMigration(point(steps, { slots: 3, closed: false }), steps), { code: 'SAVEPOINT_OPEN' })
    assert.equal(planMigration(point(schemaOf({ a: text }), { closed: false }), schemaOf({ a: text }))[0]!.to, 'a')
  })
})

describe('a restore with changes', () => {
  /** What operators of one version leave, and what those of another find. */
  async function moved<A, B>(
    before: {
      readonly step: string
      readonly declare: (state: StateFactory) => A
      readonly fill: (handles: A, key: number) => void
    },
    after: { readonly step: string; readonly declare: (state: StateFactory) => B },
    {
      wishes = {},
      migrations,
      also = {},
    }: { wishes?: MigrationWishes; migrations?: CodecMigrations; also?: Readonly<Record<string, Declare>> } = {},
  ): Promise<{ readonly at: <R>(key: number, look: (handles: B) => R) => Promise<R>; readonly timers: number[] }> {
    const old = new MemoryDisk().open()
    const store = await StateStore.open({ backend: old, keyGroups })
    for (const [name, declare] of [[before.step, before.declare], ...Object.entries(also)] as [string, Declare][]) {
      const step = store.step(name)
      const handles = declare(step)
      await step.prefetch(['key-0', 'key-1'])
      for (const key of [0, 1]) {
        step.beginCall()
        step.enter(`key-${key}`)
        if (name === before.step) before.fill(handles as A, key)
        step.timers.timerAt(eventTime(50 + key))
        step.endCall()
      }
    }
    await store.write(store.serialise(), positionOf(1), { sync: false })
    const objects = new MemoryObjects().open()
    const savepoint = await savepointOf(objects, [old], { steps: schemaOf({ [before.step]: before.declare, ...also }) })
    const backend = new MemoryDisk().open()
    const migration = planMigration(savepoint, schemaOf({ [after.step]: after.declare }), wishes, migrations)
    await restoreSavepoint(objects, savepoint, {
      backend,
      migration: JSON.parse(JSON.stringify(migration)) as Migration,
      ownsGroup: () => true,
      position: positionOf(2),
      ...(migrations && { migrations }),
    })
    const next = await StateStore.open({ backend, keyGroups })
    const step = next.step(after.step)
    const handles = after.declare(step)
    return {
      at: async (key, look) => {
        await step.prefetch([`key-${key}`])
        for (;;) {
          try {
            step.beginCall()
            step.enter(`key-${key}`)
            return look(handles)
          } catch (error) {
            if (!step.missing) throw error
            await step.loadMissing()
          }
        }
      },
      timers: [...step.timers.timesOf('key-0'), ...step.timers.timesOf('key-1')],
    }
  }

  interface V1 {
    readonly count: number
    readonly last: string
  }
  interface V2 {
    readonly count: number
    readonly limit: number
  }
  const v1 = avroCodec<V1>({
    type: 'record',
    name: 'C',
    fields: [
      { name: 'count', type: 'int' },
      { name: 'last', type: 'string' },
    ],
  })
  const v2 = avroCodec<V2>({
    type: 'record',
    name: 'C',
    fields: [
      { name: 'limit', type: 'double', default: 2.5 },
      { name: 'count', type: 'long' },
    ],
  })

  it('makes values and entries of maps anew by their schemas', async () => {
    const { at, timers } = await moved(
      {
        step: 'a',
        declare: state => ({ v: state.value('v', v1), m: state.map('m', v1), same: state.value('same', intCodec) }),
        fill: ({ v, m, same }, key) => {
          same.set(key)
          v.set({ count: key, last: 'x' })
          for (const sub of ['p', 'q']) m.set(sub, { count: key + 10, last: sub })
        },
      },
      {
        step: 'a',
        declare: state => ({ v: state.value('v', v2), m: state.map('m', v2), same: state.value('same', intCodec) }),
      },
    )
    for (const key of [0, 1]) {
      await at(key, ({ v, m, same }) => {
        assert.deepEqual({ ...v.get() }, { limit: 2.5, count: key })
        assert.deepEqual(
          m.entries().map(([sub, of]) => [sub, of.count]),
          [
            ['p', key + 10],
            ['q', key + 10],
          ],
        )
        assert.equal(same.get(), key)
      })
    }
    assert.deepEqual(timers, [50, 51])
  })

  it('makes state that ends anew by its schemas, and says what it cannot do', async () => {
    const ends = { ttl: days(30) }
    const { at } = await moved(
      {
        step: 'a',
        declare: state => ({ v: state.value('v', v1, ends), m: state.map('m', v1, { entriesMax: 5 }) }),
        fill: ({ v, m }, key) => {
          v.set({ count: key, last: 'x' })
          for (const sub of ['p', 'q']) m.set(sub, { count: key + 10, last: sub })
        },
      },
      {
        step: 'a',
        declare: state => ({ v: state.value('v', v2, ends), m: state.map('m', v2, { ...ends, entriesMax: 7 }) }),
      },
    )
    for (const key of [0, 1]) {
      await at(key, ({ v, m }) => {
        assert.deepEqual({ ...v.get() }, { limit: 2.5, count: key })
        assert.deepEqual(
          m.entries().map(([sub, of]) => [sub, of.count, of.limit]),
          [
            ['p', key + 10, 2.5],
            ['q', key + 10, 2.5],
          ],
        )
      })
    }
    const [plain, held] = [{ a: text }, { a: (state: StateFactory) => state.value('v', stringCodec, ends) }] as const
    assert.match(refusal(plain, held), /step 'a', state 'v': it ends now .*, and did not before, which is another form/)
    assert.match(refusal(held, plain), /it ends no more/)
    const map = (codec: StateCodec<string>) => ({ a: (state: StateFactory) => state.map('m', codec, ends) })
    const migrations = new CodecMigrations()
    migrations.register({ codec: 'string', from: 1, to: 2, entry: ({ bytes }) => bytes })
    const second = { ...stringCodec, version: 2 }
    assert.match(refusal(map(stringCodec), map(second), {}, migrations), /made anew by Avro schemas alone/)
  })

  it('moves what was renamed, timers and all, and leaves out what was dropped', async () => {
    const { at, timers } = await moved(
      {
        step: 'a',
        declare: state => ({ v: state.value('v', stringCodec), gone: state.map('gone', intCodec) }),
        fill: ({ v, gone }, key) => {
          v.set(`of ${key}`)
          gone.set('x', 1)
        },
      },
      { step: 'z', declare: state => ({ w: state.value('w', stringCodec), gone: state.map('gone', stringCodec) }) },
      { wishes: { rename: { a: 'z', 'a/v': 'w' }, drop: ['a/gone', 'b'] }, also: { b: text } },
    )
    await at(1, ({ w, gone }) => {
      assert.equal(w.get(), 'of 1')
      assert.deepEqual(gone.entries(), [])
    })
    assert.deepEqual(timers, [50, 51])
  })

  it('takes the registered way from an older version of a codec, through roots and pages', async () => {
    // What was counted in ones is counted in tens, and after that in hundreds.
    const migrations = new CodecMigrations()
    const tens: CodecMigration['entry'] = ({ id, bytes }) => {
      const [from, into] = [new ByteReader(bytes), new ByteWriter()]
      if (id === undefined) {
        into.varint(from.varint())
        into.f64(from.f64())
      }
      const count = from.varint()
      into.varint(count)
      for (let i = 0; i < count; i++) into.varint(10 * from.varint())
      assert.equal(from.remaining, 0)
      return into.take()
    }
    migrations.register({ codec: 'event-log', from: 1, to: 2, entry: tens })
    migrations.register({ codec: 'event-log', from: 2, to: 3, entry: tens })
    const { at } = await moved(
      {
        step: 'a',
        declare: state => state.paged('log', eventLogCodec),
        fill: (log, key) => {
          log.touch()
          for (let i = 0; i < 10; i++) log.get().append(i + key, 9_999)
        },
      },
      { step: 'a', declare: state => state.paged('log', { ...eventLogCodec, version: 3 }) },
      { migrations },
    )
    await at(1, log => {
      const items = [0, 1].flatMap(page => log.get().page(page))
      assert.deepEqual(
        [...items, ...log.get().head],
        Array.from({ length: 10 }, (_, i) => 100 * (i + 1)),
      )
    })
  })

  it('stops at a value that cannot be made anew, and tells neither key nor value', async () => {
    const migrations = new CodecMigrations()
    migrations.register({
      codec: 'string',
      from: 1,
      to: 2,
      entry: () => {
        throw new Error('no way')
      },
    })
    const make = moved(
      { step: 'a', declare: state => state.value('v', stringCodec), fill: v => v.set('secret') },
      { step: 'a', declare: state => state.value('v', { ...stringCodec, version: 2 }) },
      { migrations },
    )
    await assert.rejects(make, error => {
      assert.ok(error instanceof WeirError && error.code === 'STATE_INCOMPATIBLE')
      assert.match(error.message, /step 'a', state 'v', key group \d+: no way/)
      assert.ok(!/key-|secret/.test(error.message))
      return true
    })
  })

  it('refuses a savepoint that holds what it does not name', async () => {
    const backend = new MemoryDisk().open()
    const store = await StateStore.open({ backend, keyGroups })
    const step = store.step('hidden')
    const v = step.value('v', stringCodec)
    await step.prefetch(['k'])
    step.beginCall()
    step.enter('k')
    v.set('x')
    step.endCall()
    await store.write(store.serialise(), positionOf(1), { sync: false })
    const objects = new MemoryObjects().open()
    for (const [steps, message] of [
      [schemaOf({ a: text }), /a step 'hidden'/],
      [schemaOf({ hidden: state => state.value('w', stringCodec) }), /a state 'v' of step 'hidden'/],
    ] as const) {
      const savepoint = await savepointOf(objects, [backend], { steps })
      const options = { backend: new MemoryDisk().open(), ownsGroup: () => true, position: positionOf(2) }
      const migration = planMigration(savepoint, steps)
      await assert.rejects(restoreSavepoint(objects, savepoint, { ...options, migration }), {
        code: 'CHECKPOINT_CORRUPT',
        message,
      })
    }
  })
})

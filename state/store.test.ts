import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { ByteWriter, days, type EventTimeMs, eventTime } from '../kernel/index.js'
import type { StateBackend, StateEntry } from './backend.js'
import { MemoryDisk } from './backends/memory.js'
import { intCodec, stringCodec } from './codecs.js'
import { formatKey, formatVersion, positionKey, turnKey } from './meta.js'
import { StateMiss } from './miss.js'
import { EventLog, eventLogCodec } from './model/event-log.js'
import type { StepState } from './step.js'
import { StateStore } from './store.js'

const position = (epoch: number) => ({ epoch, journalHash: `hash ${epoch}`, fingerprint: 'topology' })
const everything = (backend: StateBackend): Promise<StateEntry[]> =>
  backend.range({ gte: Buffer.of(0), lt: Buffer.of(0xff), limit: 1_000_000 })

/** A store on a disk, with one step of one handle of each kind. */
class Bench {
  readonly disk = new MemoryDisk()
  backend!: StateBackend
  store!: StateStore
  reads = 0

  async open(
    options: { cacheBytesMax?: number; keyGroups?: number; timersPerKeyMax?: number } = {},
  ): Promise<StateStore> {
    this.backend = this.disk.open()
    const counted: StateBackend = {
      getMany: keys => {
        this.reads += keys.length
        return this.backend.getMany(keys)
      },
      range: options => this.backend.range(options),
      snapshot: range => this.backend.snapshot(range),
      batch: () => this.backend.batch(),
      write: (batch, options) => this.backend.write(batch, options),
      close: () => this.backend.close(),
    }
    this.store = await StateStore.open({ backend: counted, keyGroups: 8, ...options })
    this.reads = 0
    return this.store
  }

  declare(name = 'step') {
    const step = this.store.step(name)
    return {
      step,
      value: step.value('value', stringCodec),
      map: step.map('map', intCodec),
      log: step.paged<EventLog>('log', eventLogCodec),
    }
  }

  async commit(epoch: number): Promise<void> {
    await this.store.write(this.store.serialise(), position(epoch), { sync: true })
  }
}

/** What an operator call of the engine does. @returns how often it missed */
async function call(step: StepState, key: string, body: () => void): Promise<number> {
  for (let misses = 0; ; misses++) {
    try {
      step.beginCall()
      step.enter(key)
      body()
      step.endCall()
      return misses
    } catch (error) {
      if (!(error instanceof StateMiss)) throw error
      step.rollbackCall()
      await step.loadMissing()
    }
  }
}

describe('state store', () => {
  let bench: Bench
  beforeEach(() => {
    bench = new Bench()
  })

  it('I2: the backend stays as it is until the write, which brings the position along', async () => {
    const store = await bench.open()
    const { step, value } = bench.declare()
    await call(step, 'k', () => value.set('one'))
    await bench.commit(1)
    const before = await everything(bench.backend)
    await call(step, 'k', () => value.set('two'))
    await call(step, 'l', () => value.set('new'))
    const pending = store.serialise()
    assert.ok(pending.operations > 0 && pending.bytes > 0)
    assert.deepEqual(await everything(bench.backend), before)
    assert.deepEqual(store.reflects, position(1))
    await store.write(pending, position(2), { sync: true })
    assert.deepEqual(store.reflects, position(2))
    assert.notDeepEqual(await everything(bench.backend), before)
  })

  it('I2: a crash between serialise and write leaves the old content at the old position', async () => {
    await bench.open()
    const first = bench.declare()
    await call(first.step, 'k', () => first.value.set('one'))
    await bench.commit(1)
    await call(first.step, 'k', () => first.value.set('two'))
    bench.store.serialise()
    bench.disk.crash()
    const store = await bench.open()
    assert.deepEqual(store.reflects, position(1))
    const { step, value } = bench.declare()
    await call(step, 'k', () => assert.equal(value.get(), 'one'))
  })

  it('what is serialised is the boundary, not what came after', async () => {
    await bench.open()
    const { step, value, log } = bench.declare()
    await call(step, 'k', () => {
      value.set('one')
      log.touch()
      log.get().append(1, Number.MAX_SAFE_INTEGER)
    })
    const pending = bench.store.serialise()
    await call(step, 'k', () => {
      value.set('two')
      log.touch()
      log.get().append(2, Number.MAX_SAFE_INTEGER)
    })
    await bench.store.write(pending, position(1), { sync: false })
    await bench.store.discard()
    const again = bench.declare()
    await call(again.step, 'k', () => {
      assert.equal(again.value.get(), 'one')
      assert.deepEqual(again.log.get().head, [1])
    })
  })

  it('a write that fails leaves everything to discard', async () => {
    await bench.open()
    const { step, value } = bench.declare()
    await call(step, 'k', () => value.set('one'))
    const pending = bench.store.serialise()
    await bench.backend.close()
    await assert.rejects(bench.store.write(pending, position(1), { sync: true }), { code: 'BACKEND_FAILED' })
    assert.equal(bench.store.evict(), 0)
    const store = await bench.open()
    assert.equal(store.reflects, undefined)
  })

  it('a new key is read once, and its map needs no read at all', async () => {
    await bench.open()
    const { step, value, map, log } = bench.declare()
    await step.prefetch(['new', 'new', 'other'])
    assert.equal(bench.reads, 6)
    const misses = await call(step, 'new', () => {
      assert.equal(value.get(), undefined)
      assert.equal(map.get('a'), undefined)
      map.set('a', 1)
      assert.deepEqual(map.entries(), [['a', 1]])
      log.get()
    })
    assert.equal(misses, 0)
    await step.prefetch(['new'])
    assert.equal(bench.reads, 6)
  })

  it('a map that was emptied is as cheap as one that never was', async () => {
    await bench.open()
    const { step, map } = bench.declare()
    await call(step, 'k', () => map.set('a', 1))
    await bench.commit(1)
    await call(step, 'k', () => map.delete('a'))
    await bench.commit(2)
    assert.deepEqual(
      (await everything(bench.backend)).filter(({ key }) => key[0] === 0x11),
      [],
    )
    await bench.store.discard()
    const again = bench.declare()
    await again.step.prefetch(['k'])
    assert.equal(await call(again.step, 'k', () => assert.deepEqual(again.map.entries(), [])), 0)
  })

  it('iterates in the order of UTF-8 bytes, from memory and from the backend', async () => {
    await bench.open()
    const first = bench.declare()
    // UTF-16 order would put the astral ones before U+FFFF
    const inOrder = ['', '\0', 'a', 'aa', 'z', 'é', '\uffff', '😀', '😀a', '\u{10ffff}']
    await call(first.step, 'k', () => {
      for (const subKey of [...inOrder].reverse()) first.map.set(subKey, 1)
    })
    const keys = (map: typeof first.map): string[] => map.entries().map(([subKey]) => subKey)
    await call(first.step, 'k', () => assert.deepEqual(keys(first.map), inOrder))
    await bench.commit(1)
    await bench.store.discard()
    const { step, map } = bench.declare()
    await call(step, 'k', () => {
      map.set('b', 2)
      assert.deepEqual(keys(map), [...inOrder.slice(0, 4), 'b', ...inOrder.slice(4)])
    })
  })

  it('takes back what a call set, cleared and deleted, timers included', async () => {
    await bench.open()
    const { step, value, map } = bench.declare()
    await call(step, 'k', () => {
      value.set('one')
      map.set('a', 1)
      step.timers.timerAt(eventTime(5))
    })
    step.beginCall()
    step.enter('k')
    value.set('two')
    value.clear()
    map.delete('a')
    map.set('b', 2)
    step.timers.cancel(eventTime(5))
    step.timers.timerAt(eventTime(3))
    step.rollbackCall()
    assert.equal(value.get(), 'one')
    assert.deepEqual(map.entries(), [['a', 1]])
    assert.deepEqual(step.timers.due(eventTime(9)), { key: 'k', at: 5 })
  })

  it('discard drops what was not written, and handles are declared anew', async () => {
    await bench.open()
    const { step, value } = bench.declare()
    await call(step, 'k', () => value.set('one'))
    assert.ok(bench.store.dirtyBytes > 0)
    assert.throws(() => bench.store.step('step'), { code: 'DUPLICATE_STEP' })
    await bench.store.discard()
    assert.equal(bench.store.dirtyBytes, 0)
    assert.equal(bench.store.cacheBytes, 0)
    const again = bench.declare()
    await call(again.step, 'k', () => assert.equal(again.value.get(), undefined))
  })

  it('reset empties the backend; a reset cut short is finished by the next open', async () => {
    await bench.open()
    const { step, value } = bench.declare()
    await call(step, 'k', () => value.set('one'))
    await bench.commit(1)
    const left = await everything(bench.backend)
    await bench.store.reset()
    assert.deepEqual(await everything(bench.backend), [])
    assert.equal(bench.store.reflects, undefined)
    const batch = bench.backend.batch()
    for (const { key, value } of left) if (!key.includes('position')) batch.put(key, value)
    await bench.backend.write(batch, { sync: true })
    bench.disk.crash()
    await bench.open()
    assert.deepEqual(await everything(bench.backend), [])
  })

  it('evicts down to its bound, but nothing dirty', async () => {
    await bench.open({ cacheBytesMax: 20_000 })
    const { step, value } = bench.declare()
    const keys = Array.from({ length: 500 }, (_, i) => `key ${i}`)
    await step.prefetch(keys)
    for (const key of keys) await call(step, key, () => value.set(key))
    assert.equal(bench.store.evict(), 0)
    const pending = bench.store.serialise()
    assert.equal(bench.store.dirtyBytes, 0)
    assert.equal(bench.store.evict(), 0)
    await bench.store.write(pending, position(1), { sync: false })
    assert.ok(bench.store.evict() > 400)
    assert.ok(bench.store.cacheBytes <= 20_000 && bench.store.cacheBytes > 15_000)
    for (const key of keys) await call(step, key, () => assert.equal(value.get(), key))
    bench.store.evict()
    assert.ok(bench.store.cacheBytes <= 20_000)
  })

  it('a read that an eviction overtakes is made again', async () => {
    await bench.open({ cacheBytesMax: 0 })
    const { step, value } = bench.declare()
    let release = (): void => undefined
    const original = bench.backend.getMany.bind(bench.backend)
    const stale = step.prefetch([])
    await stale
    bench.backend.getMany = async keys => {
      const values = await original(keys)
      bench.backend.getMany = original
      await new Promise<void>(resolve => {
        release = resolve
      })
      return values
    }
    const slow = step.prefetch(['k'])
    await new Promise(resolve => setImmediate(resolve))
    await call(step, 'k', () => value.set('new'))
    await call(step, 'other', () => undefined)
    await bench.commit(1)
    while (bench.store.evict() > 0);
    assert.equal(step.entries.has('k'), false)
    release()
    await slow
    await call(step, 'k', () => assert.equal(value.get(), 'new'))
  })

  it('a page that was saved and dropped is read from what is on its way to the backend', async () => {
    await bench.open()
    const { step, log } = bench.declare()
    await call(step, 'k', () => {
      log.touch()
      for (let i = 0; i < 9; i++) log.get().append(i, Number.MAX_SAFE_INTEGER)
    })
    const pending = bench.store.serialise()
    assert.equal(await call(step, 'k', () => assert.deepEqual(log.get().page(1), [4, 5, 6, 7])), 0)
    await bench.store.write(pending, position(1), { sync: false })
    assert.equal(await call(step, 'k', () => assert.deepEqual(log.get().page(0), [0, 1, 2, 3])), 1)
  })

  it('refuses two handles of one name, keys past the bound, and timers past theirs', async () => {
    await bench.open({ timersPerKeyMax: 2 })
    const { step, map } = bench.declare()
    assert.throws(() => step.value('map', intCodec), { code: 'DUPLICATE_STATE' })
    await assert.rejects(step.prefetch(['x'.repeat(65_536)]), { code: 'STATE_KEY_TOO_LONG' })
    await call(step, 'x'.repeat(65_535), () => {
      assert.throws(() => map.set('😀'.repeat(16_384), 1), { code: 'STATE_KEY_TOO_LONG' })
      for (const at of [1, 1, 2, 2]) step.timers.timerAt(eventTime(at))
      assert.throws(() => step.timers.timerAt(eventTime(3)), { code: 'TIMER_LIMIT', message: /2 timers for one key;/ })
    })
  })

  it('refuses the directory of a newer Weir, and one with other key groups', async () => {
    await bench.open()
    await bench.commit(1)
    bench.disk.crash()
    await assert.rejects(bench.open({ keyGroups: 16 }), { code: 'FINGERPRINT_MISMATCH' })
    const batch = bench.backend.batch()
    batch.put(formatKey(new Uint8Array(0)), Buffer.of(formatVersion + 1))
    await bench.backend.write(batch, { sync: true })
    bench.disk.crash()
    await assert.rejects(bench.open(), { code: 'STATE_FORMAT' })
  })

  it('keeps where the journal goes on, and opens a store of format 1, which does not', async () => {
    const store = await bench.open()
    const resume = { offset: 2 ** 40, genesis: '{"v":1}' }
    await store.write(store.serialise(), { ...position(3), resume }, { sync: true })
    bench.disk.crash()
    assert.deepEqual((await bench.open()).reflects, { ...position(3), resume })
    const { epoch, journalHash, fingerprint } = position(2)
    const into = new ByteWriter()
    into.varint(epoch)
    into.string(journalHash)
    into.string(fingerprint)
    into.varint(8)
    into.f64(5)
    const batch = bench.backend.batch()
    batch.put(formatKey(new Uint8Array(0)), Buffer.of(1))
    batch.put(positionKey(new Uint8Array(0)), into.take())
    await bench.backend.write(batch, { sync: true })
    bench.disk.crash()
    assert.deepEqual((await bench.open()).reflects, position(2))
    await bench.commit(4)
    bench.disk.crash()
    assert.deepEqual((await bench.open()).reflects, position(4))
  })

  it('is empty when one of its last write-backs is not in it', async () => {
    for (const lost of [1, 2, 3]) {
      await bench.open()
      for (const epoch of [1, 2, 3]) await bench.commit(epoch)
      bench.disk.crash()
      assert.deepEqual((await bench.open()).reflects, position(3))
      const batch = bench.backend.batch()
      batch.delete(turnKey(new Uint8Array(0), lost))
      await bench.backend.write(batch, { sync: true })
      bench.disk.crash()
      const store = await bench.open()
      assert.deepEqual([store.reflects, store.takeDamage(), store.takeDamage()], [undefined, true, false])
      assert.deepEqual(await everything(bench.backend), [])
      bench.disk.crash()
    }
  })

  it('an entry that does not decode is BACKEND_FAILED, naming its step and not its key', async () => {
    await bench.open()
    const { step, value } = bench.declare()
    await call(step, 'anna-smith', () => value.set('one'))
    await bench.commit(1)
    const [entry] = (await everything(bench.backend)).filter(({ key }) => key[0] === 0x11)
    const batch = bench.backend.batch()
    batch.put(entry!.key, Buffer.of(200))
    await bench.backend.write(batch, { sync: true })
    await bench.store.discard()
    await assert.rejects(bench.declare().step.prefetch(['anna-smith']), {
      code: 'BACKEND_FAILED',
      message: /^BACKEND_FAILED: state 'value' of step 'step' does not decode in key group \d+; (?!.*anna)/,
    })
  })

  it('two stores share a backend under two namespaces', async () => {
    const backend = new MemoryDisk().open()
    const open = (namespace: string) => StateStore.open({ backend, keyGroups: 4, namespace: Buffer.from(namespace) })
    const [a, b] = [await open('a'), await open('b')]
    for (const [store, text] of [
      [a, 'of a'],
      [b, 'of b'],
    ] as const) {
      const step = store.step('step')
      const value = step.value('value', stringCodec)
      await call(step, 'k', () => value.set(text))
      await store.write(store.serialise(), position(1), { sync: false })
    }
    await b.reset()
    await a.discard()
    const step = a.step('step')
    const value = step.value('value', stringCodec)
    await call(step, 'k', () => assert.equal(value.get(), 'of a'))
    assert.equal(b.reflects, undefined)
  })
})

describe('expiry', () => {
  const day = days(1)
  let bench: Bench
  beforeEach(async () => {
    bench = new Bench()
    await bench.open()
  })
  const append = (at: ReturnType<Bench['declare']>, key: string, count: number, expiresAt: number) =>
    call(at.step, key, () => {
      at.log.touch()
      for (let i = 0; i < count; i++) at.log.get().append(i, expiresAt)
    })

  it('an object past its time is absent, resident or not, and its pages go with the next save', async () => {
    const first = bench.declare()
    await append(first, 'k', 10, 5 * day)
    await bench.commit(1)
    bench.store.setExpiryClock(5 * day)
    await call(first.step, 'k', () => assert.equal(first.log.get().pageCount, 2))
    bench.store.setExpiryClock(5 * day + 1)
    assert.equal(await call(first.step, 'k', () => assert.equal(first.log.get().pageCount, 0)), 1)
    assert.equal(await call(first.step, 'k', () => first.log.get()), 0)
    await append(first, 'k', 1, 9 * day)
    await bench.commit(2)
    const left = (await everything(bench.backend)).filter(({ key }) => key[0] === 0x11)
    assert.equal(left.length, 1)

    await append(first, 'k', 10, 9 * day)
    await bench.commit(3)
    await bench.store.discard()
    const again = bench.declare()
    bench.store.setExpiryClock(9 * day + 1)
    await call(again.step, 'k', () => assert.deepEqual(again.log.get().head, []))
  })

  it('the clock is stored with the position, and never goes back', async () => {
    const first = bench.declare()
    await append(first, 'k', 1, 5 * day)
    bench.store.setExpiryClock(6 * day)
    bench.store.setExpiryClock(1 * day)
    await bench.commit(1)
    bench.store.setExpiryClock(7 * day)
    await bench.store.discard()
    const again = bench.declare()
    await call(again.step, 'k', () => assert.deepEqual(again.log.get().head, []))
    await append(again, 'k', 1, 6.5 * day)
    await call(again.step, 'k', () => assert.deepEqual(again.log.get().head, [0]))
  })

  it('the sweep removes what is due, a bounded part at a time, and moves what is not', async () => {
    const first = bench.declare()
    for (let i = 0; i < 20; i++) await append(first, `old ${i}`, 9, 3 * day)
    await append(first, 'young', 9, 3 * day)
    await bench.commit(1)
    await append(first, 'young', 1, 30 * day)
    await bench.commit(2)
    bench.store.setExpiryClock(10 * day)
    bench.store.evict()
    const before = await everything(bench.backend)
    let removed = await bench.store.sweep(8)
    assert.ok(removed >= 7 && removed <= 8)
    assert.deepEqual(await everything(bench.backend), before, 'a sweep alone changes nothing')
    await bench.commit(3)
    for (let epoch = 4; epoch < 8; epoch++) {
      removed += await bench.store.sweep(8)
      await bench.commit(epoch)
    }
    assert.equal(removed, 20)
    const left = await everything(bench.backend)
    assert.equal(left.filter(({ key }) => key[0] === 0x11).length, 1 + 2)
    assert.deepEqual(
      left.filter(({ key }) => key[0] === 0x13).map(({ key }) => key.readUInt32BE(1)),
      [30],
    )
    await call(first.step, 'young', () => assert.equal(first.log.get().pageCount, 2))
  })

  it('a crash after a sweep that was not written brings the objects back with the old clock', async () => {
    const first = bench.declare()
    await append(first, 'k', 9, 3 * day)
    await bench.commit(1)
    bench.store.setExpiryClock(10 * day)
    assert.equal(await bench.store.sweep(10), 1)
    bench.store.serialise()
    bench.disk.crash()
    await bench.open()
    const again = bench.declare()
    await call(again.step, 'k', () => assert.deepEqual(again.log.get().page(1), [4, 5, 6, 7]))
  })

  it('an expired object is swept although its key was entered since, as long as nobody touched the new one', async () => {
    class Patient extends EventLog {
      override expiresAt(): EventTimeMs {
        return this.head.length === 0 ? eventTime(Number.POSITIVE_INFINITY) : super.expiresAt()
      }
    }
    const step = bench.store.step('patient')
    const log = step.paged('log', {
      ...eventLogCodec,
      create: pages => new Patient(pages),
      load: (root, pages) => new Patient(pages, root),
    })
    await call(step, 'k', () => {
      log.touch()
      for (let i = 0; i < 9; i++) log.get().append(i, 3 * day)
    })
    await bench.commit(1)
    bench.store.setExpiryClock(10 * day)
    await call(step, 'k', () => assert.deepEqual(log.get().head, []))
    assert.equal(await bench.store.sweep(10), 1)
    await bench.commit(2)
    assert.deepEqual(
      (await everything(bench.backend)).filter(({ key }) => key[0] !== 0x10),
      [],
    )
  })

  it('a swept object that comes back is in the index again', async () => {
    const first = bench.declare()
    await append(first, 'k', 1, 3 * day)
    await bench.commit(1)
    bench.store.setExpiryClock(10 * day)
    assert.equal(await bench.store.sweep(10), 1)
    await append(first, 'k', 2, 20 * day)
    await bench.commit(2)
    bench.store.setExpiryClock(22 * day)
    assert.equal(await bench.store.sweep(10), 1)
    await bench.commit(3)
    assert.deepEqual(
      (await everything(bench.backend)).filter(({ key }) => key[0] !== 0x10),
      [],
    )
  })
})

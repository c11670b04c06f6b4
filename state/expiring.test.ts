/** State that ends, state with a bound, and what becomes of the disk below them. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type DurationMs, days, eventTime, hours } from '../kernel/index.js'
import type { StateBackend } from './backend.js'
import { MemoryDisk } from './backends/memory.js'
import { openRocksDb } from './backends/open.js'
import { bytesCodec, intCodec, stringCodec } from './codecs.js'
import { StateMiss } from './miss.js'
import type { StepState } from './step.js'
import { StateStore, type StateStoreOptions } from './store.js'

const day = days(1)
const start = Date.UTC(2024, 0, 1)

async function call(step: StepState, key: string, body: () => void): Promise<void> {
  for (;;) {
    try {
      step.beginCall()
      step.enter(key)
      body()
      return step.endCall()
    } catch (error) {
      step.rollbackCall()
      if (!(error instanceof StateMiss)) throw error
      await step.loadMissing()
    }
  }
}

let epoch = 0
async function commit(store: StateStore): Promise<void> {
  const position = { epoch: ++epoch, journalHash: String(epoch), fingerprint: 'f' }
  await store.write(store.serialise(), position, { sync: false })
  store.evict()
}

const keysIn = async (backend: StateBackend): Promise<number> =>
  (await backend.range({ gte: Buffer.of(0x11), lt: Buffer.of(0x20), limit: 1e6, keysOnly: true })).length

async function open(options: Partial<StateStoreOptions> = {}) {
  const backend = options.backend ?? new MemoryDisk().open()
  const store = await StateStore.open({ keyGroups: 4, ...options, backend })
  return { backend, store, step: store.step('step') }
}

describe('a value with a ttl', () => {
  it('is found when the clock passes the day that it was moved to before that is written', async () => {
    const { backend, store, step } = await open()
    const value = step.value('seen', stringCodec, { ttl: hours(30) as DurationMs })
    store.setExpiryClock(start)
    await call(step, 'a', () => value.set('one'))
    await commit(store)
    store.setExpiryClock(start + hours(29))
    await call(step, 'a', () => value.set('again'))
    store.setExpiryClock(start + 2 * day)
    assert.equal(await store.sweep(100), 0, 'it has moved')
    store.setExpiryClock(start + 9 * day)
    assert.equal(await store.sweep(100), 0, 'no index that could find it')
    await commit(store)
    assert.equal(await store.sweep(100), 1)
    await commit(store)
    assert.equal(await keysIn(backend), 0)
  })

  for (const cacheBytesMax of [1 << 20, 0]) {
    it(`ends by the expiry clock, swept or not, and leaves nothing (cache of ${cacheBytesMax} bytes)`, async () => {
      const { backend, store, step } = await open({ cacheBytesMax })
      const value = step.value('seen', stringCodec, { ttl: hours(30) as DurationMs })
      const expect = (key: string, is: string | undefined) => call(step, key, () => assert.equal(value.get(), is))
      store.setExpiryClock(start)
      await call(step, 'a', () => value.set('one'))
      await call(step, 'b', () => value.set('two'))
      await commit(store)
      store.setExpiryClock(start + hours(20))
      await call(step, 'b', () => value.set('again'))
      await commit(store)
      store.setExpiryClock(start + hours(30))
      await expect('a', 'one')
      store.setExpiryClock(start + hours(30) + 1)
      await expect('a', undefined)
      await expect('b', 'again')
      store.setExpiryClock(start + 4 * day)
      while ((await store.sweep(1)) > 0) await commit(store)
      await store.sweep(100)
      await commit(store)
      await commit(store)
      assert.equal(await keysIn(backend), 0)
      await expect('b', undefined)
      await call(step, 'b', () => value.set('new life'))
      await commit(store)
      await expect('b', 'new life')
    })
  }

  it('is what it was after a call that was undone', async () => {
    const { store, step } = await open()
    const value = step.value('seen', intCodec, { ttl: day })
    store.setExpiryClock(start)
    await call(step, 'a', () => value.set(1))
    step.beginCall()
    step.enter('a')
    value.set(2)
    value.clear()
    step.rollbackCall()
    await call(step, 'a', () => assert.equal(value.get(), 1))
  })

  it('is looked at like any value', async () => {
    const { store, step } = await open()
    const value = step.value('seen', stringCodec, { ttl: day })
    store.setExpiryClock(start)
    await call(step, 'a', () => value.set('secret'))
    const { states } = await store.inspect('step', 'a', { showPii: false })
    assert.equal(states[0]?.kind, 'value')
    assert.equal(states[0]?.expires_at, '2024-01-02T00:00:00.000Z')
    assert.ok(!JSON.stringify(states[0]?.value).includes('secret'))
    await call(step, 'a', () => value.clear())
    assert.equal((await store.inspect('step', 'a', { showPii: true })).found, false)
  })
})

describe('a map with a ttl and a bound', () => {
  it('its entries end one by one, and iterate in the order of their bytes', async () => {
    const disk = new MemoryDisk()
    const { backend, store, step } = await open({ backend: disk.open(), cacheBytesMax: 0 })
    const map = step.map('devices', intCodec, { ttl: day })
    for (const [i, name] of ['é', 'b', 'a', '\u{1f600}'].entries()) {
      store.setExpiryClock(start + i * hours(6))
      await call(step, 'k', () => map.set(name, i))
      await commit(store)
    }
    await call(step, 'k', () =>
      assert.deepEqual(map.entries(), [
        ['a', 2],
        ['b', 1],
        ['é', 0],
        ['\u{1f600}', 3],
      ]),
    )
    store.setExpiryClock(start + day + 1)
    await call(step, 'k', () => {
      assert.deepEqual(map.entries(), [
        ['a', 2],
        ['b', 1],
        ['\u{1f600}', 3],
      ])
      assert.equal(map.get('é'), undefined)
      map.delete('b')
    })
    await commit(store)
    await call(step, 'k', () =>
      assert.deepEqual(map.entries(), [
        ['a', 2],
        ['\u{1f600}', 3],
      ]),
    )
    store.setExpiryClock(start + 9 * day)
    await store.sweep(100)
    await commit(store)
    await commit(store)
    assert.equal(await keysIn(backend), 0)
  })

  it('one entry too many is STATE_LIMIT and changes nothing; what has ended makes room', async () => {
    const { store, step } = await open()
    const map = step.map('devices', intCodec, { ttl: day, entriesMax: 2 })
    store.setExpiryClock(start)
    await call(step, 'k', () => map.set('a', 1))
    store.setExpiryClock(start + hours(12))
    await call(step, 'k', () => map.set('b', 2))
    await assert.rejects(
      call(step, 'k', () => {
        map.set('a', 9)
        map.set('c', 3)
      }),
      { code: 'STATE_LIMIT' },
    )
    await call(step, 'k', () =>
      assert.deepEqual(map.entries(), [
        ['a', 1],
        ['b', 2],
      ]),
    )
    store.setExpiryClock(start + day + 1)
    await call(step, 'k', () => map.set('c', 3))
    await call(step, 'k', () =>
      assert.deepEqual(map.entries(), [
        ['b', 2],
        ['c', 3],
      ]),
    )
  })
})

it('a busy key of a plain map does not gather in memory what it has touched', async () => {
  const { store, step } = await open({ cacheBytesMax: 50_000 })
  const map = step.map('all', intCodec)
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 500; i++) await call(step, 'k', () => map.set(`${round}-${i}`, i))
    await commit(store)
    await call(step, 'k', () => map.set('last', round))
    await commit(store)
  }
  assert.ok(store.cacheBytes < 100_000, `${store.cacheBytes} bytes`)
  await call(step, 'k', () => assert.equal(map.get('0-7'), 7))
  await call(step, 'k', () => assert.equal(map.entries().length, 10_001))
})

it('TIMER_LIMIT: a step has no more timers than there may be', async () => {
  const { step } = await open({ timersPerStepMax: 3 })
  for (const key of ['a', 'b', 'c']) await call(step, key, () => step.timers.timerAt(eventTime(start)))
  await assert.rejects(
    call(step, 'd', () => step.timers.timerAt(eventTime(start))),
    { code: 'TIMER_LIMIT' },
  )
  await call(step, 'a', () => step.timers.cancel(eventTime(start)))
  await call(step, 'd', () => step.timers.timerAt(eventTime(start)))
})

it('churn: keys that come and go leave neither memory nor disk behind', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-churn-'))
  const backend = await openRocksDb(folder, { writeBufferBytes: 128 << 10, blockCacheBytes: 1 << 20 })
  try {
    const { store, step } = await open({ backend, cacheBytesMax: 200_000 })
    const value = step.value('seen', bytesCodec, { ttl: (2 * day) as DurationMs })
    const bytes: number[] = []
    const daysMax = 60
    let seed = 1
    for (let today = 0; today < daysMax; today++) {
      store.setExpiryClock(start + today * day)
      for (let i = 0; i < 500; i++) {
        const random = Buffer.alloc(400)
        for (let at = 0; at < 400; at += 4) {
          seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
          random.writeUInt32LE(seed, at)
        }
        await call(step, `key-${today}-${i}`, () => value.set(Uint8Array.from(random)))
        if (i % 100 === 99) {
          await store.sweep(256)
          await commit(store)
        }
      }
      bytes.push(await sizeOf(folder))
      assert.ok(store.cacheBytes < 1_000_000)
    }
    // 500 keys a day live for two days, and go on the third or fourth: 1 MB of values, of 12 that were written.
    assert.ok((await keysIn(backend)) <= 2 * 2_500, `${await keysIn(backend)} keys`)
    // When RocksDB compacts is its own affair; were nothing removed, 12 MB would lie there.
    const most = Math.max(...bytes)
    assert.ok(most < 6_000_000, `${most} bytes`)
  } finally {
    await backend.close()
    await rm(folder, { recursive: true })
  }
})

async function sizeOf(folder: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(folder)) {
    // A file that a compaction has just removed.
    bytes += await stat(join(folder, name)).then(
      found => found.size,
      () => 0,
    )
  }
  return bytes
}

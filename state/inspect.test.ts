import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type ByteReader, eventTime, isWeirError } from '../kernel/index.js'
import { MemoryDisk } from './backends/memory.js'
import { bytesCodec, intCodec, stringCodec } from './codecs.js'
import type { StateCodec } from './handles.js'
import { entriesShownMax, isoTime, JsonView, masked } from './inspect.js'
import { type EventLog, eventLogCodec } from './model/event-log.js'
import { StateStore } from './store.js'

const shown = { showPii: true }
const hidden = { showPii: false }

/** A store of which everything is in the backend and nothing resident, over the same disk as another. */
async function opened(disk: MemoryDisk) {
  const store = await StateStore.open({ backend: disk.open(), keyGroups: 8 })
  const step = store.step('step')
  return {
    store,
    step,
    value: step.value('value', stringCodec),
    map: step.map('map', intCodec),
    log: step.paged<EventLog>('log', eventLogCodec),
  }
}

async function written(store: StateStore): Promise<void> {
  await store.write(store.serialise(), { epoch: 1, journalHash: 'h', fingerprint: 'f' }, { sync: true })
}

describe('StateStore.inspect', () => {
  it('shows a key that is resident and one that is not alike, but for where they are', async () => {
    const disk = new MemoryDisk()
    const { store, step, value, map, log } = await opened(disk)
    await step.prefetch(['customer-1'])
    step.beginCall()
    step.enter('customer-1')
    value.set('DE89370400440532013000')
    map.set('terminal-9', 3)
    log.touch()
    for (let item = 0; item < 6; item++) log.get().append(item, 1_000)
    step.timers.timerAt(eventTime(86_400_000))
    step.endCall()
    const expected = {
      step: 'step',
      key: 'customer-1',
      group: 6,
      found: true,
      resident: true,
      dirty: true,
      states: [
        {
          name: 'value',
          kind: 'value',
          codec: `string@${stringCodec.version}`,
          present: true,
          value: 'DE89370400440532013000',
          truncated: false,
        },
        {
          name: 'map',
          kind: 'map',
          codec: `int@${intCodec.version}`,
          present: true,
          value: [{ key: 'terminal-9', value: 3 }],
          truncated: false,
        },
        {
          name: 'log',
          kind: 'paged',
          codec: 'event-log@1',
          present: true,
          value: [0, 1, 2, 3, 4, 5],
          truncated: false,
          expires_at: '1970-01-01T00:00:01.000Z',
        },
      ],
      timers: ['1970-01-02T00:00:00.000Z'],
    }
    const first = await store.inspect('step', 'customer-1', shown)
    assert.deepEqual(first, { ...expected, group: first.group })
    assert.ok(first.group >= 0 && first.group < 8)
    await written(store)
    const clean = { ...first, dirty: false }
    assert.deepEqual(await store.inspect('step', 'customer-1', shown), clean)
    await store.close()
    const again = await opened(disk)
    assert.deepEqual(await again.store.inspect('step', 'customer-1', shown), { ...clean, resident: false })
    assert.equal(again.store.residentKeys, 0)
    again.store.setExpiryClock(1_001)
    const { states } = await again.store.inspect('step', 'customer-1', shown)
    const { expires_at: _, ...left } = expected.states[2]!
    assert.deepEqual(states[2], { ...left, present: false, value: null })
    assert.equal(states[1]!.present, true)
  })

  it('masks keys, sub-keys, texts and bytes unless it is told to show them', async () => {
    const { store, step, value, map } = await opened(new MemoryDisk())
    const other = store.step('other')
    const bytes = other.value('bytes', bytesCodec)
    await step.prefetch(['customer-1'])
    await other.prefetch(['customer-1'])
    step.enter('customer-1')
    value.set('DE89370400440532013000')
    map.set('t-9', 3)
    other.enter('customer-1')
    bytes.set(Uint8Array.from(Buffer.from('secret')))
    const text = JSON.stringify([
      await store.inspect('step', 'customer-1', hidden),
      await store.inspect('other', 'customer-1', hidden),
    ])
    assert.match(text, /"key":"c…1 \(10\)"/)
    assert.match(text, /"value":"D…0 \(22\)"/)
    assert.match(text, /\{"key":"… \(3\)","value":3\}/)
    assert.match(text, /"value":"\(6 bytes\)"/)
    for (const secret of ['customer-1', 'DE89', 't-9', 'secret', Buffer.from('secret').toString('hex')]) {
      assert.ok(!text.includes(secret), secret)
    }
    assert.equal((await store.inspect('other', 'customer-1', shown)).states[0]!.value, '736563726574 (6 bytes)')
  })

  it('finds nothing where nothing was, also where an operator has only asked', async () => {
    const { store, step, log } = await opened(new MemoryDisk())
    const absent = await store.inspect('step', '__proto__', shown)
    assert.deepEqual([absent.found, absent.resident, absent.timers], [false, false, []])
    assert.ok(absent.states.every(({ present, value }) => !present && value === null))
    await step.prefetch(['asked'])
    step.enter('asked')
    assert.equal(log.get().head.length, 0)
    assert.equal((await store.inspect('step', 'asked', shown)).found, false)
  })

  it('names the steps that keep state when it is asked for another', async () => {
    const { store } = await opened(new MemoryDisk())
    store.step('second')
    await assert.rejects(store.inspect('nobody', 'k', shown), error => {
      assert.ok(isWeirError(error, 'UNKNOWN_STEP'))
      assert.match(error.what, /step, second$/)
      assert.ok(!error.what.includes('nobody'))
      return true
    })
  })

  it('shows the first entries of a large map in the order of their keys, known, deleted and stored ones merged', async () => {
    const disk = new MemoryDisk()
    const first = await opened(disk)
    await first.step.prefetch(['k'])
    first.step.enter('k')
    const nameOf = (i: number): string => `entry-${String(i).padStart(5, '0')}`
    for (let i = 0; i < 3_000; i++) first.map.set(nameOf(2 * i), i)
    await written(first.store)
    await first.store.close()
    const { store, step, map } = await opened(disk)
    await step.prefetch(['k'])
    step.enter('k')
    const expected = new Map(Array.from({ length: 3_000 }, (_, i) => [nameOf(2 * i), i]))
    for (let i = 0; i < 1_200; i++) {
      map.delete(nameOf(2 * i))
      expected.delete(nameOf(2 * i))
    }
    for (const i of [1, 2_501, 9_999]) {
      map.set(nameOf(i), -i)
      expected.set(nameOf(i), -i)
    }
    const state = (await store.inspect('step', 'k', shown)).states[1]!
    const inOrder = [...expected].sort().map(([key, value]) => ({ key, value }))
    assert.deepEqual(state.value, inOrder.slice(0, entriesShownMax))
    assert.equal(state.truncated, true)
  })
})

describe('JsonView', () => {
  const render = (value: unknown, options = shown) => new JsonView(options).render(value)

  it('makes JSON of whatever a codec gives', () => {
    const value = {
      big: 10n ** 20n,
      nan: Number.NaN,
      map: new Map([['a', 1]]),
      set: new Set(['x']),
      floats: Float64Array.of(1.5, Number.POSITIVE_INFINITY),
      view: Buffer.of(1, 2),
      at: new Date(0),
      nothing: undefined,
      none: null,
      ['__proto__']: 'own',
    }
    assert.equal(
      JSON.stringify(render(value)),
      '{"value":{"big":"100000000000000000000","nan":"NaN","map":[["a",1]],"set":["x"],"floats":[1.5,"Infinity"],' +
        '"view":"0102 (2 bytes)","at":"1970-01-01T00:00:00.000Z","nothing":null,"none":null,"__proto__":"own"},"truncated":false}',
    )
  })

  it('is bounded in depth, in one text and in all, and says so', () => {
    let deep: unknown = 'bottom'
    for (let i = 0; i < 40; i++) deep = [deep]
    assert.equal(render(deep).truncated, true)
    const long = render(['x'.repeat(100_000), 'after'])
    assert.equal(long.truncated, true)
    assert.equal((long.value as string[])[1], 'after')
    const view = new JsonView(shown)
    const many = view.render(Array.from({ length: 1_000_000 }, (_, i) => i))
    assert.equal(many.truncated, true)
    assert.ok(JSON.stringify(many.value).length < 2 << 20)
    assert.equal(view.render('more').truncated, true, 'the bound is that of the whole answer')
  })

  it('masks by characters, and gives nothing away of short texts', () => {
    assert.deepEqual(['', 'a', 'abc', 'abcd', '😀bc😁'].map(masked), [
      '… (0)',
      '… (1)',
      '… (3)',
      'a…d (4)',
      '😀…😁 (4)',
    ])
    assert.deepEqual(render({ id: 'customer' }, hidden).value, { id: 'c…r (8)' })
  })

  it('writes a time that no calendar has as a number', () => {
    assert.equal(isoTime(Number.MAX_SAFE_INTEGER), '9007199254740991')
  })
})

it('a codec that fails to decode says whose state it is, and breaks nothing else', async () => {
  const disk = new MemoryDisk()
  const first = await opened(disk)
  await first.step.prefetch(['k'])
  first.step.enter('k')
  first.value.set('text')
  await written(first.store)
  await first.store.close()
  const store = await StateStore.open({ backend: disk.open(), keyGroups: 8 })
  const broken: StateCodec<string> = {
    ...stringCodec,
    decode: (_: ByteReader): string => {
      throw new Error('no text')
    },
  }
  store.step('step').value('value', broken)
  await assert.rejects(store.inspect('step', 'k', shown), { code: 'BACKEND_FAILED' })
  assert.equal((await store.inspect('step', 'other', shown)).found, false)
})

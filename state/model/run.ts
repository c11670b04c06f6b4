/**
 * Drives a real store and the reference with the same seeded operations, as a slot would: epochs of calls with misses and
 * rollbacks, evictions, sweeps, boundaries, writes, failed epochs, crashes. Whatever an operator reads must be equal.
 */
import assert from 'node:assert/strict'
import { eventTime } from '../../kernel/index.js'
import type { StateBackend } from '../backend.js'
import { intCodec, stringCodec } from '../codecs.js'
import type { MapState, PagedState, ValueState } from '../handles.js'
import { StateMiss } from '../miss.js'
import { wellFormed } from '../order.js'
import type { StepState } from '../step.js'
import { StateStore } from '../store.js'
import { type EventLog, eventLogCodec } from './event-log.js'
import { Random } from './random.js'
import { copyOf, type ReferenceKey, type ReferenceState, ReferenceStep } from './reference.js'

/** A disk, and how its owner can lose it. */
export interface ModelDisk {
  open(): Promise<StateBackend>
  /** The process dies; the last `n` unsynced writes, n of the disk's choice, may be gone. */
  crash(backend: StateBackend, random: Random): Promise<void>
}

const stepNames = ['customer', 'terminal']
export const hostileKeys = [
  '',
  '__proto__',
  'constructor',
  '\0',
  '\0\0',
  'é',
  'e\u0301',
  '\uffff',
  '😀',
  '\ud800',
  '😀'.repeat(64),
]
const keys = [...hostileKeys, ...Array.from({ length: 20 }, (_, i) => `key-${i}`)]
const subKeys = [...hostileKeys, 'a', 'b', 'c', 'aa']
const dayMs = 86_400_000

interface RunningStep {
  readonly state: StepState
  readonly value: ValueState<string>
  readonly map: MapState<number>
  readonly log: PagedState<EventLog>
}

export interface ModelFigures {
  misses: number
  evicted: number
  swept: number
  discards: number
  looks: number
  crashes: number
}

export class ModelRun {
  readonly figures: ModelFigures = { misses: 0, evicted: 0, swept: 0, discards: 0, looks: 0, crashes: 0 }
  readonly #disk: ModelDisk
  readonly #random: Random
  readonly #cacheBytesMax: number
  #backend!: StateBackend
  #store!: StateStore
  #steps = new Map<string, RunningStep>()
  /** By epoch, what was written with it; epoch 0 is the empty store. */
  readonly #written = new Map<number, ReferenceState>()
  #model!: ReferenceState
  #epoch = 0
  #now = 100 * dayMs
  #item = 0

  constructor(seed: number, disk: ModelDisk, cacheBytesMax: number) {
    this.#disk = disk
    this.#random = new Random(seed)
    this.#cacheBytesMax = cacheBytesMax
    this.#written.set(0, {
      steps: new Map(stepNames.map(name => [name, new ReferenceStep()])),
      clock: Number.NEGATIVE_INFINITY,
    })
  }

  async run(epochs: number): Promise<void> {
    await this.#open()
    for (let i = 0; i < epochs; i++) await this.#epochOnce()
    await this.#checkAll()
    await this.#expireAll()
    await this.#store.close()
  }

  async #open(): Promise<void> {
    this.#backend = await this.#disk.open()
    this.#store = await StateStore.open({
      backend: this.#backend,
      keyGroups: 12,
      cacheBytesMax: this.#cacheBytesMax,
      namespace: Buffer.from('n/'),
    })
    this.#declare()
  }

  #declare(): void {
    this.#steps.clear()
    for (const name of stepNames) {
      const state = this.#store.step(name)
      this.#steps.set(name, {
        state,
        value: state.value('value', stringCodec),
        map: state.map('map', intCodec),
        log: state.paged('log', eventLogCodec),
      })
    }
    this.#epoch = this.#store.reflects?.epoch ?? 0
    const written = this.#written.get(this.#epoch)
    assert.ok(written, `the store reflects epoch ${this.#epoch}, which was never written`)
    this.#model = copyOf(written)
    if (this.#epoch > 0) assert.equal(this.#store.reflects!.journalHash, `hash ${this.#epoch}`)
  }

  async #epochOnce(): Promise<void> {
    const random = this.#random
    await this.#calls(random.below(30))
    await this.#fireTimers()
    await this.#look()
    if (random.chance(12)) return this.#discard()
    this.#now += random.below(dayMs)
    const clock = this.#now - 10 * dayMs
    this.#store.setExpiryClock(clock)
    this.#model.clock = Math.max(this.#model.clock, clock)
    if (random.chance(2)) this.figures.swept += await this.#store.sweep(1 + random.below(20))
    if (random.chance(4)) this.#evict()
    if (random.chance(2)) return
    await this.#boundary()
  }

  async #boundary(): Promise<void> {
    const random = this.#random
    const pending = this.#store.serialise()
    const epoch = this.#epoch + 1
    const asOfThen = copyOf(this.#model)
    // The next epoch's operators run while the commit is under way; an epoch that fails takes them along.
    if (random.chance(3)) await this.#calls(random.below(20))
    if (random.chance(3)) this.#evict()
    if (random.chance(10)) return this.#discard()
    if (random.chance(10)) return this.#crash()
    this.#written.set(epoch, asOfThen)
    await this.#look()
    const position = { epoch, journalHash: `hash ${epoch}`, fingerprint: 'f' }
    const writing = this.#store.write(pending, position, { sync: random.chance(3) })
    if (random.chance(3)) await this.#calls(random.below(20))
    await writing
    this.#epoch = epoch
    assert.deepEqual(this.#store.reflects, position)
    if (random.chance(2)) this.#evict()
    if (random.chance(8)) await this.#crash()
  }

  #evict(): void {
    this.figures.evicted += this.#store.evict()
  }

  async #discard(): Promise<void> {
    this.figures.discards++
    await this.#store.discard()
    this.#declare()
  }

  async #crash(): Promise<void> {
    this.figures.crashes++
    await this.#disk.crash(this.#backend, this.#random)
    await this.#open()
  }

  async #calls(count: number): Promise<void> {
    const random = this.#random
    const name = random.pick(stepNames)
    const { state } = this.#steps.get(name)!
    const chosen = Array.from({ length: count }, () => random.pick(keys))
    if (!random.chance(3)) await state.prefetch(chosen)
    for (const key of chosen) await this.#call(name, key)
  }

  /** One operator call, made again until it neither misses nor finds its output full. */
  async #call(name: string, key: string): Promise<void> {
    const { state } = this.#steps.get(name)!
    const random = this.#random
    const program = Array.from({ length: 1 + random.below(4) }, () => this.#operation())
    const append = random.chance(2) ? { item: this.#item++, expiresAt: this.#now - random.below(3 * dayMs) } : undefined
    let full = random.chance(6)
    const reference = this.#model.steps.get(name)!.enter(key, this.#model.clock)
    const before = structuredClone(reference)
    const expected = this.#expect(reference, program)
    for (;;) {
      try {
        state.beginCall()
        state.enter(key)
        const got = this.#perform(name, program)
        assert.deepEqual(got, expected, `step ${name}, key ${JSON.stringify(key)}`)
        if (full) {
          full = false
          state.rollbackCall()
          assert.deepEqual(await this.#readAll(name, key), this.#expect(before, [readEverything]), 'after a rollback')
          continue
        }
        if (append !== undefined) this.#append(name, reference, append)
        state.endCall()
        return
      } catch (error) {
        if (!(error instanceof StateMiss)) throw error
        this.figures.misses++
        state.rollbackCall()
        assert.ok(state.missing)
        await state.loadMissing()
        assert.ok(!state.missing)
      }
    }
  }

  #append(name: string, reference: ReferenceKey, { item, expiresAt }: { item: number; expiresAt: number }): void {
    const { log } = this.#steps.get(name)!
    log.touch()
    log.get().append(item, expiresAt)
    reference.log ??= { items: [], expiresAt }
    reference.log.items.push(item)
    reference.log.expiresAt = expiresAt
  }

  #operation(): Operation {
    const random = this.#random
    const subKey = random.pick(subKeys)
    const n = random.below(100)
    const at = this.#now + random.below(5) * 1_000
    const operations: readonly Operation[] = [
      { kind: 'get' },
      { kind: 'set', value: `value ${n}` },
      { kind: 'clear' },
      { kind: 'map-get', subKey },
      { kind: 'map-set', subKey, n },
      { kind: 'map-set', subKey, n },
      { kind: 'map-delete', subKey },
      { kind: 'entries' },
      { kind: 'log-item', n },
      { kind: 'log-all' },
      { kind: 'timer', at },
      { kind: 'cancel', at },
    ]
    return random.pick(operations)
  }

  #perform(name: string, program: readonly Operation[]): unknown[] {
    const { value, map, log, state } = this.#steps.get(name)!
    return program.map(operation => {
      switch (operation.kind) {
        case 'get':
          return value.get()
        case 'set':
          return value.set(operation.value)
        case 'clear':
          return value.clear()
        case 'map-get':
          return map.get(operation.subKey)
        case 'map-set':
          return map.set(operation.subKey, operation.n)
        case 'map-delete':
          return map.delete(operation.subKey)
        case 'entries':
          return map.entries().map(entry => [...entry])
        case 'log-item':
          return itemOf(log.get(), operation.n)
        case 'log-all':
          return allOf(log.get())
        case 'timer':
          return state.timers.timerAt(eventTime(operation.at))
        case 'cancel':
          return state.timers.cancel(eventTime(operation.at))
        case 'everything':
          return [value.get(), map.entries().map(entry => [...entry]), allOf(log.get())]
        default:
          return operation satisfies never
      }
    })
  }

  #expect(reference: ReferenceKey, program: readonly Operation[]): unknown[] {
    return program.map(operation => {
      const items = reference.log?.items ?? []
      switch (operation.kind) {
        case 'get':
          return reference.value
        case 'set':
          reference.value = operation.value
          return undefined
        case 'clear':
          reference.value = undefined
          return undefined
        case 'map-get':
          return reference.map.get(wellFormed(operation.subKey))
        case 'map-set':
          reference.map.set(wellFormed(operation.subKey), operation.n)
          return undefined
        case 'map-delete':
          reference.map.delete(wellFormed(operation.subKey))
          return undefined
        case 'entries':
          return inByteOrder(reference.map)
        case 'log-item':
          return items.length === 0 ? undefined : items[operation.n % items.length]
        case 'log-all':
          return [...items]
        case 'timer':
          reference.timers.add(operation.at)
          return undefined
        case 'cancel':
          reference.timers.delete(operation.at)
          return undefined
        case 'everything':
          return [reference.value, inByteOrder(reference.map), [...items]]
        default:
          return operation satisfies never
      }
    })
  }

  async #fireTimers(): Promise<void> {
    if (!this.#random.chance(2)) return
    const name = this.#random.pick(stepNames)
    const { timers } = this.#steps.get(name)!.state
    const watermark = eventTime(this.#now)
    const fired: { key: string; at: number }[] = []
    for (let due = timers.due(watermark); due !== undefined; due = timers.due(watermark)) {
      assert.deepEqual(timers.due(watermark), due, 'the same until it has fired')
      fired.push({ key: due.key, at: due.at })
      timers.fired(due)
    }
    const reference = this.#model.steps.get(name)!
    assert.deepEqual(fired, reference.due(watermark))
    for (const { key, at } of fired) reference.at(key).timers.delete(at)
  }

  /** Looks at some keys as a person would: sees what an operator would read, and leaves no trace. */
  async #look(): Promise<void> {
    const store = this.#store
    const trace = () => [store.cacheBytes, store.dirtyBytes, store.dirtyKeys, store.residentKeys]
    for (let looks = this.#random.below(4); looks > 0; looks--) {
      const name = this.#random.pick(stepNames)
      const key = this.#random.pick(keys)
      const resident = this.#steps.get(name)!.state.entries.get(wellFormed(key))
      const before = [...trace(), resident?.referenced]
      const shown = await store.inspect(name, key, { showPii: true })
      assert.deepEqual([...trace(), resident?.referenced], before)
      const [value, map, log] = shown.states.map(state => state.value)
      const found = this.#model.steps.get(name)!.keys.get(wellFormed(key))
      const expired = found?.log !== undefined && found.log.expiresAt < this.#model.clock
      assert.deepEqual(
        [value, map ?? [], log ?? [], shown.timers],
        [
          found?.value ?? null,
          inByteOrder(found?.map ?? new Map()).map(([subKey, n]) => ({ key: subKey, value: n })),
          expired ? [] : (found?.log?.items ?? []),
          [...(found?.timers ?? [])].sort((a, b) => a - b).map(at => new Date(at).toISOString()),
        ],
        `step ${name}, key ${JSON.stringify(key)}`,
      )
      assert.equal(shown.resident, resident !== undefined)
      this.figures.looks++
    }
  }

  async #checkAll(): Promise<void> {
    for (const name of stepNames) {
      const reference = this.#model.steps.get(name)!
      for (const key of keys) {
        const expected = this.#expect(reference.enter(key, this.#model.clock), [readEverything])
        assert.deepEqual(await this.#readAll(name, key), expected, `step ${name}, key ${JSON.stringify(key)}`)
      }
    }
  }

  async #readAll(name: string, key: string): Promise<unknown[]> {
    const { state } = this.#steps.get(name)!
    for (;;) {
      try {
        state.enter(key)
        state.beginCall()
        const read = this.#perform(name, [readEverything])
        state.endCall()
        return read
      } catch (error) {
        if (!(error instanceof StateMiss)) throw error
        await state.loadMissing()
      }
    }
  }

  /** Long after everything has expired and been swept, no object, page or index entry is left behind. */
  async #expireAll(): Promise<void> {
    this.#store.setExpiryClock(this.#now + 100 * dayMs)
    for (let round = 0; round < 3; round++) {
      while ((await this.#store.sweep(7)) > 0);
      const epoch = ++this.#epoch
      await this.#store.write(
        this.#store.serialise(),
        { epoch, journalHash: `hash ${epoch}`, fingerprint: 'f' },
        { sync: false },
      )
    }
    const left = await this.#backend.range({ gte: Buffer.from('n/\x11'), lt: Buffer.from('n0'), limit: 100_000 })
    const ofLogs = left.filter(({ key }) => key.includes('\x03log') && key.at(2) !== 0x12)
    assert.deepEqual(ofLogs, [])
  }
}

type Operation =
  | { kind: 'get' | 'clear' | 'entries' | 'log-all' | 'everything' }
  | { kind: 'set'; value: string }
  | { kind: 'map-get' | 'map-delete'; subKey: string }
  | { kind: 'map-set'; subKey: string; n: number }
  | { kind: 'log-item'; n: number }
  | { kind: 'timer' | 'cancel'; at: number }

const readEverything: Operation = { kind: 'everything' }

function itemOf(log: EventLog, n: number): number | undefined {
  const count = log.pageCount * 4 + log.head.length
  if (count === 0) return undefined
  const at = n % count
  return at < log.pageCount * 4 ? log.page(Math.floor(at / 4))[at % 4] : log.head[at % 4]
}

function allOf(log: EventLog): number[] {
  const items: number[] = []
  for (let page = 0; page < log.pageCount; page++) items.push(...log.page(page))
  return [...items, ...log.head]
}

function inByteOrder(map: ReadonlyMap<string, number>): [string, number][] {
  return [...map].sort((a, b) => Buffer.from(a[0]).compare(Buffer.from(b[0])))
}

/**
 * The keyed state of one slot: a byte-bounded write-back cache of live objects over a backend (design §4).
 *
 * Invariants:
 * 1. I2: the backend changes by `write` alone (and `reset`), atomically with the position that the content reflects.
 *    `serialise` takes the state of an epoch's boundary; operators may run on while it waits for its commit.
 * 2. I2: what is dirty or on its way is never evicted. After an epoch or a write that failed the owner calls `discard`:
 *    the live cache, and what was serialised from it, is then gone.
 * 3. I6: clean entries are evicted down to `cacheBytesMax` by `evict`; `dirtyBytes` tells the owner when to write.
 * 4. I3: neither eviction nor sweeping changes what an operator sees.
 *
 * One owner; no two calls at a time, but for prefetch and loadMissing, which may run while a write is under way.
 */
import { assert, ByteWriter, WeirError } from '../kernel/index.js'
import type { BackendMemory, StateBackend, WriteBatch } from './backend.js'
import { type DeltaSpool, RecordedBatch } from './checkpoint/spool.js'
import { byGroup, type KeyEntry, Meter, type StoreCore } from './entry.js'
import { EvictionHand } from './evict.js'
import { ExpiryIndex } from './expiry.js'
import type { PagedObject } from './handles.js'
import { type InspectOptions, JsonView, type KeyInspection, unknownStep } from './inspect.js'
import { KeyWriter, keyGroupsMax, parseKey, prefixRange, space, stepPrefix } from './keys.js'
import {
  encodeMeta,
  encodeTurn,
  formatKey,
  formatVersion,
  type Meta,
  positionKey,
  readMeta,
  type StatePosition,
  turnKey,
} from './meta.js'
import { PagedCell } from './paged.js'
import { EntrySink } from './serialise.js'
import { StepState } from './step.js'
import { decodeTimes, encodeTimes, TimerTable } from './timers.js'
import { wipe } from './wipe.js'

const rangeEntriesMax = 4_096

export interface StateStoreOptions {
  readonly backend: StateBackend
  /** A multiple of the partition count: see keyGroupsFor. */
  readonly keyGroups: number
  readonly cacheBytesMax?: number
  readonly timersPerKeyMax?: number
  /** Of all keys of a step: timers are in memory, each 80 bytes and its key 150. */
  readonly timersPerStepMax?: number
  /** Put before every key, so that several stores share one backend; none of them a prefix of another. */
  readonly namespace?: Uint8Array
  /** Keeps what is written for the next checkpoint. */
  readonly spool?: DeltaSpool
}

const defaults = { cacheBytesMax: 256 << 20, timersPerKeyMax: 1_024, timersPerStepMax: 500_000 }

export interface StoreMemory extends Partial<BackendMemory> {
  readonly state: number
  readonly dirty: number
  readonly timers: number
}

/** A serialised epoch boundary on its way to the backend. */
export interface PendingWrite {
  /** Puts and deletes. */
  readonly operations: number
  /** Of the keys and values put. */
  readonly bytes: number
}

interface Pending extends PendingWrite {
  readonly batch: WriteBatch
  /** Its operations, where they are kept. */
  readonly recorded: RecordedBatch | undefined
  readonly entries: readonly KeyEntry[]
  readonly expiryClock: number
  readonly afterWrite: readonly (() => void)[]
  readonly armedDay: number
}

export class StateStore {
  readonly #core: StoreCore
  readonly #steps = new Map<string, StepState>()
  readonly #timers = new Map<string, TimerTable>()
  readonly #expiry: ExpiryIndex
  readonly #hand: EvictionHand
  readonly #cacheBytesMax: number
  #pending: Pending | undefined
  #writing: Promise<unknown> | undefined
  #afterWrite: readonly (() => void)[] = []
  #reflects: StatePosition | undefined
  readonly #spool: DeltaSpool | undefined
  /** Of the write-backs that the backend's content is made of. */
  #chain = ''
  /** Of the last write-back (meta.ts). */
  #turn = 0
  #isDamaged = false

  private constructor(options: StateStoreOptions) {
    const { backend, keyGroups, cacheBytesMax, timersPerKeyMax, timersPerStepMax } = { ...defaults, ...options }
    assert(keyGroups >= 1 && keyGroups <= 0xffff, `${keyGroups} key groups (usually at most ${keyGroupsMax})`)
    this.#core = {
      backend,
      keyGroups,
      timersPerKeyMax,
      timersPerStepMax,
      namespace: options.namespace ?? new Uint8Array(0),
      meter: new Meter(),
      keys: new KeyWriter(),
      expiryClock: Number.NEGATIVE_INFINITY,
      generation: 0,
      pendingPages: new Map(),
    }
    this.#cacheBytesMax = cacheBytesMax
    this.#spool = options.spool
    this.#expiry = new ExpiryIndex(this.#core)
    this.#hand = new EvictionHand(this.#steps)
  }

  /** @throws WeirError STATE_FORMAT, FINGERPRINT_MISMATCH (other key groups), BACKEND_FAILED */
  static async open(options: StateStoreOptions): Promise<StateStore> {
    const store = new StateStore(options)
    await store.discard()
    return store
  }

  /** Once true when the store is empty because a write-back was missing in it, as after damage to RocksDB's log. */
  takeDamage(): boolean {
    const damaged = this.#isDamaged
    this.#isDamaged = false
    return damaged
  }

  /** What the backend's content is the fold of; undefined for an empty store. */
  get reflects(): StatePosition | undefined {
    return this.#reflects
  }

  /** Estimated bytes in memory of everything resident, timers included. */
  get cacheBytes(): number {
    return this.#core.meter.cacheBytes
  }

  /** The part of them that changed since the last serialise, and so cannot be evicted. */
  get dirtyBytes(): number {
    return this.#core.meter.dirtyBytes
  }

  /** Where its memory goes, estimated bytes: dirty state and timers are parts of `state`. */
  get memory(): StoreMemory {
    const { meter, backend } = this.#core
    return { state: meter.cacheBytes, dirty: meter.dirtyBytes, timers: meter.timerBytes, ...backend.memory?.() }
  }

  /** Keys of all steps that changed since the last serialise. */
  get dirtyKeys(): number {
    let keys = 0
    for (const step of this.#steps.values()) keys += step.dirtyEntries.length
    return keys
  }

  /** Resident keys of all steps. */
  get residentKeys(): number {
    let keys = 0
    for (const step of this.#steps.values()) keys += step.entries.size
    return keys
  }

  /**
   * A step's state, for its operator to declare and the engine to drive; once a step between two discards.
   * @throws WeirError DUPLICATE_STEP
   */
  step(name: string): StepState {
    if (this.#steps.has(name)) throw new WeirError('DUPLICATE_STEP', `step '${name}' has its state already`)
    const step = new StepState(this.#core, name, this.#timersOf(name))
    this.#steps.set(name, step)
    return step
  }

  #timersOf(step: string): TimerTable {
    let table = this.#timers.get(step)
    if (table === undefined) {
      table = new TimerTable(this.#core.meter)
      this.#timers.set(step, table)
    }
    return table
  }

  /**
   * Moves the clock of expiry, at an epoch's boundary; it never goes back, and `write` stores it with the position.
   * @param atMs event time, ms since the epoch, from the journal
   */
  setExpiryClock(atMs: number): void {
    if (atMs > this.#core.expiryClock) this.#core.expiryClock = atMs
  }

  /** Takes everything that changed, as of now. Then write it, or discard. */
  serialise(): PendingWrite {
    assert(this.#pending === undefined, 'the batch before this one is written or discarded')
    for (const then of this.#afterWrite) then()
    this.#afterWrite = []
    const batch = this.#core.backend.batch()
    const recorded = this.#spool && new RecordedBatch(batch, this.#core.namespace.length)
    const sink = new EntrySink(this.#core, recorded ?? batch)
    for (const key of this.#expiry.deletes) sink.deleteKey(key)
    for (const key of this.#expiry.puts) sink.put(key, Buffer.alloc(0))
    sink.armedDay = this.#expiry.firstPut
    this.#expiry.serialised()
    const entries: KeyEntry[] = []
    for (const step of this.#steps.values()) {
      // Into the table in memory in its own order: half the time of an order that jumps.
      for (const entry of step.dirtyEntries.sort(byGroup)) {
        sink.at(step.name, step.entryPrefix, entry)
        for (const cell of entry.cells) {
          if (!cell.dirty) continue
          cell.dirty = false
          cell.save(sink)
        }
        entry.dirty = false
        entry.pending = true
        entries.push(entry)
      }
      step.dirtyEntries.length = 0
    }
    this.#serialiseTimers(sink)
    this.#core.meter.dirtyBytes = 0
    const { bytes, afterWrite, armedDay } = sink
    const { expiryClock } = this.#core
    this.#pending = { batch, recorded, bytes, entries, afterWrite, armedDay, expiryClock, operations: batch.operations }
    return this.#pending
  }

  #serialiseTimers(sink: EntrySink): void {
    const { namespace, keys } = this.#core
    const into = new ByteWriter()
    for (const [step, table] of this.#timers) {
      const prefix = stepPrefix(namespace, space.timer, step)
      table.drain((key, group, times) => {
        keys.begin(prefix, group, key)
        into.reset()
        encodeTimes(times, into)
        if (times.length === 0) sink.deleteKey(keys.whole())
        else sink.put(keys.whole(), into.view())
      })
    }
  }

  /**
   * Writes what `serialise` took, and the position that it reflects, all or nothing.
   * @throws WeirError BACKEND_FAILED; discard then
   */
  async write(pending: PendingWrite, position: StatePosition, options: { readonly sync: boolean }): Promise<void> {
    const ours = this.#pending
    assert(ours !== undefined && pending === ours && this.#writing === undefined, 'the pending batch, written once')
    const { backend, namespace, keyGroups } = this.#core
    const write = async (): Promise<string> => {
      const chain = ours.recorded === undefined ? '' : await this.#spool!.append(this.#chain, ours.recorded, position)
      const meta: Meta = { position, keyGroups, expiryClock: ours.expiryClock, chain, turn: this.#turn + 1 }
      ours.batch.put(formatKey(namespace), Buffer.of(formatVersion))
      ours.batch.put(positionKey(namespace), encodeMeta(meta))
      ours.batch.put(turnKey(namespace, meta.turn), encodeTurn(meta.turn))
      await backend.write(ours.batch, options)
      return chain
    }
    const writing = write()
    this.#writing = writing
    try {
      this.#chain = await writing
      this.#turn++
    } finally {
      this.#writing = undefined
    }
    this.#reflects = position
    for (const entry of ours.entries) entry.pending = false
    this.#core.pendingPages.clear()
    this.#afterWrite = ours.afterWrite
    this.#pending = undefined
    this.#expiry.rewind(ours.armedDay)
  }

  /** Evicts clean entries until the cache is within its bound, or nothing clean is left. @returns how many */
  evict(): number {
    const evicted = this.#hand.evict(this.#core.meter, this.#cacheBytesMax)
    if (evicted > 0) this.#core.generation++
    return evicted
  }

  /**
   * At an epoch's boundary: looks at up to `limit` entries of days that have passed by the expiry clock, and has the next
   * write remove the objects that expired. What operators see does not depend on it. @returns objects removed
   */
  async sweep(limit: number): Promise<number> {
    const due = (await this.#expiry.next(limit)).filter(entry => this.#steps.has(entry.at.step))
    for (const step of this.#steps.values()) {
      await step.prefetch(due.filter(entry => entry.at.step === step.name).map(entry => entry.at.key))
    }
    let removed = 0
    for (const entry of due) {
      const cell = this.#steps.get(entry.at.step)!.cellOf(entry.at.key, entry.handle)
      const found = cell instanceof PagedCell ? await cell.sweep() : 'absent'
      if (found === 'kept') this.#expiry.move(entry, (cell as PagedCell<PagedObject>).deadline())
      else this.#expiry.remove(entry)
      if (found === 'removed') removed++
    }
    return removed
  }

  /**
   * What a step keeps of a key, as an operator would find it now. Between epochs; it changes nothing (inspect.ts).
   * @throws WeirError UNKNOWN_STEP, STATE_KEY_TOO_LONG, BACKEND_FAILED
   */
  async inspect(step: string, key: string, options: InspectOptions): Promise<KeyInspection> {
    const state = this.#steps.get(step)
    if (state === undefined) throw unknownStep(this.#steps.keys())
    return await state.inspect(key, new JsonView(options))
  }

  /** Back to what the backend holds. Every StepState is dead; steps are declared anew. */
  async discard(): Promise<void> {
    // A write that is under way belongs to a committed epoch; its caller learns how it ended.
    await this.#writing?.catch(() => undefined)
    this.#forget()
    const { backend, namespace, keyGroups } = this.#core
    const meta = await readMeta(backend, namespace, () => {
      this.#isDamaged = true
    })
    if (meta === undefined) {
      await this.#spool?.align(undefined)
      return await wipe(backend, namespace)
    }
    await this.#spool?.align(meta.chain)
    if (meta.keyGroups !== keyGroups) {
      throw new WeirError('FINGERPRINT_MISMATCH', `the state has ${meta.keyGroups} key groups, the plan ${keyGroups}`)
    }
    this.#reflects = meta.position
    this.#chain = meta.chain
    this.#turn = meta.turn
    this.#core.expiryClock = meta.expiryClock
    await this.#loadTimers()
  }

  /** Empties cache and backend. Every StepState is dead. */
  async reset(): Promise<void> {
    await this.#writing?.catch(() => undefined)
    this.#forget()
    const { backend, namespace } = this.#core
    // The position goes first: a crash from here on leaves a store that `open` wipes.
    const batch = backend.batch()
    batch.delete(positionKey(namespace))
    await backend.write(batch, { sync: true })
    await this.#spool?.align(undefined)
    await wipe(backend, namespace)
  }

  close(): Promise<void> {
    this.#forget()
    return this.#core.backend.close()
  }

  #forget(): void {
    const { meter, pendingPages } = this.#core
    for (const step of this.#steps.values()) step.current = undefined
    this.#steps.clear()
    this.#timers.clear()
    this.#hand.restart()
    meter.cacheBytes = 0
    meter.dirtyBytes = 0
    meter.timerBytes = 0
    pendingPages.clear()
    this.#pending = undefined
    this.#afterWrite = []
    this.#expiry.serialised()
    this.#expiry.rewind(0)
    this.#core.expiryClock = Number.NEGATIVE_INFINITY
    this.#core.generation++
    this.#reflects = undefined
    this.#chain = ''
    this.#turn = 0
  }

  async #loadTimers(): Promise<void> {
    const { backend, namespace } = this.#core
    const { gte, lt } = prefixRange(Buffer.concat([namespace, Buffer.of(space.timer)]))
    for (let from = gte; ; ) {
      const slice = await backend.range({ gte: from, lt, limit: rangeEntriesMax })
      for (const { key, value } of slice) {
        const at = parseKey(key, namespace.length + 1)
        this.#timersOf(at.step).load(at.key, at.group, decodeTimes(value))
      }
      if (slice.length < rangeEntriesMax) break
      from = Buffer.concat([slice[slice.length - 1]!.key, Buffer.of(0)])
    }
  }
}

/**
 * The state of one step: what its operator declares and uses, and what the engine does around the operator's calls:
 *
 *   prefetch(keys of the epoch) … enter(key), beginCall(), operator, endCall()
 *   on StateMiss, or a full output: rollbackCall(), loadMissing() if `missing`, and again from enter
 *
 * Invariants: 1. handles are declared before the first key is resident; 2. an object touched by a call that is rolled back
 * stays dirty but must not have been changed (handles.ts, rule 1); 3. `enter` and the call hooks allocate nothing.
 */
import { assert, WeirError } from '../kernel/index.js'
import { byGroup, type Cell, type HandleCore, KeyEntry, type StepScope, type StoreCore } from './entry.js'
import { BoundedMap, ExpiringValue, heldMapCodec, heldValueCodec } from './expiring.js'
import type {
  MapOptions,
  MapState,
  PagedCodec,
  PagedObject,
  PagedState,
  StateCodec,
  StateFactory,
  ValueOptions,
  ValueState,
} from './handles.js'
import { type HandleInspection, isoTime, type JsonView, type KeyInspection } from './inspect.js'
import { checkKeyLength, type KeyWriter, keyGroupOf, lengthPrefixed, space, stepPrefix } from './keys.js'
import { MapHandle } from './map.js'
import { StateMiss } from './miss.js'
import { wellFormed } from './order.js'
import { type PagedCell, PagedHandle } from './paged.js'
import { StepTimers, type TimerTable } from './timers.js'
import { UndoLog } from './undo.js'
import { ValueHandle } from './value.js'

/** Keys read in one call of the backend. */
const keysPerReadMax = 8_192

export class StepState implements StateFactory, StepScope {
  readonly name: string
  readonly core: StoreCore
  readonly timers: StepTimers
  readonly undo = new UndoLog()
  readonly entries = new Map<string, KeyEntry>()
  /** Changed since the last serialise, in the order of their first change. */
  readonly dirtyEntries: KeyEntry[] = []
  readonly entryPrefix: Buffer
  current: KeyEntry | undefined = undefined
  readonly #handles: HandleCore[] = []
  readonly #suffixes: Buffer[] = []
  /** Indexes of the handles whose objects may expire. */
  readonly #paged: number[] = []
  readonly #afterCall: (() => void)[] = []
  #miss: StateMiss | undefined

  /** For StateStore.step only. */
  constructor(core: StoreCore, name: string, timers: TimerTable) {
    this.core = core
    this.name = name
    this.entryPrefix = stepPrefix(core.namespace, space.entry, name)
    this.timers = new StepTimers(this, timers)
  }

  value<V>(name: string, codec: StateCodec<V>, { ttl }: ValueOptions = {}): ValueState<V> {
    if (ttl !== undefined) {
      return new ExpiringValue(this, name, codec, this.#paging(name, heldValueCodec(codec, ttl), 'value'))
    }
    return this.#declare(new ValueHandle(this, this.#handles.length, name, codec))
  }

  map<V>(name: string, codec: StateCodec<V>, options: MapOptions = {}): MapState<V> {
    if (options.ttl !== undefined || options.entriesMax !== undefined) {
      return new BoundedMap(this, name, codec, options, this.#paging(name, heldMapCodec(codec, options), 'map'))
    }
    return this.#declare(new MapHandle(this, this.#handles.length, name, codec))
  }

  paged<O extends PagedObject>(name: string, codec: PagedCodec<O>): PagedState<O> {
    return this.#paging(name, codec, 'paged')
  }

  #paging<O extends PagedObject>(name: string, codec: PagedCodec<O>, kind: HandleCore['kind']): PagedHandle<O> {
    this.#paged.push(this.#handles.length)
    return this.#declare(new PagedHandle(this, this.#handles.length, name, codec, kind))
  }

  #declare<H extends HandleCore>(handle: H): H {
    assert(this.entries.size === 0, `state '${handle.name}' of step '${this.name}' is declared after the first key`)
    if (this.#handles.some(other => other.name === handle.name)) {
      throw new WeirError('DUPLICATE_STATE', `step '${this.name}' declares state '${handle.name}' twice`)
    }
    this.#handles.push(handle)
    this.#suffixes.push(lengthPrefixed(handle.name))
    return handle
  }

  /**
   * Makes the keys resident: one batched read of every value and root of those that are not. Repeats are fine.
   * @throws WeirError STATE_KEY_TOO_LONG, BACKEND_FAILED
   */
  async prefetch(keys: readonly string[]): Promise<void> {
    let missing: Set<string> | undefined
    for (const key of keys) {
      const entry = this.entries.get(key)
      if (entry !== undefined) entry.referenced = true
      else {
        missing ??= new Set()
        missing.add(wellFormed(key))
      }
    }
    if (missing === undefined) return
    const list = [...missing]
    for (let i = 0; i < list.length; i += keysPerReadMax) await this.#load(list.slice(i, i + keysPerReadMax))
  }

  /**
   * Like `prefetch`, and hands out the residents, one for each key, for `enterResident`. They are good until the next
   * eviction or discard: for this epoch.
   */
  async resolve(keys: readonly string[], residents: KeyEntry[]): Promise<void> {
    if (this.#find(keys, residents)) return
    await this.prefetch(keys)
    for (let i = 0; i < keys.length; i++) residents[i] = this.entries.get(keys[i]!) ?? this.#enterSlowly(keys[i]!)
  }

  /** One look-up a key where all of them are resident, which is the common case. */
  #find(keys: readonly string[], residents: KeyEntry[]): boolean {
    residents.length = keys.length
    for (let i = 0; i < keys.length; i++) {
      const entry = this.entries.get(keys[i]!)
      if (entry === undefined) return false
      residents[i] = entry
    }
    return true
  }

  async #load(keys: readonly string[]): Promise<void> {
    const { core } = this
    for (;;) {
      const absent = keys.filter(key => !this.entries.has(key))
      const generation = core.generation
      // Neighbours on disk, one after the other.
      const entries = absent.map(key => this.#newEntry(key)).sort(byGroup)
      const roots = await this.#rootsOf(entries)
      // Evicted meanwhile, perhaps after a change that this read has not seen: read again.
      if (core.generation !== generation) continue
      entries.forEach((entry, i) => {
        if (!this.entries.has(entry.key)) this.#admit(entry, roots, i * this.#handles.length)
      })
      return
    }
  }

  /** Of each entry the root of each handle. */
  async #rootsOf(entries: readonly KeyEntry[]): Promise<readonly (Buffer | undefined)[]> {
    const storageKeys: Buffer[] = []
    for (const entry of entries) {
      const writer = this.keysOf(entry)
      for (const suffix of this.#suffixes) storageKeys.push(Buffer.from(writer.root(suffix)))
    }
    return storageKeys.length === 0 ? [] : await this.core.backend.getMany(storageKeys)
  }

  #newEntry(key: string): KeyEntry {
    checkKeyLength(key)
    return new KeyEntry(key, keyGroupOf(Buffer.from(key, 'utf8'), this.core.keyGroups))
  }

  #admit(entry: KeyEntry, roots: readonly (Buffer | undefined)[], first: number): void {
    entry.cells = this.#cellsOf(entry, roots, first)
    for (const cell of entry.cells) entry.bytes += cell.bytes
    this.entries.set(entry.key, entry)
    this.core.meter.cacheBytes += entry.bytes
  }

  #cellsOf(entry: KeyEntry, roots: readonly (Buffer | undefined)[], first: number): readonly Cell[] {
    return this.#handles.map((handle, i) => {
      const root = roots[first + i]
      return root === undefined ? handle.create(entry) : this.#loadCell(handle, entry, root)
    })
  }

  #loadCell(handle: HandleCore, entry: KeyEntry, root: Buffer): Cell {
    try {
      return handle.load(entry, root)
    } catch (error) {
      // Neither the key nor what the codec says of its bytes: they may name a customer, and errors are logged.
      const what = `state '${handle.name}' of step '${this.name}' does not decode in key group ${entry.group}`
      throw new WeirError('BACKEND_FAILED', what, { cause: error })
    }
  }

  /** Makes `key` current for all handles. @throws StateMiss when it is not resident, or when what expired must be found */
  enter(key: string): void {
    let entry = this.current
    if (entry === undefined || entry.key !== key) {
      entry = this.entries.get(key)
      if (entry === undefined) entry = this.#enterSlowly(key)
    }
    this.enterResident(entry)
  }

  /** `enter` without the look-up. @throws StateMiss as `enter` */
  enterResident(entry: KeyEntry): void {
    this.current = entry
    entry.referenced = true
    const paged = this.#paged
    if (paged.length > 0 && this.core.expiryClock !== Number.NEGATIVE_INFINITY) {
      for (let i = 0; i < paged.length; i++) (entry.cells[paged[i]!] as PagedCell<PagedObject>).dropIfExpired()
    }
  }

  #enterSlowly(rawKey: string): KeyEntry {
    const key = wellFormed(rawKey)
    const entry = this.entries.get(key)
    if (entry !== undefined) return entry
    this.current = undefined
    return this.miss(`key '${key}'`, () => this.prefetch([key]))
  }

  beginCall(): void {
    this.undo.forget()
  }

  endCall(): void {
    this.undo.forget()
    if (this.#afterCall.length > 0) this.#releaseLoaded()
  }

  /** Takes back what the call set, cleared and deleted, timers included. What it had loaded stays for the next try. */
  rollbackCall(): void {
    this.undo.rollback()
  }

  /** True from a StateMiss to the `loadMissing` that answers it. */
  get missing(): boolean {
    return this.#miss !== undefined
  }

  /** Loads what the last StateMiss asked for. @throws WeirError BACKEND_FAILED */
  async loadMissing(): Promise<void> {
    const miss = this.#miss
    this.#miss = undefined
    await miss?.load()
  }

  #releaseLoaded(): void {
    for (const release of this.#afterCall) release()
    this.#afterCall.length = 0
  }

  miss(what: string, load: () => Promise<void>): never {
    this.#miss = new StateMiss(`step '${this.name}': ${what}`, load)
    throw this.#miss
  }

  afterCall(release: () => void): void {
    this.#afterCall.push(release)
  }

  markDirty(entry: KeyEntry, cell: Cell): void {
    if (cell.dirty) return
    cell.dirty = true
    if (entry.dirty) return
    entry.dirty = true
    this.dirtyEntries.push(entry)
    this.core.meter.dirtyBytes += entry.bytes
  }

  keysOf(entry: KeyEntry): KeyWriter {
    this.core.keys.begin(this.entryPrefix, entry.group, entry.key)
    return this.core.keys
  }

  /**
   * What the key's state is, from memory where it is resident and else decoded from the backend, for this once.
   * Between epochs only. @throws WeirError STATE_KEY_TOO_LONG, BACKEND_FAILED
   */
  async inspect(rawKey: string, view: JsonView): Promise<KeyInspection> {
    const key = wellFormed(rawKey)
    const resident = this.entries.get(key)
    const entry = resident ?? (await this.#readAside(key))
    const states: HandleInspection[] = []
    for (const [i, cell] of entry.cells.entries()) {
      const { name, kind, codec } = this.#handles[i]!
      states.push({ name, kind, codec: `${codec.name}@${codec.version}`, ...(await cell.inspect(view)) })
    }
    const timers = this.timers.timesOf(key).map(isoTime)
    return {
      step: this.name,
      key: view.text(key),
      group: entry.group,
      found: timers.length > 0 || states.some(({ present }) => present),
      resident: resident !== undefined,
      dirty: entry.dirty || entry.pending,
      states,
      timers,
    }
  }

  /** An entry that is not among the residents, and not counted. */
  async #readAside(key: string): Promise<KeyEntry> {
    const entry = this.#newEntry(key)
    entry.cells = this.#cellsOf(entry, await this.#rootsOf([entry]), 0)
    return entry
  }

  /** The handle's cell of a resident key. */
  cellOf(key: string, handle: string): Cell | undefined {
    const index = this.#handles.findIndex(other => other.name === handle)
    return this.entries.get(key)?.cells[index]
  }
}

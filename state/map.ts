/**
 * A map of sub-keys for each key, of which only the touched part need be in memory.
 *
 * Invariants: 1. `known` is right for every sub-key in it: a value, or undefined for known to be absent; 2. a map without
 * a root has no stored entries, so the map of a new key needs no reads; 3. what is absent from `known` is absent from the
 * map if `complete`, and unknown otherwise; 4. entries iterate in the order of their UTF-8 bytes (I3).
 */
import { assert, ByteReader } from '../kernel/index.js'
import { type Cell, currentEntry, type HandleCore, type KeyEntry, resize, type StepScope } from './entry.js'
import { checkAccepted, type MapState, type StateCodec } from './handles.js'
import { type CellInspection, entriesShownMax, type JsonView } from './inspect.js'
import { checkKeyLength, lengthPrefixed } from './keys.js'
import { compareUtf8, wellFormed } from './order.js'
import type { EntrySink } from './serialise.js'
import type { Undoable } from './undo.js'

const cellBytes = 330
/** A Map slot, the sub-key's string and a value of unknown shape. */
const subEntryBytes = 160
const rangeEntriesMax = 4_096

export class MapHandle<V> implements MapState<V>, HandleCore {
  readonly kind = 'map'
  readonly name: string
  readonly suffix: Buffer
  readonly scope: StepScope
  readonly codec: StateCodec<V>
  readonly #index: number

  constructor(scope: StepScope, index: number, name: string, codec: StateCodec<V>) {
    this.name = name
    this.suffix = lengthPrefixed(name)
    this.scope = scope
    this.codec = codec
    this.#index = index
  }

  get(subKey: string): V | undefined {
    return this.#cell().get(subKey)
  }

  set(subKey: string, value: V): void {
    assert(value !== undefined, `state '${this.name}': undefined is no value, use delete`)
    checkAccepted(this.name, this.codec, value)
    this.#cell().change(subKey, value)
  }

  delete(subKey: string): void {
    this.#cell().change(subKey, undefined)
  }

  entries(): readonly (readonly [string, V])[] {
    return this.#cell().entries()
  }

  #cell(): MapCell<V> {
    return currentEntry(this.scope).cells[this.#index] as MapCell<V>
  }

  create(entry: KeyEntry): Cell {
    return new MapCell(this, entry, false)
  }

  load(entry: KeyEntry, _root: Buffer): Cell {
    return new MapCell(this, entry, true)
  }
}

/** Stands for "was not in `known`" in the undo log. */
const unknown = Symbol('unknown')

class MapCell<V> implements Cell, Undoable {
  readonly #handle: MapHandle<V>
  readonly #entry: KeyEntry
  readonly #known = new Map<string, V | undefined>()
  readonly #changed = new Set<string>()
  #stored: boolean
  #complete: boolean
  #sorted: readonly (readonly [string, V])[] | undefined
  dirty = false
  bytes = cellBytes

  constructor(handle: MapHandle<V>, entry: KeyEntry, stored: boolean) {
    this.#handle = handle
    this.#entry = entry
    this.#stored = stored
    this.#complete = !stored
  }

  get(subKey: string): V | undefined {
    const value = this.#known.get(subKey)
    if (value !== undefined) return value
    if (this.#known.has(subKey)) return undefined
    return this.#getSlowly(wellFormed(subKey))
  }

  #getSlowly(subKey: string): V | undefined {
    if (this.#complete || this.#known.has(subKey)) return this.#known.get(subKey)
    checkKeyLength(subKey)
    return this.#handle.scope.miss(`an entry of state '${this.#handle.name}'`, () => this.#loadOne(subKey))
  }

  change(rawSubKey: string, value: V | undefined): void {
    const subKey = this.#known.has(rawSubKey) ? rawSubKey : wellFormed(rawSubKey)
    checkKeyLength(subKey)
    const known = this.#known.has(subKey)
    this.#handle.scope.undo.push(this, subKey, known ? this.#known.get(subKey) : unknown)
    this.#known.set(subKey, value)
    this.#changed.add(subKey)
    this.#sorted = undefined
    this.#measure()
    this.#handle.scope.markDirty(this.#entry, this)
  }

  restore(what: unknown, before: unknown): void {
    if (before === unknown) this.#known.delete(what as string)
    else this.#known.set(what as string, before as V | undefined)
    this.#sorted = undefined
  }

  entries(): readonly (readonly [string, V])[] {
    if (!this.#complete) {
      this.#handle.scope.miss(`all of state '${this.#handle.name}'`, () => this.#loadAll())
    }
    this.#sorted ??= [...this.#known]
      .filter((pair): pair is [string, V] => pair[1] !== undefined)
      .sort((a, b) => compareUtf8(a[0], b[0]))
    return this.#sorted
  }

  async #loadOne(subKey: string): Promise<void> {
    const { scope, suffix } = this.#handle
    const key = Buffer.from(scope.keysOf(this.#entry).part(suffix, subKey))
    const [bytes] = await scope.core.backend.getMany([key])
    this.#learn(subKey, bytes)
  }

  async #loadAll(): Promise<void> {
    const { scope, suffix } = this.#handle
    const { gte, lt, idFrom } = scope.keysOf(this.#entry).parts(suffix)
    for (let from = gte; ; ) {
      const slice = await scope.core.backend.range({ gte: from, lt, limit: rangeEntriesMax })
      for (const { key, value } of slice) this.#learn(key.toString('utf8', idFrom), value)
      if (slice.length < rangeEntriesMax) break
      from = Buffer.concat([slice[slice.length - 1]!.key, Buffer.of(0)])
    }
    this.#complete = true
  }

  /** What memory knows is newer than what the backend has. */
  #learn(subKey: string, bytes: Buffer | undefined): void {
    if (this.#known.has(subKey)) return
    this.#known.set(subKey, bytes === undefined ? undefined : this.#handle.codec.decode(new ByteReader(bytes)))
    this.#sorted = undefined
    this.#measure()
  }

  #measure(): void {
    resize(this.#handle.scope.core.meter, this.#entry, this, cellBytes + subEntryBytes * this.#known.size)
  }

  save(sink: EntrySink): void {
    const { suffix, codec } = this.#handle
    const deleted: string[] = []
    for (const subKey of this.#changed) {
      const value = this.#known.get(subKey)
      if (value !== undefined) {
        codec.encode(value, sink.scratch())
        sink.putPart(suffix, subKey)
      } else if (this.#known.has(subKey)) {
        sink.deletePart(suffix, subKey)
        deleted.push(subKey)
      }
      // else: set by a call that was undone, so the backend is right
    }
    this.#changed.clear()
    const empty = this.#complete && this.#isEmpty()
    if (empty && this.#stored) sink.deleteRoot(suffix)
    else if (!empty && !this.#stored) {
      sink.scratch().u8(1)
      sink.putRoot(suffix)
    }
    this.#stored = !empty
    // Until the deletes are in the backend, memory alone knows of them.
    if (deleted.length > 0) sink.onceWritten(() => this.#forgetDeleted(deleted))
  }

  #forgetDeleted(subKeys: readonly string[]): void {
    for (const subKey of subKeys) {
      if (!this.#changed.has(subKey) && this.#known.get(subKey) === undefined) this.#known.delete(subKey)
    }
    this.#measure()
  }

  /** What a busy key has touched must not gather in memory: the backend has it. */
  trim(): void {
    if (this.#entry.pending || !this.#stored) return
    for (const subKey of this.#known.keys()) if (!this.#changed.has(subKey)) this.#known.delete(subKey)
    this.#complete = false
    this.#sorted = undefined
    this.#measure()
  }

  async inspect(view: JsonView): Promise<CellInspection> {
    const entries = await this.#firstEntries(entriesShownMax + 1)
    if (entries.length === 0) return { present: false, value: null, truncated: false }
    const { value, truncated } = view.render(
      entries.slice(0, entriesShownMax).map(([subKey, of]) => ({ key: subKey, value: of })),
    )
    return { present: true, value, truncated: truncated || entries.length > entriesShownMax }
  }

  /** From memory and backend, and nothing is learnt: at least the first `count` entries, in order, if there are so many. */
  async #firstEntries(count: number): Promise<readonly (readonly [string, V])[]> {
    const { scope, suffix, codec } = this.#handle
    const { gte, lt, idFrom } = scope.keysOf(this.#entry).parts(suffix)
    const found = new Map<string, V>()
    for (let from = gte; !this.#complete; ) {
      const slice = await scope.core.backend.range({ gte: from, lt, limit: count })
      for (const { key, value } of slice) {
        const subKey = key.toString('utf8', idFrom)
        // What memory knows is newer.
        if (!this.#known.has(subKey)) found.set(subKey, codec.decode(new ByteReader(value)))
      }
      if (slice.length < count || found.size >= count) break
      from = Buffer.concat([slice[slice.length - 1]!.key, Buffer.of(0)])
    }
    for (const [subKey, value] of this.#known) if (value !== undefined) found.set(subKey, value)
    return [...found].sort((a, b) => compareUtf8(a[0], b[0]))
  }

  #isEmpty(): boolean {
    for (const value of this.#known.values()) if (value !== undefined) return false
    return true
  }
}

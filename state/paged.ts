/**
 * Objects of several storage entries (handles.ts, PagedObject), and their expiry by event time.
 *
 * Invariants: 1. an object that expired before the expiry clock is absent to whoever enters its key, whether or not it has
 * been swept, evicted or loaded since: results depend on the clock alone; 2. no page of an expired object survives the
 * object that follows it; 3. a stored object that can expire has at least one entry in the expiry index, at or before the
 * day on which it expires (expiry.ts moves it on).
 */
import { assert, ByteReader, type ByteWriter, defined, WeirError } from '../kernel/index.js'
import { type Cell, currentEntry, type HandleCore, type KeyEntry, resize, type StepScope } from './entry.js'
import { expiryDay } from './expiry.js'
import type { PagedCodec, PagedObject, PagedState, PageSource, PageWriter } from './handles.js'
import { type CellInspection, isoTime, type JsonView, pagesReadMax } from './inspect.js'
import { lengthPrefixed } from './keys.js'
import type { EntrySink } from './serialise.js'

const cellBytes = 150
const rangeEntriesMax = 4_096

/** First byte of a root, bit 0: the expiry index has the object. Bit 1: the clock of the last touch follows. */
const armedFlag = 1
const touchedFlag = 2

/** How much of a stored root is not the object's own. */
export const pagedHeadBytes = (root: Buffer): number => (((root[0] ?? 0) & touchedFlag) === 0 ? 1 : 9)

export class PagedHandle<O extends PagedObject> implements PagedState<O>, HandleCore {
  readonly kind: HandleCore['kind']
  readonly name: string
  readonly suffix: Buffer
  readonly scope: StepScope
  readonly codec: PagedCodec<O>
  readonly #index: number

  constructor(scope: StepScope, index: number, name: string, codec: PagedCodec<O>, kind: HandleCore['kind'] = 'paged') {
    this.kind = kind
    this.name = name
    this.suffix = lengthPrefixed(name)
    this.scope = scope
    this.codec = codec
    this.#index = index
  }

  get(): O {
    const cell = currentEntry(this.scope).cells[this.#index] as PagedCell<O>
    return cell.object ?? cell.create()
  }

  touch(): void {
    const entry = currentEntry(this.scope)
    const cell = entry.cells[this.#index] as PagedCell<O>
    this.scope.markDirty(entry, cell)
    cell.touchedAt = this.scope.core.expiryClock
    cell.measure()
  }

  create(entry: KeyEntry): Cell {
    return new PagedCell(this, entry)
  }

  load(entry: KeyEntry, root: Buffer): Cell {
    const cell = new PagedCell(this, entry)
    cell.load(root)
    return cell
  }
}

export class PagedCell<O extends PagedObject> implements Cell, PageSource {
  readonly #handle: PagedHandle<O>
  readonly #entry: KeyEntry
  object: O | undefined = undefined
  dirty = false
  bytes = cellBytes
  /** The expiry index has an entry for this object. */
  armed = false
  /** Where the expiry clock stood at the last touch. */
  touchedAt = Number.NEGATIVE_INFINITY
  /** The backend, or what is on its way there, has a root. */
  #stored = false
  /** Pages read for the running call. */
  #loaded: Map<string, Buffer> | undefined
  /** Pages of an expired predecessor, to be deleted with the next save. */
  #purge: readonly Buffer[] | undefined

  constructor(handle: PagedHandle<O>, entry: KeyEntry) {
    this.#handle = handle
    this.#entry = entry
  }

  create(): O {
    const object = this.#handle.codec.create(this)
    this.object = object
    this.measure()
    return object
  }

  load(root: Buffer): void {
    const from = new ByteReader(root)
    const flags = from.u8()
    this.armed = (flags & armedFlag) !== 0
    this.touchedAt = (flags & touchedFlag) === 0 ? Number.NEGATIVE_INFINITY : from.f64()
    this.object = this.#handle.codec.load(from, this)
    this.#stored = true
    this.bytes = cellBytes + this.object.bytesInMemory
  }

  measure(): void {
    const bytes = cellBytes + (this.object === undefined ? 0 : this.object.bytesInMemory)
    if (bytes !== this.bytes) resize(this.#handle.scope.core.meter, this.#entry, this, bytes)
  }

  trim(): void {
    this.object?.trim?.()
    this.measure()
  }

  page(id: string): ByteReader {
    const bytes = this.#loaded?.get(id) ?? this.#handle.scope.core.pendingPages.get(this)?.get(id)
    if (bytes !== undefined) return new ByteReader(bytes)
    return this.#handle.scope.miss(`page '${id}' of state '${this.#handle.name}'`, () => this.#loadPage(id))
  }

  async #loadPage(id: string): Promise<void> {
    const { scope } = this.#handle
    const [bytes] = await this.#readPages([id])
    if (this.#loaded === undefined) {
      this.#loaded = new Map()
      scope.afterCall(() => {
        this.#loaded = undefined
        this.measure()
      })
    }
    this.#loaded.set(id, defined(bytes, 'a page that was read'))
  }

  async #readPages(ids: readonly string[]): Promise<Buffer[]> {
    const { scope, suffix, name } = this.#handle
    const keys = ids.map(id => Buffer.from(scope.keysOf(this.#entry).part(suffix, id)))
    return (await scope.core.backend.getMany(keys)).map(bytes => {
      if (bytes !== undefined) return bytes
      // Not the key, which may name a customer: errors are logged.
      const what = `a page of state '${name}' of step '${scope.name}' is gone in key group ${this.#entry.group}`
      throw new WeirError('BACKEND_FAILED', what)
    })
  }

  async inspect(view: JsonView): Promise<CellInspection> {
    const { object } = this
    // One that was only asked for is not there yet; nor is one whose pages go with the next save.
    const kept = this.dirty || (this.#stored && this.#purge === undefined)
    if (object === undefined || !kept || this.expired()) return { present: false, value: null, truncated: false }
    const read = async (ids: readonly string[]): Promise<ByteReader[]> => {
      assert(ids.length <= pagesReadMax, `${ids.length} pages of at most ${pagesReadMax}`)
      const pending = this.#handle.scope.core.pendingPages.get(this)
      const stored = await this.#readPages(ids.filter(id => !pending?.has(id)))
      let next = 0
      return ids.map(id => new ByteReader(pending?.get(id) ?? stored[next++]!))
    }
    const described = await this.#handle.codec.inspect?.(object, { max: pagesReadMax, read }, view)
    const deadline = this.deadline()
    return {
      present: described?.present ?? true,
      value: described?.value ?? null,
      truncated: described?.truncated ?? false,
      ...(Number.isFinite(deadline) && { expires_at: isoTime(deadline) }),
    }
  }

  /** Event time after which the object counts as absent; Infinity when it never does. */
  deadline(): number {
    return this.object?.expiresAt?.(this.touchedAt) ?? Number.POSITIVE_INFINITY
  }

  /** True when the object counts as absent from now on. */
  expired(): boolean {
    return this.deadline() < this.#handle.scope.core.expiryClock
  }

  /**
   * Called when the key is entered. @throws StateMiss when the pages to delete have to be found first
   */
  dropIfExpired(): void {
    if (!this.expired()) return
    if (!this.#stored || this.#purge !== undefined) {
      this.object = undefined
      this.measure()
      return
    }
    this.#handle.scope.miss(`what expired of state '${this.#handle.name}'`, () => this.expire())
  }

  /** Makes the object absent; its pages go with the next save. */
  async expire(): Promise<void> {
    const { scope, suffix } = this.#handle
    const pages: Buffer[] = []
    for (const id of scope.core.pendingPages.get(this)?.keys() ?? []) {
      pages.push(Buffer.from(scope.keysOf(this.#entry).part(suffix, id)))
    }
    const { gte, lt } = scope.keysOf(this.#entry).parts(suffix)
    for (let from = gte; ; ) {
      const slice = await scope.core.backend.range({ gte: from, lt, limit: rangeEntriesMax })
      for (const { key } of slice) pages.push(key)
      if (slice.length < rangeEntriesMax) break
      from = Buffer.concat([slice[slice.length - 1]!.key, Buffer.of(0)])
    }
    this.object = undefined
    this.#purge = pages
    this.measure()
  }

  /**
   * The expiry index has come to this object. 'kept': it is not due yet; 'removed': it goes with the next save; 'absent':
   * there is nothing to remove. The index entry is the caller's.
   */
  async sweep(): Promise<'kept' | 'removed' | 'absent'> {
    // A successor that nobody touched is what `create` makes: dropping it changes nothing, and lets the expired one go.
    if (this.#purge !== undefined && !this.dirty) this.object = undefined
    if (this.expired()) await this.expire()
    else if (this.object?.expiresAt !== undefined) return 'kept'
    this.armed = false
    if (!this.#stored) return 'absent'
    this.#handle.scope.markDirty(this.#entry, this)
    return 'removed'
  }

  save(sink: EntrySink): void {
    const { suffix } = this.#handle
    if (this.#purge !== undefined) {
      for (const key of this.#purge) sink.deleteKey(key)
      sink.deleteRoot(suffix)
      this.#purge = undefined
      this.#stored = false
    }
    const object = this.object
    if (object === undefined) {
      if (this.#stored) sink.deleteRoot(suffix)
      this.#stored = false
      return
    }
    if (!this.armed && this.deadline() !== Number.POSITIVE_INFINITY) {
      sink.armExpiry(expiryDay(this.deadline()), suffix)
      this.armed = true
    }
    const writer = new CellWriter(sink, suffix, this)
    object.save(writer)
    assert(object.expiresAt === undefined || writer.wroteRoot || writer.deletedRoot, 'what can expire writes its root')
    if (writer.wroteRoot) this.#stored = true
    if (writer.deletedRoot) {
      this.object = undefined
      this.#stored = false
    }
    this.measure()
  }
}

class CellWriter implements PageWriter {
  readonly #sink: EntrySink
  readonly #suffix: Buffer
  readonly #cell: Cell & { readonly armed: boolean; readonly touchedAt: number }
  wroteRoot = false
  deletedRoot = false

  constructor(sink: EntrySink, suffix: Buffer, cell: Cell & { readonly armed: boolean; readonly touchedAt: number }) {
    this.#sink = sink
    this.#suffix = suffix
    this.#cell = cell
  }

  root(encode: (into: ByteWriter) => void): void {
    const into = this.#sink.scratch()
    const { armed, touchedAt } = this.#cell
    const touched = touchedAt !== Number.NEGATIVE_INFINITY
    into.u8((armed ? armedFlag : 0) | (touched ? touchedFlag : 0))
    if (touched) into.f64(touchedAt)
    encode(into)
    this.#sink.putRoot(this.#suffix)
    this.wroteRoot = true
  }

  page(id: string, encode: (into: ByteWriter) => void): void {
    encode(this.#sink.scratch())
    this.#sink.putPage(this.#cell, this.#suffix, id)
  }

  deletePage(id: string): void {
    this.#sink.deletePage(this.#cell, this.#suffix, id)
  }

  deleteRoot(): void {
    this.#sink.deleteRoot(this.#suffix)
    this.deletedRoot = true
  }
}

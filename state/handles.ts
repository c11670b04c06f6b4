/**
 * State as operators see it: declared once, then handed out; the engine owns serialisation, caching and eviction.
 *
 * A handle always speaks of the current key, which the engine sets before it calls the operator.
 * Rules for operators:
 * 1. Values are immutable: change state with `set`, never by mutating what `get` returned.
 *    (A reservoir is the exception; it reads everything it needs before its first mutation.)
 * 2. A read that is not in memory throws `StateMiss`. The engine undoes what this call set, loads the entry and calls
 *    the operator again with the same record. Never catch it.
 */
import type { ByteReader, ByteWriter, DurationMs, EventTimeMs } from '../kernel/index.js'
import type { Json, JsonView } from './inspect.js'

/** Turns a value into bytes and back; equal values must give equal bytes. `version` is part of the fingerprint. */
export interface StateCodec<V> {
  readonly name: string
  readonly version: number
  /** Avro, as canonical JSON, where values evolve by it (savepoint/avro.ts). */
  readonly schema?: string
  /**
   * Whether `encode` takes the value and `decode` gives it back: asked when it is set. What is found out at the write-back
   * only fails the slot, because no record can be left out any more (I7).
   */
  accepts?(value: V): boolean
  encode(value: V, into: ByteWriter): void
  decode(from: ByteReader): V
}

/** @throws TypeError for a value that the codec does not take */
export function checkAccepted<V>(state: string, codec: StateCodec<V>, value: V): void {
  if (codec.accepts === undefined || codec.accepts(value)) return
  throw new TypeError(`state '${state}': ${codec.name} does not take ${inWords(value)}`)
}

function inWords(value: unknown): string {
  if (value instanceof Uint8Array) return `a ${value.constructor.name} of ${value.length} bytes`
  return `${typeof value} ${Object.is(value, -0) ? '-0' : String(value).slice(0, 40)}`
}

export interface ValueState<V> {
  get(): V | undefined
  set(value: V): void
  clear(): void
}

/** Sub-keys are strings; iteration is in the order of their UTF-8 bytes (I3). */
export interface MapState<V> {
  get(subKey: string): V | undefined
  set(subKey: string, value: V): void
  delete(subKey: string): void
  entries(): readonly (readonly [string, V])[]
}

/**
 * A mutable object of several storage entries that loads and saves its own parts (the event reservoir, the dedupe
 * index). One part is the root, loaded with the key; the others are loaded on demand through StateMiss.
 */
export interface PagedObject {
  /** A rough count of the bytes it holds in memory; the cache sums these (I6). */
  readonly bytesInMemory: number
  /** Writes every part that changed since the last save and marks them clean. */
  save(to: PageWriter): void
  /** Drops parts that can be loaded again; the root stays. */
  trim?(): void
  /**
   * Event time, ms, computed from the root alone. Once the store's expiry clock has passed it, the key is entered as if it
   * had never been seen: `PagedCodec.create` makes a new object, and the old one's pages go with the next save.
   * An object that can expire writes its root with every save.
   * @param touchedAt where the clock stood when the object was last touched, -Infinity before it moved: a key whose own
   * times lie far behind the clock must not expire as soon as it is written
   */
  expiresAt?(touchedAt: number): EventTimeMs
}

export interface PageWriter {
  root(encode: (into: ByteWriter) => void): void
  page(id: string, encode: (into: ByteWriter) => void): void
  deletePage(id: string): void
  /** Removes the whole object: the key is then as if never seen. Pages must be deleted one by one before. */
  deleteRoot(): void
}

export interface PageSource {
  /** The bytes of a page that is in memory or was loaded for this call. @throws StateMiss */
  page(id: string): ByteReader
}

export interface PagedCodec<O extends PagedObject> {
  readonly name: string
  readonly version: number
  /** What its bytes depend on beside the version, such as page sizes: a codec of another layout cannot read them. */
  readonly layout?: Json
  /** @param pages stays valid for the object's life: what it saved and dropped is read back through it */
  create(pages: PageSource): O
  /** @param pages as for `create` */
  load(root: ByteReader, pages: PageSource): O
  /**
   * What a person wants to know of an object. Called between epochs; it changes nothing, not even what is in memory, and
   * does not read through the object's own PageSource. What a user's codec gives goes through `view`, which masks it.
   */
  inspect?(object: O, pages: StoredPages, view: JsonView): Description | Promise<Description>
}

/** Of a paged object, in words that anybody may read: plain JSON without ids or texts of records. */
export interface Description {
  readonly value: Json
  /** False: it is there only to say that there is nothing. */
  readonly present?: boolean
  /** Not all pages that it should rest on were read. */
  readonly truncated?: boolean
}

/** Pages as they were last saved. */
export interface StoredPages {
  /** Pages that one call of `read` gives. */
  readonly max: number
  /** In the order of the ids. @throws WeirError BACKEND_FAILED for a page that was never saved */
  read(ids: readonly string[]): Promise<ByteReader[]>
}

export interface PagedState<O extends PagedObject> {
  /** The current key's object, created when there is none. Calling this does not mark it dirty. */
  get(): O
  /** Must be called before the first mutation of the object in each operator call. */
  touch(): void
}

export interface ValueOptions {
  /**
   * The value is gone so long after it was set, by the expiry clock (event time, bounded by the log's own time). Without it
   * the value stays until it is cleared.
   */
  readonly ttl?: DurationMs
}

/**
 * Either makes it a map in one piece, which is read and written as a whole. Without options its entries lie apart, may be
 * as many as the disk holds, and stay until they are deleted.
 */
export interface MapOptions {
  /** Of each entry, as `ValueOptions.ttl`. */
  readonly ttl?: DurationMs
  /** Of one key, ended ones apart; default 1,000. One more is STATE_LIMIT, and the record a dead letter. */
  readonly entriesMax?: number
}

/** How an operator declares its state; one namespace per step. */
export interface StateFactory {
  value<V>(name: string, codec: StateCodec<V>, options?: ValueOptions): ValueState<V>
  map<V>(name: string, codec: StateCodec<V>, options?: MapOptions): MapState<V>
  paged<O extends PagedObject>(name: string, codec: PagedCodec<O>): PagedState<O>
}

export interface Timers {
  /**
   * Registers a timer for the current key; it fires once the watermark reaches `at`.
   * At most one per (key, at); repeats are ignored. Part of checkpoints.
   * @param at event time, ms since the epoch; at or before the watermark: fires at the end of this epoch
   * @throws WeirError TIMER_LIMIT past `timersPerKeyMax`
   */
  timerAt(at: EventTimeMs): void
  cancel(at: EventTimeMs): void
}

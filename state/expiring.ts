/**
 * State that ends: a value, and a map in one piece whose entries are bounded in number and end each for itself. Both are
 * paged objects without pages, so that expiry, sweeping and the index of it are those of paged.ts.
 *
 * Invariants: 1. what was set more than `ttl` before the expiry clock reads as absent, whenever it is swept (I3); what was set
 * before the clock first moved stays until it is set again, or until its map has been left alone for `ttl`; 2. a map has at most `entriesMax` entries (I6).
 */
import { assert, ByteReader, ByteWriter, type DurationMs, eventTime, WeirError } from '../kernel/index.js'
import type { StepScope } from './entry.js'
import {
  checkAccepted,
  type MapOptions,
  type MapState,
  type PagedCodec,
  type PagedObject,
  type PagedState,
  type PageWriter,
  type StateCodec,
  type ValueState,
} from './handles.js'
import { checkKeyLength } from './keys.js'
import { compareUtf8, wellFormed } from './order.js'
import type { Undoable } from './undo.js'

const never = Number.POSITIVE_INFINITY
const notYet = Number.NEGATIVE_INFINITY
const valueBytes = 120
const bytesPerEncoded = 3
const mapBytes = 300
const mapEntryBytes = 200
const entriesMaxDefault = 1_000

const endOf = (touchedAt: number, ttl: number): number => (touchedAt === notYet ? never : touchedAt + ttl)

class HeldValue<V> implements PagedObject, Undoable {
  value: V | undefined = undefined
  readonly #codec: StateCodec<V>
  readonly #ttl: DurationMs
  #encodedBytes = 0

  constructor(codec: StateCodec<V>, ttl: DurationMs) {
    this.#codec = codec
    this.#ttl = ttl
  }

  get bytesInMemory(): number {
    return valueBytes + bytesPerEncoded * this.#encodedBytes
  }

  expiresAt(touchedAt: number): ReturnType<typeof eventTime> {
    return eventTime(endOf(touchedAt, this.#ttl))
  }

  load(from: ByteReader): this {
    this.#encodedBytes = from.remaining
    this.value = this.#codec.decode(from)
    return this
  }

  save(to: PageWriter): void {
    const { value } = this
    if (value === undefined) to.deleteRoot()
    else to.root(into => this.#write(value, into))
  }

  #write(value: V, into: ByteWriter): void {
    const before = into.length
    this.#codec.encode(value, into)
    this.#encodedBytes = into.length - before
  }

  restore(_what: unknown, before: unknown): void {
    this.value = before as V | undefined
  }
}

export function heldValueCodec<V>(codec: StateCodec<V>, ttl: DurationMs): PagedCodec<HeldValue<V>> {
  assert(ttl > 0 && Number.isFinite(ttl), 'a ttl is above 0')
  return {
    name: codec.name,
    version: codec.version,
    create: () => new HeldValue(codec, ttl),
    load: root => new HeldValue(codec, ttl).load(root),
    inspect: (held, _pages, view) => ({ present: held.value !== undefined, ...view.render(held.value) }),
  }
}

export class ExpiringValue<V> implements ValueState<V> {
  readonly #name: string
  readonly #codec: StateCodec<V>
  readonly #scope: StepScope
  readonly #held: PagedState<HeldValue<V>>

  constructor(scope: StepScope, name: string, codec: StateCodec<V>, held: PagedState<HeldValue<V>>) {
    this.#scope = scope
    this.#name = name
    this.#codec = codec
    this.#held = held
  }

  get(): V | undefined {
    return this.#held.get().value
  }

  set(value: V): void {
    assert(value !== undefined, `state '${this.#name}': undefined is no value, use clear`)
    checkAccepted(this.#name, this.#codec, value)
    this.#change(value)
  }

  clear(): void {
    this.#change(undefined)
  }

  #change(value: V | undefined): void {
    const held = this.#held.get()
    this.#scope.undo.push(held, undefined, held.value)
    this.#held.touch()
    held.value = value
  }
}

interface Held<V> {
  readonly value: V
  /** Where the expiry clock stood when it was set. */
  readonly setAt: number
}

class HeldMap<V> implements PagedObject, Undoable {
  readonly entries = new Map<string, Held<V>>()
  /** Where the expiry clock stood at the last change. */
  clock = notYet
  readonly #codec: StateCodec<V>
  readonly #ttl: number
  readonly expiresAt?: NonNullable<PagedObject['expiresAt']>

  constructor(codec: StateCodec<V>, ttl: number) {
    this.#codec = codec
    this.#ttl = ttl
    if (ttl !== never) this.expiresAt = touchedAt => eventTime(endOf(touchedAt, ttl))
  }

  get bytesInMemory(): number {
    return mapBytes + mapEntryBytes * this.entries.size
  }

  lives({ setAt }: Held<V>, clock: number): boolean {
    return endOf(setAt, this.#ttl) >= clock
  }

  dropEnded(clock: number): void {
    for (const [subKey, held] of this.entries) if (!this.lives(held, clock)) this.entries.delete(subKey)
  }

  /** In the order of the sub-keys' bytes. */
  living(clock: number): [string, V][] {
    const living: [string, V][] = []
    for (const [subKey, held] of this.entries) if (this.lives(held, clock)) living.push([subKey, held.value])
    return living.sort((a, b) => compareUtf8(a[0], b[0]))
  }

  load(from: ByteReader): this {
    for (let left = from.varint(); left > 0; left--) {
      const subKey = from.string()
      const setAt = from.f64()
      this.entries.set(subKey, { value: this.#codec.decode(from), setAt })
    }
    return this
  }

  save(to: PageWriter): void {
    this.dropEnded(this.clock)
    if (this.entries.size === 0) to.deleteRoot()
    else to.root(into => this.#write(into))
  }

  #write(into: ByteWriter): void {
    into.varint(this.entries.size)
    for (const [subKey, { value, setAt }] of [...this.entries].sort((a, b) => compareUtf8(a[0], b[0]))) {
      into.string(subKey)
      into.f64(setAt)
      this.#codec.encode(value, into)
    }
  }

  restore(what: unknown, before: unknown): void {
    if (before === undefined) this.entries.delete(what as string)
    else this.entries.set(what as string, before as Held<V>)
  }
}

export function heldMapCodec<V>(
  codec: StateCodec<V>,
  { ttl = never as DurationMs }: MapOptions,
): PagedCodec<HeldMap<V>> {
  assert(ttl > 0, 'a ttl is above 0')
  return {
    name: codec.name,
    version: codec.version,
    create: () => new HeldMap(codec, ttl),
    load: root => new HeldMap(codec, ttl).load(root),
    inspect: (held, _pages, view) =>
      view.render(held.living(held.clock).map(([subKey, value]) => ({ key: subKey, value }))),
  }
}

/** The root of such a map with every value made anew. @param bytes behind the head; each value a blob, as Avro's are */
export function changedHeldMap(bytes: Uint8Array, change: (value: Buffer) => Uint8Array): Uint8Array {
  const from = new ByteReader(bytes)
  const into = new ByteWriter()
  const value = new ByteWriter()
  let left = from.varint()
  for (into.varint(left); left > 0; left--) {
    into.string(from.string())
    into.f64(from.f64())
    value.reset()
    value.blob(from.blob())
    into.bytes(change(value.take()))
  }
  return into.take()
}

export class BoundedMap<V> implements MapState<V> {
  readonly #name: string
  readonly #codec: StateCodec<V>
  readonly #scope: StepScope
  readonly #held: PagedState<HeldMap<V>>
  readonly #entriesMax: number

  constructor(
    scope: StepScope,
    name: string,
    codec: StateCodec<V>,
    { entriesMax = entriesMaxDefault }: MapOptions,
    held: PagedState<HeldMap<V>>,
  ) {
    assert(Number.isInteger(entriesMax) && entriesMax > 0, 'a map may have entries')
    this.#scope = scope
    this.#name = name
    this.#codec = codec
    this.#held = held
    this.#entriesMax = entriesMax
  }

  get(subKey: string): V | undefined {
    const map = this.#held.get()
    const held = map.entries.get(subKey) ?? map.entries.get(wellFormed(subKey))
    return held !== undefined && map.lives(held, this.#clock) ? held.value : undefined
  }

  /** @throws WeirError STATE_LIMIT for one entry more than there may be, STATE_KEY_TOO_LONG */
  set(subKey: string, value: V): void {
    assert(value !== undefined, `state '${this.#name}': undefined is no value, use delete`)
    checkAccepted(this.#name, this.#codec, value)
    checkKeyLength(subKey)
    this.#change(wellFormed(subKey), { value, setAt: this.#clock })
  }

  delete(subKey: string): void {
    this.#change(wellFormed(subKey), undefined)
  }

  entries(): readonly (readonly [string, V])[] {
    return this.#held.get().living(this.#clock)
  }

  #change(subKey: string, to: Held<V> | undefined): void {
    const map = this.#held.get()
    const before = map.entries.get(subKey)
    if (to !== undefined && before === undefined && map.entries.size >= this.#entriesMax) {
      this.#held.touch()
      map.dropEnded(this.#clock)
      if (map.entries.size >= this.#entriesMax) {
        const what = `state '${this.#name}' of step '${this.#scope.name}' has ${this.#entriesMax} entries`
        throw new WeirError('STATE_LIMIT', what)
      }
    }
    this.#scope.undo.push(map, subKey, before)
    this.#held.touch()
    map.clock = this.#clock
    map.restore(subKey, to)
  }

  get #clock(): number {
    return this.#scope.core.expiryClock
  }
}

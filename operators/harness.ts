/**
 * For the tests of paged operators: one step over state in memory that misbehaves as the engine may. It loses pages at
 * random (a miss, then the call again), saves and reloads objects at random, trims them, and refuses output at random.
 * It fails when an object changes without `touch`, or in a call that a miss or a full output undid.
 */
import {
  AssertionError,
  assert,
  ByteReader,
  ByteWriter,
  defined,
  type EventTimeMs,
  eventTime,
} from '../kernel/index.js'
import {
  type Description,
  JsonView,
  type PagedCodec,
  type PagedObject,
  type PageSource,
  type StateFactory,
  type Timers,
} from '../state/index.js'
import type { OperatorSpec, Row, StepRuntime } from './contract.js'

export interface HarnessOptions {
  /** The next number from 0 up to 1, from a seeded generator. */
  readonly random: () => number
  /** Chance that a page that is read is not in memory; that after a call an object is saved, saved and trimmed, or saved and
   * reloaded; and that a push is refused. */
  readonly miss: number
  readonly save: number
  readonly trim: number
  readonly reload: number
  readonly full: number
}

export const wellBehaved: HarnessOptions = { random: () => 0.5, miss: 0, save: 0, trim: 0, reload: 0, full: 0 }

/** mulberry32: a seeded generator, so that a failure repeats. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

class Miss extends Error {}

class Stored<O extends PagedObject> implements PageSource {
  readonly #codec: PagedCodec<O>
  readonly #isMissing: () => boolean
  object: O
  root: Buffer | undefined
  readonly pages = new Map<string, Buffer>()
  readonly loaded = new Set<string>()
  touched = false
  /** Pages read since this was set back. */
  reads = 0
  bytesWritten = 0

  constructor(codec: PagedCodec<O>, isMissing: () => boolean) {
    this.#codec = codec
    this.#isMissing = isMissing
    this.object = codec.create(this)
  }

  page(id: string): ByteReader {
    const bytes = this.pages.get(id)
    if (bytes === undefined) throw new AssertionError(`page ${id} was never saved, or deleted`)
    if (!this.loaded.has(id) && this.#isMissing()) {
      this.loaded.add(id)
      throw new Miss(id)
    }
    this.reads++
    return new ByteReader(bytes)
  }

  save(): void {
    const written: string[] = []
    const into = (encode: (into: ByteWriter) => void): Buffer => {
      const writer = new ByteWriter()
      encode(writer)
      this.bytesWritten += writer.length
      return writer.take()
    }
    const before = this.root
    this.object.save({
      root: encode => {
        this.root = into(encode)
      },
      page: (id, encode) => {
        written.push(id)
        this.pages.set(id, into(encode))
      },
      deletePage: id => void this.pages.delete(id),
      deleteRoot: () => {
        this.root = undefined
      },
    })
    if (!this.touched && before) {
      assert(this.root!.equals(before) && written.length === 0, 'an object that nobody touched has not changed')
    }
    this.touched = false
  }

  reload(): void {
    this.save()
    this.object = this.#codec.load(new ByteReader(this.root!), this)
  }
}

export class Harness {
  readonly rows: Row[] = []
  readonly counters = new Map<string, number>()
  misses = 0
  readonly #options: HarnessOptions
  readonly #runtime: StepRuntime
  readonly #features: readonly string[]
  readonly #keys = new Map<string, Stored<PagedObject>>()
  #codec: PagedCodec<PagedObject> | undefined
  #key = ''
  #ordinal = 0

  constructor(spec: OperatorSpec, options: HarnessOptions = wellBehaved) {
    this.#options = options
    this.#features = spec.features
    const unused = (): never => {
      throw new AssertionError('not part of this harness')
    }
    const state: StateFactory = {
      value: unused,
      map: unused,
      paged: <O extends PagedObject>(_: string, codec: PagedCodec<O>) => {
        this.#codec = codec as unknown as PagedCodec<PagedObject>
        return {
          get: () => this.stored(this.#key).object as O,
          touch: () => {
            this.stored(this.#key).touched = true
          },
        }
      },
    }
    const timers: Timers = { timerAt: unused, cancel: unused }
    this.#runtime = spec.create({
      step: 'tested',
      state,
      timers,
      featureColumn: name => this.#features.indexOf(name),
      columns: row => row.features,
      count: (name, by = 1) => void this.counters.set(name, (this.counters.get(name) ?? 0) + by),
      derive: unused,
      blank: unused,
    })
  }

  stored(key: string): Stored<PagedObject> {
    let stored = this.#keys.get(key)
    if (stored === undefined) {
      stored = new Stored(this.#codec!, () => this.#chance(this.#options.miss))
      this.#keys.set(key, stored)
    }
    return stored
  }

  /** What the operator says of a key's object, from pages as they were last saved; at most `pagesMax` of them. */
  async inspect(key: string, pagesMax = 1_000): Promise<Description> {
    const { object, pages } = this.stored(key)
    const read = async (ids: readonly string[]): Promise<ByteReader[]> => {
      assert(ids.length <= pagesMax, `${ids.length} pages of at most ${pagesMax}`)
      return ids.map(id => new ByteReader(defined(pages.get(id), `page ${id}`)))
    }
    return await defined(this.#codec!.inspect, 'a description')(
      object,
      { max: pagesMax, read },
      new JsonView({ showPii: true }),
    )
  }

  get keys(): readonly string[] {
    return [...this.#keys.keys()]
  }

  /** Processes one record. @returns the row that came out, if one did */
  feed(key: string, value: unknown, at: number, port = 0): Row | undefined {
    const row: Row = {
      value,
      at: eventTime(at) as EventTimeMs,
      key,
      ordinal: this.#ordinal,
      flags: 0,
      features: this.#features.map(() => Number.NaN),
      score: Number.NaN,
      source: { topic: 'input', partition: 0, offset: this.#ordinal++ },
      loggedAtMs: Number.NaN,
      hop: null,
    }
    this.#key = key
    let result: Row | undefined
    let refused = false
    const out = {
      push: (pushed: Row): boolean => {
        if (!refused && this.#chance(this.#options.full)) {
          refused = true
          return false
        }
        result = pushed
        return true
      },
    }
    // What an undone call changed without touch shows in this save.
    while (!this.#call(row, out, port)) if (this.#chance(this.#options.save)) this.stored(key).save()
    this.stored(key).loaded.clear()
    this.#disturb(this.stored(key))
    if (result) this.rows.push(result)
    return result
  }

  #call(row: Row, out: { push(row: Row): boolean }, port: number): boolean {
    try {
      return this.#runtime.onRow(row, out, port)
    } catch (error) {
      if (!(error instanceof Miss)) throw error
      this.misses++
      return false
    }
  }

  #disturb(stored: Stored<PagedObject>): void {
    const { save, trim, reload } = this.#options
    if (this.#chance(save)) stored.save()
    if (this.#chance(trim)) {
      stored.save()
      stored.object.trim?.()
    }
    if (this.#chance(reload)) stored.reload()
  }

  #chance(of: number): boolean {
    return of > 0 && this.#options.random() < of
  }
}

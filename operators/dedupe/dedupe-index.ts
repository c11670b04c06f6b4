/**
 * The ids that a key has shown within the horizon. A small key is one bucket in the root; a larger one is a linear hash
 * table of pages, so that a record touches one page, now and then two, however long the key's history is.
 *
 * Invariants: 1. an id is remembered while the key's greatest event time, the record asked about included, is not more
 * than the horizon past what it was when the id arrived; 2. only what is added moves that clock; 3. an id lies in bucket
 * `#bucketOf(hash)`; 4. `find` and `prepareAdd` change nothing that is stored, `add` loads nothing.
 * A key that has grown keeps its buckets until it expires as a whole; what they held goes as they are touched.
 */
import { assert, type ByteReader, type EventTimeMs, eventTime } from '../../kernel/index.js'
import {
  codecMigrations,
  type Description,
  isoTime,
  type PagedCodec,
  type PagedObject,
  type PageSource,
  type PageWriter,
  type StoredPages,
} from '../../state/index.js'
import { Bucket, type RememberedId } from './bucket.js'

export interface DedupeSizes {
  /** Entries in the root beyond which it becomes a table of pages. */
  readonly rootEntriesMax: number
  /** Entries a page holds on average when the table grows. */
  readonly pageEntries: number
  /** Pages kept in memory over a save. */
  readonly cleanPagesMax: number
}

export const defaultDedupeSizes: DedupeSizes = { rootEntriesMax: 128, pageEntries: 64, cleanPagesMax: 64 }

const notYet = Number.NEGATIVE_INFINITY
/** Shared by all that are one bucket; they stay empty. */
const noPages: Map<number, Bucket> = new Map()
const noneDirty: Set<number> = new Set()
/** An expired prefix of a root goes every so many entries. */
const pruneEvery = 16

export class DedupeIndex implements PagedObject {
  #time = notYet
  /** Everything, while #buckets is 0. */
  #root: Bucket | undefined = new Bucket()
  #buckets = 0
  /** Entries in all buckets, expired ones that have not been pruned included. */
  #total = 0
  /** Of a table; a small key has none, and memory is what bounds how many are resident. */
  #pages = noPages
  #dirty = noneDirty
  readonly #horizonMs: number
  readonly #sizes: DedupeSizes
  readonly #source: PageSource

  constructor(horizonMs: number, sizes: DedupeSizes, source: PageSource) {
    this.#horizonMs = horizonMs
    this.#sizes = sizes
    this.#source = source
  }

  get time(): number {
    return this.#time
  }

  get buckets(): number {
    return this.#buckets
  }

  get pagesInMemory(): number {
    return this.#pages.size
  }

  get bytesInMemory(): number {
    if (this.#root) return 240 + this.#root.bytesInMemory
    let bytes = 240
    for (const bucket of this.#pages.values()) bytes += bucket.bytesInMemory
    return bytes
  }

  /** After this time it remembers nothing. */
  expiresAt(touchedAt: number): EventTimeMs {
    return eventTime(Math.max(this.#time, touchedAt) + this.#horizonMs)
  }

  /** @param time of the record that carries the id @throws StateMiss */
  find(id: string, hash: number, time: number): RememberedId | undefined {
    return this.#bucketFor(hash).find(id, hash, Math.max(this.#time, time) - this.#horizonMs)
  }

  /** Loads what adding an id with this hash will touch. @throws StateMiss */
  prepareAdd(hash: number): void {
    this.#bucketFor(hash)
    if (this.#buckets > 0 && this.#isFull(this.#total + 1)) this.#bucket(this.#splitting())
  }

  /** Remembers an id that `find` did not, with the place of its record. @param time of its record */
  add(
    id: string,
    hash: number,
    fingerprintHigh: number,
    fingerprintLow: number,
    time: number,
    partition: number,
    offset: number,
  ): void {
    const clock = Math.max(this.#time, time)
    this.#time = clock
    const oldest = clock - this.#horizonMs
    const bucket = this.#bucketFor(hash)
    const prunes = this.#root ? bucket.count % pruneEvery === 0 : bucket.count >= this.#sizes.pageEntries
    if (prunes && bucket.count > 0 && bucket.firstClock < oldest) this.#total -= bucket.prune(oldest)
    bucket.append(id, hash, fingerprintHigh, fingerprintLow, clock, partition, offset)
    this.#total++
    if (this.#root === undefined) {
      this.#dirty.add(this.#bucketOf(hash))
      if (this.#isFull(this.#total)) this.#split()
    } else if (bucket.count > this.#sizes.rootEntriesMax) {
      this.#total -= bucket.prune(oldest)
      if (bucket.count > this.#sizes.rootEntriesMax) this.#leaveRoot(bucket)
    }
  }

  /**
   * `ids` that a repeat would meet now, and when the first and the last of them arrived by the key's clock. Of a table with
   * more pages than may be read it is about those that were.
   */
  async inspect(pages: StoredPages): Promise<Description> {
    const from = this.#time - this.#horizonMs
    let ids = 0
    let oldest = Number.POSITIVE_INFINITY
    const add = (bucket: Bucket): void => {
      const { count, first } = bucket.since(from)
      ids += count
      oldest = Math.min(oldest, first)
    }
    if (this.#root) add(this.#root)
    const stored: string[] = []
    for (let index = 0; index < this.#buckets; index++) {
      const bucket = this.#pages.get(index)
      if (bucket) add(bucket)
      else stored.push(String(index))
    }
    for (const page of await pages.read(stored.slice(0, pages.max))) add(Bucket.load(page))
    const time = (at: number): string | null => (Number.isFinite(at) ? isoTime(at) : null)
    return {
      value: { ids, oldest: time(oldest), newest: time(this.#time) },
      truncated: stored.length > pages.max,
    }
  }

  save(to: PageWriter): void {
    for (const index of this.#dirty) to.page(String(index), into => this.#pages.get(index)!.save(into))
    this.#dirty.clear()
    to.root(into => {
      into.u8(this.#time === notYet ? 0 : 1)
      if (this.#time !== notYet) into.zigzag(this.#time)
      into.varint(this.#buckets)
      into.varint(this.#total)
      this.#root?.save(into)
    })
    if (this.#pages.size > this.#sizes.cleanPagesMax) this.trim()
  }

  trim(): void {
    for (const index of this.#pages.keys()) if (!this.#dirty.has(index)) this.#pages.delete(index)
  }

  static load(horizonMs: number, sizes: DedupeSizes, root: ByteReader, source: PageSource): DedupeIndex {
    const index = new DedupeIndex(horizonMs, sizes, source)
    index.#time = root.u8() === 0 ? notYet : root.zigzag()
    index.#buckets = root.varint()
    index.#total = root.varint()
    if (index.#buckets === 0) index.#root = Bucket.load(root)
    else index.#becomeTable()
    return index
  }

  #bucketFor(hash: number): Bucket {
    return this.#root ?? this.#bucket(this.#bucketOf(hash))
  }

  #bucket(index: number): Bucket {
    return this.#pages.get(index) ?? this.#loadBucket(index)
  }

  #loadBucket(index: number): Bucket {
    const bucket = Bucket.load(this.#source.page(String(index)))
    this.#pages.set(index, bucket)
    return bucket
  }

  /** Linear hashing: buckets below the one that splits next are already spread over twice as many. */
  #bucketOf(hash: number): number {
    const whole = this.#wholeTable()
    const index = hash & (whole - 1)
    return index < this.#buckets - whole ? hash & (2 * whole - 1) : index
  }

  /** The greatest power of two that is not above the number of buckets. */
  #wholeTable(): number {
    return 2 ** (31 - Math.clz32(this.#buckets))
  }

  #splitting(): number {
    return this.#buckets - this.#wholeTable()
  }

  #isFull(total: number): boolean {
    return total > this.#buckets * this.#sizes.pageEntries
  }

  #split(): void {
    const from = this.#splitting()
    const old = this.#bucket(from)
    this.#buckets++
    this.#spread(old.entries(), [from, this.#buckets - 1])
  }

  #becomeTable(): void {
    this.#root = undefined
    this.#pages = new Map()
    this.#dirty = new Set()
  }

  #leaveRoot(root: Bucket): void {
    this.#becomeTable()
    const count = 2 * Math.ceil(this.#sizes.rootEntriesMax / this.#sizes.pageEntries)
    this.#buckets = 2 ** Math.ceil(Math.log2(count))
    this.#spread(
      root.entries(),
      Array.from({ length: this.#buckets }, (_, i) => i),
    )
  }

  /** Makes these buckets anew from the entries that belong in them; expired ones stay behind. */
  #spread(entries: readonly RememberedId[], into: readonly number[]): void {
    this.#total -= entries.length
    for (const index of into) {
      this.#pages.set(index, new Bucket())
      this.#dirty.add(index)
    }
    for (const entry of entries) {
      if (entry.clock < this.#time - this.#horizonMs) continue
      const index = this.#bucketOf(entry.hash)
      assert(into.includes(index), 'an entry stays within the buckets of its split')
      const { id, hash, fingerprintHigh, fingerprintLow, clock, partition, offset } = entry
      this.#pages.get(index)!.append(id, hash, fingerprintHigh, fingerprintLow, clock, partition, offset)
      this.#total++
    }
  }
}

interface Layout {
  readonly horizon_ms: number
  readonly sizes: DedupeSizes
  readonly fingerprint_parts: number
}

// No byte depends on the horizon. A shorter one forgets what it finds in its time; what a longer one needs was not kept.
codecMigrations.registerLayouts('dedupe', (before, after) => {
  const { horizon_ms: was, ...rest } = before as unknown as Layout
  const { horizon_ms: is, ...same } = after as unknown as Layout
  return is <= was && JSON.stringify(rest) === JSON.stringify(same)
})

/** The codec of one step's indexes. @param fingerprintParts how many parts the kept fingerprints are hashes of */
export function dedupeCodec(horizonMs: number, sizes: DedupeSizes, fingerprintParts: number): PagedCodec<DedupeIndex> {
  return {
    name: 'dedupe',
    version: 1,
    layout: { horizon_ms: horizonMs, sizes: { ...sizes }, fingerprint_parts: fingerprintParts },
    create: pages => new DedupeIndex(horizonMs, sizes, pages),
    load: (root, pages) => DedupeIndex.load(horizonMs, sizes, root, pages),
    inspect: (index, pages) => index.inspect(pages),
  }
}

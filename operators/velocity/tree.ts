/**
 * The sealed part of a reservoir: leaves (runs) below an index of summaries, a B+ tree whose root lies in the
 * reservoir's root and whose other nodes are pages, loaded when they are stood in.
 *
 * Invariants: 1. leaves are in (time, arrival) order, and every node's entries with them; 2. an entry's summary equals
 * the aggregate of what lies below it, fraud with every known label applied; 3. reading changes nothing but what is in
 * memory: each change has a `prepare` that loads all it will touch, so that StateMiss comes before the first mutation;
 * 4. a page that is dirty stays in memory.
 */
import type { ByteReader, ByteWriter } from '../../kernel/index.js'
import { assert, defined } from '../../kernel/index.js'
import type { PageSource, PageWriter } from '../../state/index.js'
import { Run, scanned } from './run.js'
import { addAggregate, type ReservoirShape } from './shape.js'

interface Entry {
  readonly page: number
  first: number
  last: number
  /** Aggregate below, fraud in its final state. */
  readonly sum: Float64Array
  /** After this time the final state holds. */
  lastTransition: number
}

interface Page {
  /** One of the two, by level. */
  readonly run?: Run
  readonly entries?: Entry[]
  dirty: boolean
}

const entryBytes = 160
const everything = Number.POSITIVE_INFINITY

export interface LeafEvent {
  readonly page: number
  readonly run: Run
}

export class EventTree {
  /** Index levels: 0 while empty, 1 when the root's entries are leaves. */
  #levels = 0
  #root: Entry[] = []
  #nextPage = 0
  readonly #pages = new Map<number, Page>()
  readonly #dead: number[] = []
  readonly #shape: ReservoirShape
  readonly #source: PageSource
  #passed = false
  /** Where `prefix` stopped: the leaf it stands in, and the time of the following event. */
  readonly stop: { run: Run | undefined; next: number } = { run: undefined, next: everything }

  constructor(shape: ReservoirShape, source: PageSource) {
    this.#shape = shape
    this.#source = source
  }

  get isEmpty(): boolean {
    return this.#root.length === 0
  }

  /** It has never had a leaf. */
  get isUnused(): boolean {
    return this.#nextPage === 0
  }

  get count(): number {
    let count = 0
    for (const entry of this.#root) count += entry.sum[0]!
    return count
  }

  /** Time of the oldest event. */
  get first(): number {
    return this.#root[0]!.first
  }

  get pagesInMemory(): number {
    return this.#pages.size
  }

  get bytesInMemory(): number {
    if (this.#pages.size === 0) return this.#root.length * entryBytes
    let bytes = this.#root.length * entryBytes
    for (const page of this.#pages.values())
      bytes += page.run ? page.run.bytes.length + 200 : page.entries!.length * entryBytes
    return bytes
  }

  /** Adds all events with time <= limit, fraud as of `asOf`; leaves `stop` and `scanned` at the place. @throws StateMiss */
  prefix(limit: number, asOf: number, into: Float64Array, at: number, headFirst: number): void {
    this.stop.run = undefined
    this.stop.next = headFirst
    let entries = this.#root
    for (let level = this.#levels; level > 0; level--) {
      let below: Entry | undefined
      for (const entry of entries) {
        if (entry.last <= limit) {
          this.#addWhole(entry, level, asOf, into, at)
        } else if (below === undefined && entry.first <= limit) {
          below = entry
        } else {
          this.stop.next = entry.first
          break
        }
      }
      if (below === undefined) return
      if (level === 1) {
        const run = this.#leaf(below.page)
        run.scan(0, run.first, limit, asOf, into, at)
        this.stop.run = run
        this.stop.next = scanned.next
        return
      }
      entries = this.#node(below.page)
    }
  }

  /** The leaf after this one, which is in memory; undefined: it is the last. @throws StateMiss */
  after(run: Run): Run | undefined {
    this.#passed = false
    const next = this.#after(run, this.#root, this.#levels)
    assert(this.#passed, 'a leaf that a cursor stands in is in memory')
    return next
  }

  #after(run: Run, entries: readonly Entry[], level: number): Run | undefined {
    for (const entry of entries) {
      if (entry.last < run.last) continue
      if (level > 1) {
        const next = this.#after(run, this.#node(entry.page), level - 1)
        if (next) return next
      } else if (this.#passed) {
        return this.#leaf(entry.page)
      } else {
        this.#passed = this.#pages.get(entry.page)?.run === run
      }
    }
    return undefined
  }

  /** Loads what `append` and `expire` will touch. @throws StateMiss */
  prepareAppend(): void {
    this.#path(everything)
    this.#path(Number.NEGATIVE_INFINITY)
  }

  /** Adds a leaf after all others. */
  append(run: Run): void {
    const page = this.#create({ run, dirty: true })
    if (this.#levels === 0) this.#levels = 1
    const path = this.#path(everything)
    path[path.length - 1]!.push(this.#summary(page, run))
    this.#settle(path, everything, true)
  }

  /** Loads what `insert(time)` will touch. @throws StateMiss */
  prepareInsert(time: number): void {
    this.#leaf(this.#leafFor(this.#path(time), time).page)
  }

  /** Adds an event after those of its time. @returns the leaf that changed */
  insert(time: number, values: Float64Array, idHigh: number, idLow: number): Run {
    const path = this.#path(time)
    const entry = this.#leafFor(path, time)
    const run = this.#leaf(entry.page)
    run.insert(time, values, idHigh, idLow)
    this.#changed(path, entry, run, time)
    return run
  }

  /** The leaf that holds the event with this time and identity. @throws StateMiss */
  find(time: number, idHigh: number, idLow: number): LeafEvent | undefined {
    if (this.#levels === 0) return undefined
    return this.#find(this.#root, this.#levels, time, idHigh, idLow)
  }

  #find(entries: readonly Entry[], level: number, time: number, idHigh: number, idLow: number): LeafEvent | undefined {
    for (const entry of entries) {
      if (entry.first > time) return undefined
      if (entry.last < time) continue
      if (level > 1) {
        const found = this.#find(this.#node(entry.page), level - 1, time, idHigh, idLow)
        if (found) return found
        continue
      }
      const run = this.#leaf(entry.page)
      if (run.find(time, idHigh, idLow) >= 0) return { page: entry.page, run }
    }
    return undefined
  }

  /** Brings the summaries above a leaf up to date after its labels changed. @param time of its event */
  relabelled(page: number, time: number): void {
    const path = defined(this.#pathTo(page, time), 'the path to a leaf')
    const entry = path[path.length - 1]!.find(candidate => candidate.page === page)!
    this.#changed(path, entry, this.#leaf(page), time)
  }

  /**
   * Drops the leading leaves whose events are all at or before `limit`, below one bottom node at most.
   * `prepareAppend` has loaded the path; their labels have all taken effect.
   * @param into gets the aggregate of what was dropped
   */
  expire(limit: number, into: Float64Array): void {
    if (this.isEmpty || this.#root[0]!.first > limit) return
    const path = this.#path(Number.NEGATIVE_INFINITY)
    const bottom = path[path.length - 1]!
    let gone = 0
    while (gone < bottom.length && bottom[gone]!.last <= limit) {
      addAggregate(into, 0, bottom[gone]!.sum, 0, this.#shape.aggregate, 1)
      this.#delete(bottom[gone]!.page)
      gone++
    }
    if (gone === 0) return
    bottom.splice(0, gone)
    for (let depth = path.length - 1; depth > 0 && path[depth]!.length === 0; depth--) {
      this.#delete(path[depth - 1]!.shift()!.page)
      path.length = depth
    }
    if (this.#root.length === 0) this.#levels = 0
    else this.#settle(path, Number.NEGATIVE_INFINITY, false)
  }

  /** Drops clean pages. @param keep leaves to keep: those that cursors stand in */
  trim(keep: (run: Run) => boolean, leavesOnly: boolean): void {
    for (const [id, page] of this.#pages) {
      if (page.dirty || (page.run ? keep(page.run) : leavesOnly)) continue
      this.#pages.delete(id)
    }
  }

  savePages(to: PageWriter): void {
    for (const id of this.#dead) to.deletePage(String(id))
    this.#dead.length = 0
    for (const [id, page] of this.#pages) {
      if (!page.dirty) continue
      to.page(String(id), into => (page.run ? page.run.save(into) : this.#saveEntries(page.entries!, into)))
      page.dirty = false
    }
  }

  saveRoot(into: ByteWriter): void {
    into.varint(this.#nextPage)
    into.varint(this.#levels)
    if (this.#levels > 0) this.#saveEntries(this.#root, into)
  }

  /** What `saveRoot` wrote; undefined for a tree that has never had a leaf. */
  static load(shape: ReservoirShape, source: PageSource, from: ByteReader): EventTree | undefined {
    const nextPage = from.varint()
    const levels = from.varint()
    if (nextPage === 0) return undefined
    const tree = new EventTree(shape, source)
    tree.#nextPage = nextPage
    tree.#levels = levels
    if (levels > 0) tree.#root = tree.#loadEntries(from)
    return tree
  }

  /** Index nodes from the root to the bottom along the last entries with first <= time (the first, if none). */
  #path(time: number): Entry[][] {
    const path = [this.#root]
    for (let level = this.#levels; level > 1; level--) path.push(this.#node(this.#leafFor(path, time).page))
    return path
  }

  #leafFor(path: readonly Entry[][], time: number): Entry {
    const entries = path[path.length - 1]!
    let i = entries.length - 1
    while (i > 0 && entries[i]!.first > time) i--
    return entries[i]!
  }

  /** Like #path, but to one leaf: events of equal times may fill several. */
  #pathTo(page: number, time: number, path: Entry[][] = [this.#root]): Entry[][] | undefined {
    const entries = path[path.length - 1]!
    if (path.length === this.#levels) return entries.some(entry => entry.page === page) ? path : undefined
    for (const entry of entries) {
      if (entry.first > time || entry.last < time) continue
      const found = this.#pathTo(page, time, [...path, this.#node(entry.page)])
      if (found) return found
    }
    return undefined
  }

  /** A leaf on the path changed: renews its summary, splits it when it has grown too long, and settles the path. */
  #changed(path: Entry[][], entry: Entry, run: Run, time: number): void {
    const bottom = path[path.length - 1]!
    const index = bottom.indexOf(entry)
    this.#pages.get(entry.page)!.dirty = true
    if (run.count > 2 * this.#shape.sizes.leafEvents) {
      const left = run.cut(run.count >> 1)
      bottom.splice(index, 0, this.#summary(this.#create({ run: left, dirty: true }), left))
      bottom[index + 1] = this.#summary(entry.page, run)
    } else {
      bottom[index] = this.#summary(entry.page, run)
    }
    this.#settle(path, time, false)
  }

  /** From the bottom up: splits nodes that are too long and renews the entries above. */
  #settle(path: Entry[][], time: number, appended: boolean): void {
    for (let depth = path.length - 1; depth > 0; depth--) {
      const entries = path[depth]!
      const above = path[depth - 1]!
      const index = above.findIndex(entry => this.#pages.get(entry.page)?.entries === entries)
      assert(index >= 0, `a node on the path of ${time} hangs below its parent`)
      const id = above[index]!.page
      this.#pages.get(id)!.dirty = true
      if (entries.length > this.#shape.sizes.fanout) {
        const right = entries.splice(this.#splitAt(entries, appended))
        above.splice(index + 1, 0, this.#total(this.#create({ entries: right, dirty: true }), right))
      }
      above[index] = this.#total(id, entries)
    }
    if (this.#root.length <= this.#shape.sizes.fanout) return
    const left = this.#root
    const right = left.splice(this.#splitAt(left, appended))
    this.#root = [
      this.#total(this.#create({ entries: left, dirty: true }), left),
      this.#total(this.#create({ entries: right, dirty: true }), right),
    ]
    this.#levels++
  }

  /** Appending leaves full nodes behind; an insertion elsewhere halves them. */
  #splitAt(entries: readonly Entry[], appended: boolean): number {
    return appended ? entries.length - 1 : entries.length >> 1
  }

  #summary(page: number, run: Run): Entry {
    const sum = new Float64Array(this.#shape.aggregate)
    run.scan(0, run.first, everything, everything, sum, 0)
    return { page, first: run.first, last: run.last, sum, lastTransition: run.lastTransition() }
  }

  #total(page: number, entries: readonly Entry[]): Entry {
    const sum = new Float64Array(this.#shape.aggregate)
    let lastTransition = Number.NEGATIVE_INFINITY
    for (const entry of entries) {
      addAggregate(sum, 0, entry.sum, 0, sum.length, 1)
      lastTransition = Math.max(lastTransition, entry.lastTransition)
    }
    return { page, first: entries[0]!.first, last: entries[entries.length - 1]!.last, sum, lastTransition }
  }

  #addWhole(entry: Entry, level: number, asOf: number, into: Float64Array, at: number): void {
    if (entry.lastTransition <= asOf) {
      addAggregate(into, at, entry.sum, 0, this.#shape.aggregate, 1)
    } else if (level === 1) {
      const run = this.#leaf(entry.page)
      run.scan(0, run.first, everything, asOf, into, at)
    } else {
      for (const below of this.#node(entry.page)) this.#addWhole(below, level - 1, asOf, into, at)
    }
  }

  #leaf(id: number): Run {
    return this.#pages.get(id)?.run ?? this.#loadLeaf(id)
  }

  #loadLeaf(id: number): Run {
    const run = Run.load(this.#shape, this.#source.page(String(id)))
    this.#pages.set(id, { run, dirty: false })
    return run
  }

  #node(id: number): Entry[] {
    const page = this.#pages.get(id)
    if (page) return page.entries!
    const entries = this.#loadEntries(this.#source.page(String(id)))
    this.#pages.set(id, { entries, dirty: false })
    return entries
  }

  #create(page: Page): number {
    this.#pages.set(this.#nextPage, page)
    return this.#nextPage++
  }

  #delete(id: number): void {
    this.#pages.delete(id)
    this.#dead.push(id)
  }

  #saveEntries(entries: readonly Entry[], into: ByteWriter): void {
    into.varint(entries.length)
    let time = 0
    for (const entry of entries) {
      into.varint(entry.page)
      into.zigzag(entry.first - time)
      into.varint(entry.last - entry.first)
      time = entry.last
      // -Infinity is 0; a label may take effect before its event's time, hence zigzag.
      const transition = entry.lastTransition === Number.NEGATIVE_INFINITY
      into.u8(transition ? 0 : 1)
      if (!transition) into.zigzag(entry.lastTransition - entry.first)
      for (const double of entry.sum) into.zigzag(double)
    }
  }

  #loadEntries(from: ByteReader): Entry[] {
    const entries: Entry[] = []
    let time = 0
    for (let left = from.varint(); left > 0; left--) {
      const page = from.varint()
      const first = time + from.zigzag()
      const last = first + from.varint()
      time = last
      const lastTransition = from.u8() === 0 ? Number.NEGATIVE_INFINITY : first + from.zigzag()
      const sum = new Float64Array(this.#shape.aggregate)
      for (let i = 0; i < sum.length; i++) sum[i] = from.zigzag()
      entries.push({ page, first, last, sum, lastTransition })
    }
    return entries
  }
}

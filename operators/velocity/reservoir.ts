/**
 * The event reservoir: an entity's recent events and, for every boundary offset b, the running aggregate of the events
 * with time <= T - b, T being the greatest event time the entity has shown. A window is the difference of two of them.
 *
 * In order, a record costs one step of each cursor, in the head (in the root) for most keys. Whatever a cursor cannot
 * step over in its own run, and every record older than T, is answered from the summaries of sealed leaves (tree.ts).
 *
 * Invariants:
 * 1. cursors never move back: for each b, aggregate(b) covers exactly the retained events with time <= T - b, with the
 *    labels in effect at T; `next` is the time of the first event after it;
 * 2. sealed events come before the head's in (time, arrival) order; T is the head's last time;
 * 3. `evaluate`, `prepareInsert` and `prepareLabel` change nothing that is stored and may throw StateMiss;
 *    `insert` and `label` follow their prepare in the same call and load nothing;
 * 4. an event leaves only when no evaluation that the lateness allows can reach it; its labels have then all taken
 *    effect, because one that takes effect beyond every window is refused (`retention` below).
 */
import { AssertionError, type ByteReader, type ByteWriter, type EventTimeMs, eventTime } from '../../kernel/index.js'
import type { PagedCodec, PagedObject, PageSource, PageWriter } from '../../state/index.js'
import { EarlyLabels } from './early-labels.js'
import { applyLabel, type LabelChange } from './labels.js'
import { Run, scanned } from './run.js'
import { addAggregate, addValue, type ReservoirShape, type Workspace } from './shape.js'
import { type Transition, Transitions } from './transitions.js'
import { EventTree, type LeafEvent } from './tree.js'

/** What becomes of a label. */
export type LabelFate =
  /** It counts from its available_at on. */
  | 'joined'
  /** Its transaction has not arrived: it waits. */
  | 'early'
  /** Its transaction has not arrived and `earlyLabelsMax` labels are waiting: dropped. */
  | 'early-full'
  /** Its transaction is not here and can no longer be inserted: dropped. */
  | 'unmatched'
  /** It becomes available when its transaction has left every window. */
  | 'without-effect'
  /** Its transaction already has the most labels that are kept: dropped. */
  | 'event-full'

const notYet = Number.NEGATIVE_INFINITY
const never = Number.POSITIVE_INFINITY
const fixedBytes = 600

const noPages: PageSource = {
  page: id => {
    throw new AssertionError(`page ${id} of nothing`)
  },
}
/** Of the steps without labels: they stay as they are. */
const noTransitions = new Transitions(0, noPages)
const noEarlyLabels = new EarlyLabels(0)

export class Reservoir implements PagedObject {
  /** Greatest event time shown; -Infinity before the first event. */
  #time = notYet
  #head: Run
  /** `noTree` until the first leaf is sealed: most keys never have one, and memory is what bounds how many are resident. */
  #tree: EventTree
  readonly #transitions: Transitions
  /** Early labels that `insert` and `label` joined, and dropped; the caller sets them back. */
  labelsMet = 0
  labelsUnmatched = 0
  readonly #early: EarlyLabels
  readonly #shape: ReservoirShape
  readonly #source: PageSource
  readonly #work: Workspace
  /** For each boundary `stride` doubles: aggregate, next, and where the cursor stands in #runs: offset, time. */
  readonly #cursors: number[]
  /** The run each cursor stands in; undefined: to be found again by its time. */
  readonly #runs: (Run | undefined)[]
  /** What prepareLabel found, for label. */
  #foundLeaf: LeafEvent | undefined
  #foundAt = -1
  #change: LabelChange | undefined

  /** @param noTree an empty tree of this shape, which the reservoirs of a step share and none changes */
  constructor(shape: ReservoirShape, source: PageSource, noTree: EventTree) {
    this.#shape = shape
    this.#source = source
    this.#work = shape.work
    this.#head = new Run(shape)
    this.#tree = noTree
    this.#transitions = shape.labelled ? new Transitions(shape.sizes.transitionsInRoot, source) : noTransitions
    this.#early = shape.labelled ? new EarlyLabels(shape.earlyLabelsMax) : noEarlyLabels
    this.#cursors = shape.noCursors.slice()
    this.#runs = new Array<Run | undefined>(shape.boundaries.length).fill(undefined)
  }

  get time(): number {
    return this.#time
  }

  /** When nothing it holds can matter to an event that is not itself too late. */
  expiresAt(touchedAt: number): EventTimeMs {
    return eventTime(Math.max(this.#time, this.#early.latest(), touchedAt) + this.#shape.retentionMs)
  }

  get bytesInMemory(): number {
    return (
      fixedBytes +
      8 * this.#cursors.length +
      this.#head.bytes.length +
      this.#tree.bytesInMemory +
      this.#transitions.bytesInMemory +
      this.#early.bytesInMemory
    )
  }

  /** Pages of events held in memory; for tests of the bound. */
  get pagesInMemory(): number {
    return this.#tree.pagesInMemory
  }

  /** Events held, those that no evaluation reaches any more included. */
  get events(): number {
    return this.#tree.count + this.#head.count
  }

  /** Time of the oldest of them; undefined without any. */
  get oldest(): number | undefined {
    if (!this.#tree.isEmpty) return this.#tree.first
    return this.#head.count > 0 ? this.#head.first : undefined
  }

  get earlyLabels(): number {
    return this.#early.count
  }

  /** The running aggregate of a boundary, by its index, at `time` (invariant 1). Not to be changed. */
  aggregate(boundary: number): readonly number[] {
    const at = boundary * this.#shape.stride
    return this.#cursors.slice(at, at + this.#shape.aggregate)
  }

  /** True when an event at `time` is more than the lateness behind: neither evaluated nor inserted. */
  isTooLate(time: number): boolean {
    return time < this.#time - this.#shape.latenessMs
  }

  /**
   * The aggregates of all boundaries at `time`, over the events that have arrived.
   * @returns `stride` doubles a boundary, valid until the next call of a reservoir of this step
   * @throws StateMiss
   */
  evaluate(time: number): Float64Array {
    const { boundaries, stride } = this.#shape
    if (time >= this.#time) {
      this.#advance(time)
      return this.#work.cursors
    }
    this.#work.cursors.fill(0, 0, this.#cursors.length)
    for (let b = 0; b < boundaries.length; b++) this.#prefix(b, time - boundaries[b]!, time, b * stride)
    return this.#work.cursors
  }

  /** Loads what inserting this event will touch. @throws StateMiss */
  prepareInsert(time: number, idHigh: number, idLow: number): void {
    const early = this.#early.matching(time, idHigh, idLow)
    for (const label of early) this.#transitions.prepareAdd(label.availableAt)
    // A waiting label is then joined by a look-up, which must find its pages here (invariant 3).
    if (early.length > 0) this.#tree.find(time, idHigh, idLow)
    if (!this.#tree.isEmpty && time < this.#head.first) this.#tree.prepareInsert(time)
    else if (this.#head.count >= this.#shape.sizes.headEventsMax) this.#tree.prepareAppend()
  }

  /**
   * Takes the event in. `evaluate(time)` was the last evaluation; where it moved the key's time, it is now kept.
   * Early labels that meet it here are joined, and those that can no longer meet theirs are dropped; see the counts.
   */
  insert(time: number, values: Float64Array, idHigh: number, idLow: number): void {
    const inOrder = time >= this.#time
    if (inOrder) this.#keepAdvance(time)
    let run = this.#head
    if (!this.#tree.isEmpty && time < this.#head.first) {
      run = this.#tree.insert(time, values, idHigh, idLow)
      this.#forget(run)
    } else if (inOrder) {
      this.#head.append(time, values, idHigh, idLow)
    } else {
      this.#head.insert(time, values, idHigh, idLow)
    }
    this.#count(run, time, values)
    if (this.#early.count > 0) this.#meetEarly(time, idHigh, idLow)
    if (this.#head.count > this.#shape.sizes.headEventsMax) this.#seal()
  }

  #meetEarly(time: number, idHigh: number, idLow: number): void {
    this.labelsUnmatched += this.#early.expire(this.#time - this.#shape.latenessMs)
    for (const { availableAt, fraud } of this.#early.take(time, idHigh, idLow)) {
      if (this.prepareLabel(time, idHigh, idLow, availableAt, fraud) === 'joined') {
        this.label(time, idHigh, idLow, availableAt, fraud)
        this.labelsMet++
      } else {
        this.labelsUnmatched++
      }
    }
  }

  /** Decides what becomes of a label, and loads what it will touch. @throws StateMiss */
  prepareLabel(time: number, idHigh: number, idLow: number, availableAt: number, fraud: boolean): LabelFate {
    const { boundaries, latenessMs } = this.#shape
    this.#change = undefined
    if (availableAt > time + boundaries[boundaries.length - 1]!) return 'without-effect'
    const leaf = this.#tree.find(time, idHigh, idLow)
    const run = leaf === undefined ? this.#head : leaf.run
    const offset = run.find(time, idHigh, idLow)
    if (offset < 0) {
      if (time < this.#time - latenessMs) return 'unmatched'
      return this.#early.isFull(this.#time - latenessMs) ? 'early-full' : 'early'
    }
    const change = applyLabel(run.labelsAt(offset, time), availableAt, fraud, this.#time - latenessMs)
    if (change === undefined) return 'event-full'
    this.#transitions.prepareAdd(availableAt)
    if (change.until !== never) this.#transitions.prepareAdd(change.until)
    this.#foundLeaf = leaf
    this.#foundAt = offset
    this.#change = change
    return 'joined'
  }

  /** Takes in the label that `prepareLabel` has just been asked about, when its fate was 'joined' or 'early'. */
  label(time: number, idHigh: number, idLow: number, availableAt: number, fraud: boolean): void {
    if (this.#change === undefined) {
      this.labelsUnmatched += this.#early.expire(this.#time - this.#shape.latenessMs)
      this.#early.add({ time, idHigh, idLow, availableAt, fraud })
      return
    }
    const leaf = this.#foundLeaf
    const { labels, delta, until } = this.#change
    const run = leaf?.run ?? this.#head
    run.setLabels(this.#foundAt, time, labels)
    this.#forget(run, this.#foundAt)
    if (leaf) this.#tree.relabelled(leaf.page, time)
    if (delta === 0) return
    this.#fraudChanges(availableAt, time, delta)
    if (until !== never) this.#fraudChanges(until, time, -delta)
  }

  save(to: PageWriter): void {
    this.#tree.savePages(to)
    this.#transitions.savePages(to)
    to.root(into => this.#saveRoot(into))
    this.#tree.trim(run => this.#runs.includes(run), true)
  }

  trim(): void {
    this.#tree.trim(() => false, false)
    this.#transitions.trim()
    for (let b = 0; b < this.#runs.length; b++) if (this.#runs[b] !== this.#head) this.#runs[b] = undefined
  }

  #saveRoot(into: ByteWriter): void {
    const { boundaries, stride, aggregate, labelled } = this.#shape
    into.u8((this.#tree.isEmpty ? 0 : 1) | (labelled ? 2 : 0))
    into.u8(this.#time === notYet ? 0 : 1)
    if (this.#time !== notYet) into.zigzag(this.#time)
    for (let b = 0; b < boundaries.length; b++) {
      for (let i = 0; i < aggregate; i++) into.zigzag(this.#cursors[b * stride + i]!)
      const next = this.#cursors[b * stride + aggregate]!
      // `next` lies after the cursor's time, so 0 is free to stand for none.
      into.varint(next === never ? 0 : next - (this.#time - boundaries[b]!))
    }
    this.#head.save(into)
    this.#tree.saveRoot(into)
    if (!labelled) return
    this.#transitions.saveRoot(into)
    this.#early.save(into)
  }

  #loadRoot(from: ByteReader): void {
    const { boundaries, stride, aggregate, labelled } = this.#shape
    from.u8()
    this.#time = from.u8() === 0 ? notYet : from.zigzag()
    for (let b = 0; b < boundaries.length; b++) {
      for (let i = 0; i < aggregate; i++) this.#cursors[b * stride + i] = from.zigzag()
      const next = from.varint()
      this.#cursors[b * stride + aggregate] = next === 0 ? never : next + this.#time - boundaries[b]!
    }
    this.#head = Run.load(this.#shape, from)
    this.#tree = EventTree.load(this.#shape, this.#source, from) ?? this.#tree
    if (!labelled) return
    this.#transitions.loadRoot(from)
    this.#early.load(from)
  }

  static load(shape: ReservoirShape, root: ByteReader, source: PageSource, noTree: EventTree): Reservoir {
    const reservoir = new Reservoir(shape, source, noTree)
    reservoir.#loadRoot(root)
    return reservoir
  }

  /** Moves a copy of the cursors to `time`, in the workspace. */
  #advance(time: number): void {
    const { boundaries, stride, aggregate } = this.#shape
    const work = this.#work.cursors
    const kept = this.#cursors
    // Element by element: a call of set() costs more than so few doubles.
    for (let i = 0; i < kept.length; i++) work[i] = kept[i]!
    for (let b = 0; b < boundaries.length; b++) this.#work.runs[b] = this.#runs[b]
    if (this.#transitions.next <= time) {
      this.#transitions.visit(time, transition => this.#takeEffect(transition))
    }
    for (let b = 0; b < boundaries.length; b++) {
      const at = b * stride
      const limit = time - boundaries[b]!
      if (work[at + aggregate]! > limit || this.#stepOn(b, at, limit, time)) continue
      work.fill(0, at, at + aggregate)
      this.#prefix(b, limit, time, at)
      this.#stand(at, b, this.#prefixRun, this.#prefixNext)
    }
  }

  /** Moves a cursor on from where it stands, into the next run if need be. @returns false when the way is longer */
  #stepOn(b: number, at: number, limit: number, time: number): boolean {
    const { aggregate, fraudAt } = this.#shape
    const work = this.#work.cursors
    let run = this.#work.runs[b]
    let offset = work[at + aggregate + 1]!
    for (let steps = 0; run !== undefined && steps < 2; steps++) {
      run.scan(offset, work[at + aggregate + 2]!, limit, fraudAt[b] ? time : notYet, work, at)
      if (scanned.next !== never || run === this.#head) {
        this.#stand(at, b, run, scanned.next)
        return true
      }
      run = this.#tree.after(run) ?? this.#head
      offset = 0
    }
    return false
  }

  /** A label takes effect on an event that cursors have passed (the others will read it with the event). */
  #takeEffect(transition: Transition): void {
    const { boundaries, fraudAt, stride } = this.#shape
    for (let b = 0; b < boundaries.length && transition.time <= this.#time - boundaries[b]!; b++) {
      if (fraudAt[b]) this.#work.cursors[b * stride + 1]! += transition.change
    }
  }

  #stand(at: number, b: number, run: Run | undefined, next: number): void {
    const { aggregate } = this.#shape
    this.#work.runs[b] = run
    this.#work.cursors[at + aggregate] = next
    this.#work.cursors[at + aggregate + 1] = scanned.offset
    this.#work.cursors[at + aggregate + 2] = scanned.time
  }

  #prefixRun: Run | undefined
  #prefixNext = never

  /** Adds the aggregate of all events with time <= limit, labels as of `time`, from summaries. */
  #prefix(b: number, limit: number, time: number, at: number): void {
    const head = this.#head
    const counts = this.#shape.fraudAt[b]!
    const work = this.#work.cursors
    this.#tree.prefix(limit, counts ? time : never, work, at, head.count > 0 ? head.first : never)
    this.#prefixRun = this.#tree.stop.run
    this.#prefixNext = this.#tree.stop.next
    if (head.count > 0 && head.first <= limit) {
      head.scan(0, head.first, limit, time, work, at)
      this.#prefixRun = head
      this.#prefixNext = scanned.next
    }
    if (!counts) work[at + 1] = 0
  }

  #keepAdvance(time: number): void {
    const work = this.#work.cursors
    const kept = this.#cursors
    for (let i = 0; i < kept.length; i++) kept[i] = work[i]!
    for (let b = 0; b < this.#runs.length; b++) this.#runs[b] = this.#work.runs[b]
    if (this.#transitions.next <= time) this.#transitions.pop(time)
    this.#time = time
  }

  /** The event that has just been put in place, as the cursors see it. */
  #count(run: Run, time: number, values: Float64Array): void {
    const { boundaries, stride, aggregate } = this.#shape
    for (let b = 0; b < boundaries.length; b++) {
      const at = b * stride
      if (time > this.#time - boundaries[b]!) {
        if (time >= this.#cursors[at + aggregate]!) continue
        this.#cursors[at + aggregate] = time
        // A cursor at the start of the following run would not meet it.
        if (this.#runs[b] !== run) this.#runs[b] = undefined
        continue
      }
      this.#cursors[at]! += 1
      for (let v = 0; v < this.#shape.values; v++) addValue(this.#cursors, at + 2 + 2 * v, values[v]!)
      // Its offset may be void now; and a cursor without delay, which has passed every event, needs none.
      this.#runs[b] = undefined
    }
  }

  /** Cursors that stand in this run past `offset` must be found again. */
  #forget(run: Run, offset = -1): void {
    const { stride, aggregate } = this.#shape
    for (let b = 0; b < this.#runs.length; b++) {
      if (this.#runs[b] === run && this.#cursors[b * stride + aggregate + 1]! > offset) this.#runs[b] = undefined
    }
  }

  /** From `availableAt` on, `change` more events of this time are fraud. */
  #fraudChanges(availableAt: number, time: number, change: number): void {
    const { boundaries, fraudAt, stride } = this.#shape
    if (availableAt > this.#time) {
      // Within the shortest delay no cursor passes the event before the label is in effect.
      const first = fraudAt.indexOf(true)
      if (first >= 0 && availableAt > time + boundaries[first]!) this.#transitions.add({ availableAt, time, change })
      return
    }
    for (let b = 0; b < boundaries.length && time <= this.#time - boundaries[b]!; b++) {
      if (fraudAt[b]) this.#cursors[b * stride + 1]! += change
    }
  }

  /** The head is full: first drops what has expired, then seals the oldest events if it is still nearly full. */
  #seal(): void {
    const { sizes, retentionMs, aggregate } = this.#shape
    const limit = this.#time - retentionMs
    const { dropped } = this.#work
    dropped.fill(0, 0, aggregate)
    this.#tree.expire(limit, dropped)
    if (this.#tree.isEmpty) {
      const expired = Math.min(this.#head.countThrough(limit), this.#head.count - 1)
      if (expired > 0) {
        const gone = this.#head.cut(expired)
        gone.scan(0, gone.first, never, this.#time, dropped, 0)
        this.#forget(this.#head)
      }
    }
    for (let b = 0; b < this.#runs.length; b++) {
      const at = b * this.#shape.stride
      addAggregate(this.#cursors, at, dropped, 0, aggregate, -1)
      if (!this.#shape.fraudAt[b]) this.#cursors[at + 1] = 0
    }
    if (this.#head.count <= sizes.headEventsMax - (sizes.leafEvents >> 2)) return
    const leaf = this.#head.cut(Math.min(sizes.leafEvents, this.#head.count - 1))
    this.#forget(this.#head)
    if (this.#tree.isUnused) this.#tree = new EventTree(this.#shape, this.#source)
    this.#tree.append(leaf)
  }
}

/**
 * The codec of one step's reservoirs.
 * @param valueNames of what each event carries, in their order
 * @param inspect what a person wants to know of one
 */
export function reservoirCodec(
  shape: ReservoirShape,
  valueNames: readonly string[],
  inspect: NonNullable<PagedCodec<Reservoir>['inspect']>,
): PagedCodec<Reservoir> {
  const { boundaries, fraudAt, labelled, latenessMs, sizes } = shape
  const noTree = new EventTree(shape, noPages)
  return {
    inspect,
    name: 'reservoir',
    version: 1,
    // What is longer ago than boundaries and lateness reach is gone.
    layout: {
      boundaries,
      lateness_ms: latenessMs,
      fraud_at: fraudAt,
      values: valueNames,
      labelled,
      sizes: { ...sizes },
    },
    create: pages => new Reservoir(shape, pages, noTree),
    load: (root, pages) => Reservoir.load(shape, root, pages, noTree),
  }
}

/**
 * Event-time timers of a step.
 *
 * Invariants: 1. at most one timer a (key, time); at most `timersPerKeyMax` a key and `timersPerStepMax` in all (I6); 2. they fire in the order of
 * (time, key bytes) (I3); 3. a timer that was set is gone only when cancelled, or when `fired` says that its call ended
 * well: a call that missed state finds it still there; 4. every list is in memory while it has timers (about 150 bytes a
 * key and 80 a timer, part of the cache's sum), stored as one entry a key.
 */
import { assert, ByteReader, type ByteWriter, type EventTimeMs, eventTime, WeirError } from '../kernel/index.js'
import { currentEntry, type Meter, type StepScope } from './entry.js'
import type { Timers } from './handles.js'
import { TimerHeap } from './timer-heap.js'
import type { Undoable } from './undo.js'

const listBytes = 150
const timerBytes = 80

export interface DueTimer {
  readonly key: string
  readonly at: EventTimeMs
}

/** The timers of one key. */
class TimerList {
  readonly key: string
  readonly group: number
  /** Ascending. */
  readonly times: number[]
  dirty = false

  constructor(key: string, group: number, times: number[]) {
    this.key = key
    this.group = group
    this.times = times
  }
}

/** All timers of a step, from one load of the store to the next discard. */
export class TimerTable implements Undoable {
  readonly #lists = new Map<string, TimerList>()
  readonly #dirty: TimerList[] = []
  readonly #heap = new TimerHeap()
  readonly #meter: Meter
  #live = 0

  constructor(meter: Meter) {
    this.#meter = meter
  }

  /** Timers of all keys. */
  get size(): number {
    return this.#live
  }

  has(key: string, at: number): boolean {
    const list = this.#lists.get(key)
    if (list === undefined) return false
    return list.times[position(list.times, at)] === at
  }

  /** Ascending. */
  timesOf(key: string): readonly number[] {
    return this.#lists.get(key)?.times ?? []
  }

  countOf(key: string): number {
    return this.#lists.get(key)?.times.length ?? 0
  }

  add(key: string, group: number, at: number): void {
    let list = this.#lists.get(key)
    if (list === undefined) {
      list = new TimerList(key, group, [])
      this.#lists.set(key, list)
      this.#measure(listBytes)
    }
    list.times.splice(position(list.times, at), 0, at)
    this.#count(1)
    this.#heap.push(at, key)
    this.#changed(list)
  }

  remove(key: string, at: number): void {
    const list = this.#lists.get(key)
    const index = list === undefined ? -1 : position(list.times, at)
    if (list === undefined || list.times[index] !== at) return
    list.times.splice(index, 1)
    this.#count(-1)
    this.#changed(list)
    // What is cancelled stays in the heap until it comes up; a table that only moves its timers must not grow by that.
    if (this.#heap.size > 2 * this.#live + 1_024) this.#heap.rebuild(this.#all())
  }

  /** Undoes one add (before: false) or remove (before: true). */
  restore(what: unknown, before: unknown): void {
    const { key, group, at } = what as { key: string; group: number; at: number }
    if (before === true) this.add(key, group, at)
    else this.remove(key, at)
  }

  /** The first timer at or before the watermark. */
  due(watermark: number): DueTimer | undefined {
    for (;;) {
      const first = this.#heap.first()
      if (first === undefined || first.at > watermark) return undefined
      if (this.has(first.key, first.at)) return { key: first.key, at: eventTime(first.at) }
      this.#heap.pop()
    }
  }

  /** Calls back for every list that changed, which then counts as clean. */
  drain(save: (key: string, group: number, times: readonly number[]) => void): void {
    for (const list of this.#dirty) {
      list.dirty = false
      save(list.key, list.group, list.times)
      if (list.times.length === 0) {
        this.#lists.delete(list.key)
        this.#measure(-listBytes)
      }
    }
    this.#dirty.length = 0
  }

  /** From the backend, before anything else. */
  load(key: string, group: number, times: number[]): void {
    this.#lists.set(key, new TimerList(key, group, times))
    this.#measure(listBytes)
    this.#count(times.length)
    for (const at of times) this.#heap.push(at, key)
  }

  #count(by: number): void {
    this.#live += by
    this.#measure(by * timerBytes)
  }

  #measure(by: number): void {
    this.#meter.cacheBytes += by
    this.#meter.timerBytes += by
  }

  #changed(list: TimerList): void {
    if (list.dirty) return
    list.dirty = true
    this.#dirty.push(list)
    this.#meter.dirtyBytes += listBytes
  }

  *#all(): Generator<{ at: number; key: string }> {
    for (const list of this.#lists.values()) for (const at of list.times) yield { at, key: list.key }
  }
}

/** Where `at` is or belongs in the ascending times. */
function position(times: readonly number[], at: number): number {
  let low = 0
  let high = times.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle]! < at) low = middle + 1
    else high = middle
  }
  return low
}

export function encodeTimes(times: readonly number[], into: ByteWriter): void {
  into.varint(times.length)
  let before = 0
  for (const at of times) {
    into.zigzag(at - before)
    before = at
  }
}

export function decodeTimes(bytes: Buffer): number[] {
  const from = new ByteReader(bytes)
  const count = from.varint()
  const times: number[] = []
  let at = 0
  for (let i = 0; i < count; i++) {
    at += from.zigzag()
    times.push(at)
  }
  return times
}

/** Timers of the current key, for operators; due and fired are the engine's. */
export class StepTimers implements Timers {
  readonly #scope: StepScope
  readonly #table: TimerTable

  constructor(scope: StepScope, table: TimerTable) {
    this.#scope = scope
    this.#table = table
  }

  timerAt(at: EventTimeMs): void {
    assert(Number.isSafeInteger(at), `a timer at ${at}: whole milliseconds`)
    const { key, group } = currentEntry(this.#scope)
    if (this.#table.has(key, at)) return
    // No key in what is thrown: it may name a customer.
    const { timersPerKeyMax, timersPerStepMax } = this.#scope.core
    if (this.#table.size >= timersPerStepMax) {
      throw new WeirError('TIMER_LIMIT', `step '${this.#scope.name}' has ${timersPerStepMax} timers`)
    }
    if (this.#table.countOf(key) >= timersPerKeyMax) {
      throw new WeirError('TIMER_LIMIT', `step '${this.#scope.name}' has ${timersPerKeyMax} timers for one key`)
    }
    this.#table.add(key, group, at)
    this.#scope.undo.push(this.#table, { key, group, at }, false)
  }

  cancel(at: EventTimeMs): void {
    const { key, group } = currentEntry(this.#scope)
    if (!this.#table.has(key, at)) return
    this.#table.remove(key, at)
    this.#scope.undo.push(this.#table, { key, group, at }, true)
  }

  /** Of any key, ascending. */
  timesOf(key: string): readonly number[] {
    return this.#table.timesOf(key)
  }

  /** The next timer at or before the watermark; the same again until `fired` or a cancel. */
  due(watermark: EventTimeMs): DueTimer | undefined {
    return this.#table.due(watermark)
  }

  /** The timer's call has ended well. */
  fired(timer: DueTimer): void {
    this.#table.remove(timer.key, timer.at)
  }
}

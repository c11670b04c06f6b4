/**
 * The newest entries of a partition, as they were written: who reads at the end, as a running slot and the decision view
 * do, needs no trip to the database.
 *
 * Invariants: 1. what is kept is the end of the partition without gaps, what a write that is under way adds included;
 * 2. it holds `tailBytesMax` at most (I6), or the last entry alone.
 */
import type { Entry } from '../entries/index.js'

const tailBytesMax = 1 << 20
/** Dropped entries at the front of the array before it is moved up. */
const droppedMax = 1_024

export class Tail {
  readonly #entries: Entry[] = []
  #first = 0
  #bytes = 0

  push(entry: Entry): void {
    this.#entries.push(entry)
    this.#bytes += entry.bytes.length
    while (this.#bytes > tailBytesMax && this.#first < this.#entries.length - 1) {
      this.#bytes -= this.#entries[this.#first++]!.bytes.length
    }
    if (this.#first < droppedMax) return
    this.#entries.splice(0, this.#first)
    this.#first = 0
  }

  /** Entries from the one that holds `from`, of those that begin below `until`; none when `from` lies before the tail. */
  read(from: number, until: number, entriesMax: number): readonly Entry[] {
    const entries = this.#entries
    let low = this.#first
    if (low === entries.length || from < entries[low]!.base) return []
    for (let high = entries.length; low < high; ) {
      const middle = (low + high) >> 1
      if (entries[middle]!.last < from) low = middle + 1
      else high = middle
    }
    let end = low
    while (end < entries.length && end - low < entriesMax && entries[end]!.base < until) end++
    return entries.slice(low, end)
  }
}

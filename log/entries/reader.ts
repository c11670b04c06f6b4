/**
 * The reader of every log that keeps its partitions as entries.
 *
 * Invariants:
 * 1. Positions move only after everything of a poll has been read: a poll that throws has moved nothing.
 * 2. A poll sees each partition up to the `latest` it had when the poll began reading, all taken at one moment: what one
 *    transaction wrote to several partitions is visible in all of them or in none.
 * 3. Entries read and not yet delivered (`ahead`) are only a cache, found by position; at most `aheadEntriesMax` a
 *    partition (I6).
 * 4. Whichever partition has much to read, the others get their turn: each poll offers its limits to another one first.
 */
import { assert, millis } from '../../kernel/index.js'
import type { LogReader, PollLimits, Position, RecordBatch } from '../port.js'
import { offset } from '../port.js'
import { nextOf, pushBatches, type Segment } from './columns.js'
import type { Entry } from './entry.js'
import { checkPosition, type PartitionBounds } from './topics.js'
import type { Doorbell, Timer } from './waiting.js'

export const aheadEntriesMax = 256
/** How many entries to read of a partition whose entry size is not known yet. */
const firstReadEntries = 4

/** Where the entries come from. */
export interface EntrySource<P extends PartitionBounds> {
  partition(at: Position): P
  /** Up to `entriesMax` entries in order, from the first that ends at or after `from`; not past `until`. */
  read(partition: P, from: number, until: number, entriesMax: number): Promise<readonly Entry[]>
  /** Rung after every write, and when the log closes. */
  readonly bell: Doorbell
  readonly timer: Timer
  isClosed(): boolean
}

interface Cursor<P extends PartitionBounds> {
  readonly partition: P
  position: number
  ahead: readonly Entry[]
  entryBytesMean: number
  // of the current poll
  until: number
  next: number
  segments: Segment[]
}

export class EntryReader<P extends PartitionBounds> implements LogReader {
  readonly finished = false
  readonly #source: EntrySource<P>
  readonly #cursors: readonly Cursor<P>[]
  #first = 0
  #polling = false
  #closed = false
  #recordsLeft = 0
  #bytesLeft = 0

  /** @throws WeirError UNKNOWN_TOPIC */
  constructor(source: EntrySource<P>, from: readonly Position[]) {
    this.#source = source
    const topics = [...new Set(from.map(position => position.topic))]
    const ordered = [...from].sort(
      (a, b) => topics.indexOf(a.topic) - topics.indexOf(b.topic) || a.partition - b.partition,
    )
    this.#cursors = ordered.map(position => ({
      partition: source.partition(position),
      position: Number(position.offset),
      ahead: [],
      entryBytesMean: 0,
      until: 0,
      next: 0,
      segments: [],
    }))
  }

  get closed(): boolean {
    return this.#closed || this.#source.isClosed()
  }

  async poll(limits: PollLimits): Promise<readonly RecordBatch[]> {
    assert(!this.#polling, 'one poll at a time')
    assert(!this.closed, 'the reader and its log are open')
    assert(limits.recordsMax > 0, 'a poll asks for at least one record')
    this.#polling = true
    try {
      if (!this.#hasNews() && limits.waitMsMax > 0) {
        await this.#source.bell.wait(() => this.closed || this.#hasNews(), millis(limits.waitMsMax), this.#source.timer)
      }
      return this.closed ? [] : await this.#read(limits)
    } finally {
      this.#polling = false
    }
  }

  seek(position: Position): void {
    assert(!this.#polling, 'no seek during a poll')
    const cursor = this.#cursors.find(
      c => c.partition.topic === position.topic && c.partition.partition === position.partition,
    )
    assert(cursor !== undefined, `the reader has ${position.topic}/${position.partition}`)
    cursor.position = Number(position.offset)
  }

  positions(): readonly Position[] {
    return this.#cursors.map(({ partition, position }) => ({
      topic: partition.topic,
      partition: partition.partition,
      offset: offset(position),
    }))
  }

  close(): Promise<void> {
    this.#closed = true
    this.#source.bell.ring()
    return Promise.resolve()
  }

  /** A position outside the log is news too: the poll must say so. */
  #hasNews(): boolean {
    return this.#cursors.some(({ partition, position }) => position !== partition.latest)
  }

  async #read(limits: PollLimits): Promise<readonly RecordBatch[]> {
    const cursors = this.#cursors
    for (const cursor of cursors) {
      checkPosition(cursor.partition, cursor.position)
      cursor.until = cursor.partition.latest
      cursor.next = cursor.position
      cursor.segments = []
    }
    this.#recordsLeft = limits.recordsMax
    this.#bytesLeft = limits.bytesMax
    const first = this.#first
    for (;;) {
      // All partitions that need it read at once: a read costs a trip to the thread pool, whatever it returns.
      const wanting = cursors.filter(cursor => cursor.next < cursor.until)
      await Promise.all(wanting.map(cursor => this.#readAhead(cursor)))
      let taken = false
      for (let i = 0; i < cursors.length; i++) {
        if (this.#take(cursors[(first + i) % cursors.length]!)) taken = true
      }
      if (!taken || this.#recordsLeft === 0 || this.#bytesLeft <= 0) break
    }
    this.#first = cursors.length === 0 ? 0 : (first + 1) % cursors.length
    const batches: RecordBatch[] = []
    for (const cursor of cursors) {
      pushBatches(cursor.partition, cursor.segments, batches)
      cursor.position = cursor.next
      cursor.segments = []
    }
    return batches
  }

  async #readAhead(cursor: Cursor<P>): Promise<void> {
    const { ahead, next, partition, until } = cursor
    const held = ahead.findIndex(entry => entry.last >= next)
    if (held >= 0 && ahead[held]!.base <= next) {
      if (held > 0) cursor.ahead = ahead.slice(held)
      return
    }
    const mean = cursor.entryBytesMean
    const wanted = mean === 0 ? firstReadEntries : Math.ceil(this.#bytesLeft / mean)
    const entriesMax = Math.max(1, Math.min(wanted, this.#recordsLeft, aheadEntriesMax))
    const read = await this.#source.read(partition, next, until, entriesMax)
    cursor.ahead = read
    let bytes = 0
    for (const entry of read) bytes += entry.bytes.length
    if (read.length > 0) cursor.entryBytesMean = bytes / read.length
    else cursor.next = until // only a gap is left
  }

  /** Moves records from `ahead` into the cursor's segments while the limits allow. @returns true when any was taken */
  #take(cursor: Cursor<P>): boolean {
    let taken = false
    for (const entry of cursor.ahead) {
      if (cursor.next >= cursor.until || this.#recordsLeft === 0) break
      if (entry.last < cursor.next) continue
      const from = Math.max(0, cursor.next - entry.base)
      const to = this.#fitting(entry, from)
      if (to === from) break
      const segment = { entry, from, to }
      cursor.segments.push(segment)
      cursor.next = nextOf(segment)
      taken = true
      if (to < entry.count) break
    }
    return taken
  }

  /** The end of the records from `from` that fit what is left of the limits, which it uses up. */
  #fitting(entry: Entry, from: number): number {
    const { count, columns } = entry
    const end = Math.min(count, from + this.#recordsLeft)
    let bytesLeft = this.#bytesLeft
    let to = from
    while (to < end) {
      const keyBytes = columns[count + to]! - columns[to]!
      const valueBytes = columns[3 * count + to]! - columns[2 * count + to]!
      if (keyBytes + valueBytes > bytesLeft) {
        // A record larger than the whole limit passes alone; a record that is merely next waits.
        if (this.#delivered() || to > from) {
          this.#recordsLeft -= to - from
          this.#bytesLeft = bytesLeft
          return to
        }
        this.#recordsLeft = 0
        this.#bytesLeft = 0
        return to + 1
      }
      bytesLeft -= keyBytes + valueBytes
      to++
    }
    this.#recordsLeft -= to - from
    this.#bytesLeft = bytesLeft
    return to
  }

  #delivered(): boolean {
    return this.#cursors.some(cursor => cursor.segments.length > 0)
  }
}

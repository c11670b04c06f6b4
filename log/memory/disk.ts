/**
 * The durable part of the memory log: it survives its users. Several logs may stand on one disk, as an old owner and a
 * new one do on one Kafka.
 *
 * Invariants: 1. a write is visible as a whole; 2. a commit of a fenced generation is never written, however late it
 * arrives (I4); 3. a synced write survives `powerCut`, and what survives is a prefix of the writes.
 */
import { WeirError } from '../../kernel/index.js'
import {
  checkPosition,
  countOf,
  Doorbell,
  Entry,
  EntryEncoder,
  type PartitionBounds,
  type Records,
  TopicTable,
} from '../entries/index.js'
import { type Append, type Offset, offset, type Position } from '../port.js'

export interface MemoryPartition extends PartitionBounds {
  /** In offset order. */
  readonly entries: Entry[]
  /** What was trimmed, for `untrim`. */
  readonly trimmed: Entry[]
}

export interface MemoryDiskOptions {
  /** As in Kafka, every transaction takes one more offset of each partition it wrote to: offsets then have gaps. */
  readonly markers?: boolean
}

interface DelayedCommit {
  readonly id: string
  readonly generation: number
  readonly appends: readonly Append[]
  readonly timestampMs: number
}

type Undo = readonly { readonly partition: MemoryPartition; readonly latest: number }[]

export class MemoryDisk {
  readonly topics = new TopicTable<MemoryPartition>()
  readonly bell = new Doorbell()
  readonly #encoder = new EntryEncoder()
  readonly #generations = new Map<string, number>()
  readonly #markers: boolean
  #delayed: DelayedCommit[] = []
  #unsynced: Undo[] = []

  constructor(options: MemoryDiskOptions = {}) {
    this.#markers = options.markers ?? false
  }

  /** Writes that a power cut may take away. */
  get unsyncedWrites(): number {
    return this.#unsynced.length
  }

  /** Commits whose outcome is still open. */
  get delayedCommits(): number {
    return this.#delayed.length
  }

  createTopic(topic: string, partitions: number): void {
    if (this.topics.has(topic, partitions)) return
    this.topics.add(topic, emptyPartitions(topic, 0, partitions))
  }

  /** Until the topic has at least so many partitions. @throws WeirError UNKNOWN_TOPIC */
  growTopic(topic: string, partitions: number): void {
    this.topics.grow(topic, emptyPartitions(topic, this.topics.partitions(topic).length, partitions))
  }

  /** Fences every older generation of `id`; commits of theirs that are still under way will never be written. */
  fence(id: string): number {
    const generation = (this.#generations.get(id) ?? 0) + 1
    this.#generations.set(id, generation)
    this.#delayed = this.#delayed.filter(delayed => delayed.id !== id)
    return generation
  }

  /** @throws WeirError SLOT_FENCED */
  checkGeneration(id: string, generation: number): void {
    const live = this.#generations.get(id)
    if (live !== generation) throw new WeirError('SLOT_FENCED', `${id} has generation ${live}, this is ${generation}`)
  }

  /** @throws WeirError UNKNOWN_TOPIC; nothing is written then */
  check(appends: readonly Append[]): void {
    for (const append of appends) this.topics.partition(append)
  }

  /** @throws WeirError SLOT_FENCED, UNKNOWN_TOPIC */
  commit(id: string, generation: number, appends: readonly Append[], timestampMs: number): Offset[] {
    this.checkGeneration(id, generation)
    const firsts = this.#write(appends, timestampMs, this.#markers)
    this.sync()
    return firsts
  }

  /** @returns the first offset of each append */
  append(appends: readonly Append[], timestampMs: number): Offset[] {
    return this.#write(appends, timestampMs, false)
  }

  /** Keeps a commit for `settle`. */
  delay(id: string, generation: number, appends: readonly Append[], timestampMs: number): void {
    this.#delayed.push({ id, generation, appends, timestampMs })
  }

  /** Everything that was under way arrives; what was fenced meanwhile is gone already. */
  settle(): void {
    const delayed = this.#delayed
    this.#delayed = []
    for (const { id, generation, appends, timestampMs } of delayed) this.commit(id, generation, appends, timestampMs)
  }

  /** What is under way is aborted, as by the log's own time-out. */
  abortDelayed(): void {
    this.#delayed = []
  }

  sync(): void {
    this.#unsynced = []
  }

  /** Takes away all but the first `kept` of the writes that were not synced. */
  powerCut(kept = 0): void {
    for (const undo of this.#unsynced.splice(kept).reverse()) {
      for (const { partition, latest } of undo) {
        partition.latest = latest
        while (partition.entries.length > 0 && partition.entries[partition.entries.length - 1]!.last >= latest) {
          partition.entries.pop()
        }
      }
    }
    this.sync()
  }

  trim(before: Position): void {
    const partition = this.topics.partition(before)
    const earliest = Number(before.offset)
    if (earliest > partition.latest) checkPosition(partition, earliest)
    if (earliest <= partition.earliest) return
    this.sync()
    partition.earliest = earliest
    const kept = partition.entries.findIndex(entry => entry.last >= earliest)
    partition.trimmed.push(...partition.entries.splice(0, kept < 0 ? partition.entries.length : kept))
  }

  /** Puts back what was trimmed, for who checks everything that there ever was. */
  untrim(topic: string): void {
    for (const partition of this.topics.partitions(topic)) {
      partition.entries.unshift(...partition.trimmed.splice(0))
      partition.earliest = 0
    }
  }

  /** Entries from the first that ends at or after `from`. */
  read(partition: MemoryPartition, from: number, entriesMax: number): readonly Entry[] {
    const { entries } = partition
    let low = 0
    let high = entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (entries[middle]!.last < from) low = middle + 1
      else high = middle
    }
    return entries.slice(low, low + entriesMax)
  }

  #write(appends: readonly Append[], timestampMs: number, markers: boolean): Offset[] {
    const partitions = appends.map(append => this.topics.partition(append))
    const before = [...new Set(partitions)].map(partition => ({ partition, latest: partition.latest }))
    const firsts = appends.map((append, i) => offset(this.#appendTo(partitions[i]!, append.records, timestampMs)))
    if (markers) for (const { partition } of before) closeWithMarker(partition)
    this.#unsynced.push(before)
    this.bell.ring()
    return firsts
  }

  #appendTo(partition: MemoryPartition, records: Records, timestampMs: number): number {
    const first = partition.latest
    const count = countOf(records)
    for (let from = 0; from < count; ) {
      this.#encoder.reset()
      from = this.#encoder.add(records, from)
      const last = partition.latest + this.#encoder.count - 1
      // Copied: the encoder's buffer is used again.
      const bytes = Buffer.from(this.#encoder.finish(timestampMs, 0))
      partition.entries.push(new Entry(partition, bytes, last, last + 1, 0))
      partition.latest = last + 1
    }
    return first
  }
}

const emptyPartitions = (topic: string, from: number, to: number): MemoryPartition[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => ({
    topic,
    partition: from + i,
    earliest: 0,
    latest: 0,
    entries: [],
    trimmed: [],
  }))

/** The last entry then ends after the marker, as a Kafka reader that has seen the marker knows. */
function closeWithMarker(partition: MemoryPartition): void {
  const last = partition.entries[partition.entries.length - 1]
  partition.latest++
  if (last !== undefined && last.next === partition.latest - 1) last.next = partition.latest
}

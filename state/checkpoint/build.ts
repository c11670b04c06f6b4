/**
 * Writes the segments of a checkpoint: bases from a snapshot of the backend, deltas from the spool. Works in slices, each of
 * which ends in the pool or on the disk, and no faster than its pace allows, so that epochs go on beside it.
 */
import { type Clock, type DurationMs, defined } from '../../kernel/index.js'
import type { StateBackend, StateSnapshot } from '../backend.js'
import { keyGroupRange, parseKey, prefixRange, space } from '../keys.js'
import { bucketOfKey, groupBuckets, groupsOf } from './buckets.js'
import { nameOf, type SegmentRef } from './manifest.js'
import { decodeOperations, SegmentWriter } from './segment.js'
import type { CheckpointStore } from './store.js'

export interface BuildLimits {
  /** Of operations before compression, read, packed and counted at a time. */
  readonly blockBytes: number
  /** A segment takes in the next bucket while it is smaller than this … */
  readonly segmentBytesMin: number
  /** … and a bucket is split where a segment is larger than this. It is held in memory. */
  readonly segmentBytesMax: number
  /** Of changes, gathered and sorted in memory at a time. */
  readonly gatherBytesMax: number
  /** Of state and changes read, before compression. */
  readonly bytesPerSecondMax: number
}

export const defaultBuildLimits: BuildLimits = {
  blockBytes: 64 << 10,
  segmentBytesMin: 1 << 20,
  segmentBytesMax: 16 << 20,
  gatherBytesMax: 32 << 20,
  bytesPerSecondMax: 16 << 20,
}

/** Keeps the work to so many bytes a second, whatever was missed before. */
export class Pace {
  readonly #clock: Clock
  readonly #bytesPerMs: number
  #freeAtMs = 0

  constructor(clock: Clock, bytesPerSecondMax: number) {
    this.#clock = clock
    this.#bytesPerMs = bytesPerSecondMax / 1_000
  }

  async spent(bytes: number): Promise<void> {
    const nowMs = this.#clock.nowMs()
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + bytes / this.#bytesPerMs
    const ahead = Math.floor(this.#freeAtMs - nowMs)
    if (ahead >= 1) await this.#clock.sleep(ahead as DurationMs)
  }
}

export interface Target {
  readonly store: CheckpointStore
  /** What stands before the names of segments. */
  readonly prefix: string
  readonly epoch: number
  readonly limits: BuildLimits
  readonly pace: Pace
  /** Called between slices. @throws what is to end the work */
  readonly goOn: () => void
}

/** Cuts operations, which come in the order of bucket and key, into segments. */
export class SegmentSink {
  readonly segments: SegmentRef[] = []
  /** Of all that were put, also of one that may not have arrived. */
  readonly names: string[] = []
  /** Operations' bytes by bucket, before compression. */
  readonly sizes = new Map<number, number>()
  readonly #target: Target
  readonly #kind: SegmentRef['kind']
  #open: { readonly writer: SegmentWriter; readonly first: number; last: number; part: number } | undefined

  constructor(target: Target, kind: SegmentRef['kind']) {
    this.#target = target
    this.#kind = kind
  }

  /** What follows is of this bucket; it may be nothing. */
  async bucket(bucket: number): Promise<void> {
    const { limits } = this.#target
    const open = this.#open
    // A base replaces its buckets, so it names none between them that it does not hold; nor does it go on after a split.
    const ends =
      open !== undefined &&
      (open.writer.bytes >= limits.segmentBytesMin ||
        (this.#kind === 'base' && (bucket !== open.last + 1 || open.part > 0)))
    if (ends) await this.#close()
    if (this.#open === undefined) this.#start(bucket, 0)
    else this.#open.last = bucket
    this.sizes.set(bucket, 0)
  }

  #start(bucket: number, part: number): void {
    const writer = new SegmentWriter(this.#target.limits.blockBytes)
    this.#open = { writer, first: bucket, last: bucket, part }
  }

  /** @returns true when `flush` is due */
  add(key: Buffer, value: Buffer | undefined): boolean {
    const open = defined(this.#open, 'a bucket')
    const bytes = key.length + (value?.length ?? 0)
    this.sizes.set(open.last, this.sizes.get(open.last)! + bytes)
    return open.writer.add(key, value)
  }

  async flush(): Promise<void> {
    const { pace, limits, goOn } = this.#target
    const open = defined(this.#open, 'a bucket')
    await pace.spent(await open.writer.flush())
    goOn()
    if (open.writer.bytes < limits.segmentBytesMax) return
    const { last, part } = open
    await this.#close()
    this.#start(last, part + 1)
  }

  async finish(): Promise<readonly SegmentRef[]> {
    await this.#close()
    return this.segments
  }

  async #close(): Promise<void> {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    await open.writer.flush()
    const { bytes, sha256 } = open.writer.finish()
    const { store, prefix, epoch } = this.#target
    const name = nameOf(epoch, sha256)
    this.names.push(name)
    await store.put(prefix + name, bytes)
    const buckets = [open.first, open.last] as const
    this.segments.push({ name, kind: this.#kind, part: open.part, buckets, bytes: bytes.length })
  }
}

/** All state of a store, without what is about the store itself. */
export function snapshotOf(backend: StateBackend, namespace: Uint8Array): Promise<StateSnapshot> {
  const at = (within: number): Buffer => Buffer.concat([namespace, Buffer.of(within)])
  return backend.snapshot({ gte: at(space.entry), lt: at(space.expiry + 1) })
}

/** Everything that the snapshot has of these buckets. @param buckets ascending */
export async function writeBases(
  sink: SegmentSink,
  snapshot: StateSnapshot,
  namespace: Uint8Array,
  keyGroups: number,
  buckets: readonly number[],
  limits: BuildLimits,
): Promise<void> {
  const steps = {
    entries: await stepsIn(snapshot, namespace, space.entry),
    timers: await stepsIn(snapshot, namespace, space.timer),
  }
  for (const bucket of buckets) {
    await sink.bucket(bucket)
    if (bucket === groupBuckets(keyGroups)) {
      const { gte, lt } = prefixRange(Buffer.concat([namespace, Buffer.of(space.expiry)]))
      await copyRange(sink, snapshot, namespace.length, gte, lt, limits)
      continue
    }
    const { from, to } = groupsOf(bucket, keyGroups)
    for (const what of ['entries', 'timers'] as const) {
      for (const step of steps[what]) {
        const { gte } = keyGroupRange(namespace, step, from)[what]
        const { lt } = keyGroupRange(namespace, step, to - 1)[what]
        await copyRange(sink, snapshot, namespace.length, gte, lt, limits)
      }
    }
  }
}

/** In the order of their keys. */
async function stepsIn(snapshot: StateSnapshot, namespace: Uint8Array, within: number): Promise<readonly string[]> {
  const steps: string[] = []
  const range = prefixRange(Buffer.concat([namespace, Buffer.of(within)]))
  for (let from = range.gte; ; ) {
    snapshot.seek(from)
    const [entry] = await snapshot.next(1)
    if (entry === undefined || entry.key.compare(range.lt) >= 0) return steps
    const { step } = parseKey(entry.key, namespace.length + 1)
    steps.push(step)
    const nameEnd = namespace.length + 2 + entry.key.readUInt8(namespace.length + 1)
    from = prefixRange(entry.key.subarray(0, nameEnd)).lt
  }
}

async function copyRange(
  sink: SegmentSink,
  snapshot: StateSnapshot,
  skip: number,
  gte: Buffer,
  lt: Buffer,
  limits: BuildLimits,
): Promise<void> {
  snapshot.seek(gte)
  for (;;) {
    const entries = await snapshot.next(limits.blockBytes)
    if (entries.length === 0) return
    for (const { key, value } of entries) {
      if (key.compare(lt) >= 0) return
      if (sink.add(key.subarray(skip), value)) await sink.flush()
    }
  }
}

/**
 * The last operation on each key, of the buckets that are not `passed`.
 * @param read the operations, from the first on, each time that it is called: they are gathered a part of the buckets at a time
 */
export async function writeDeltas(
  sink: SegmentSink,
  read: () => AsyncIterable<Buffer>,
  keyGroups: number,
  passed: ReadonlySet<number>,
  target: Target,
): Promise<void> {
  const bytes = new Map<number, number>()
  for await (const record of read()) {
    for (const { key, value } of decodeOperations(record)) {
      const bucket = bucketOfKey(key, keyGroups)
      if (!passed.has(bucket)) bytes.set(bucket, (bytes.get(bucket) ?? 0) + key.length + (value?.length ?? 0))
    }
    target.goOn()
  }
  for (const buckets of parts(bytes, target.limits.gatherBytesMax)) {
    const gathered = new Map([...buckets].map(bucket => [bucket, new Map<string, Buffer | undefined>()]))
    for await (const record of read()) {
      for (const { key, value } of decodeOperations(record)) {
        // A copy: the record would be kept for as long as one of its values is. In latin-1 texts sort as their bytes.
        gathered.get(bucketOfKey(key, keyGroups))?.set(key.toString('latin1'), value && Buffer.from(value))
      }
      target.goOn()
    }
    for (const [bucket, operations] of gathered) {
      await sink.bucket(bucket)
      for (const key of [...operations.keys()].sort()) {
        if (sink.add(Buffer.from(key, 'latin1'), operations.get(key))) await sink.flush()
      }
      gathered.set(bucket, new Map())
    }
  }
}

/** Ascending runs of buckets of at most so many bytes together; a bucket of more is one by itself. */
function* parts(bytes: ReadonlyMap<number, number>, bytesMax: number): Iterable<readonly number[]> {
  let part: number[] = []
  let sum = 0
  for (const bucket of [...bytes.keys()].sort((a, b) => a - b)) {
    const size = bytes.get(bucket)!
    if (part.length > 0 && sum + size > bytesMax) {
      yield part
      part = []
      sum = 0
    }
    part.push(bucket)
    sum += size
  }
  if (part.length > 0) yield part
}

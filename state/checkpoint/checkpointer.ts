/**
 * Makes checkpoints of one slot's store beside its epochs.
 *
 * Invariants:
 * 1. A checkpoint is of one moment: right after a write-back, when the backend holds what its position says, a snapshot is taken
 *    and the spool marked; all reading comes later and sees no later write.
 * 2. A checkpoint is there when its manifest is, which is written last. What it names is there before, and durable.
 * 3. No failure of it stops the slot: it is told by an event, and the next checkpoint is tried when it is due.
 *    What an attempt has put before its manifest was asked for is taken back, so that a store that is full gets room again.
 * 4. It goes on from the newest checkpoint only when the spool holds every write-back since, as the chain says; else it is full.
 */
import { assert, type Clock, isWeirError, messageOf, WeirError } from '../../kernel/index.js'
import type { StateBackend, StateSnapshot } from '../backend.js'
import { type Meta, readMeta } from '../meta.js'
import { bucketCount } from './buckets.js'
import {
  type BuildLimits,
  defaultBuildLimits,
  Pace,
  SegmentSink,
  snapshotOf,
  type Target,
  writeBases,
  writeDeltas,
} from './build.js'
import { Catalogue, lackingOf, type Retention } from './catalogue.js'
import {
  bytesOf,
  type CheckpointFacts,
  encodeManifest,
  type InputPosition,
  liveSegments,
  type Manifest,
  manifestOf,
  manifestsOf,
  segmentsOf,
} from './manifest.js'
import type { DeltaSpool, SpoolMark } from './spool.js'
import type { CheckpointStore } from './store.js'

export type CheckpointEvent =
  | {
      readonly kind: 'checkpoint'
      readonly epoch: number
      readonly how: 'full' | 'incremental'
      /** Put into the store for it, and what a restore of it reads. */
      readonly bytesWritten: number
      readonly bytesTotal: number
      readonly segmentsWritten: number
      readonly ms: number
    }
  /** The newest that was made before this process, where one is whole; told once. */
  | { readonly kind: 'checkpoint-found'; readonly epoch: number; readonly atMs: number }
  | { readonly kind: 'checkpoint-failed'; readonly epoch: number; readonly message: string }
  /** A manifest or segment is not what was published. */
  | { readonly kind: 'checkpoint-unusable'; readonly name: string; readonly message: string }
  | { readonly kind: 'checkpoints-removed'; readonly count: number }

export interface CheckpointerOptions {
  readonly store: CheckpointStore
  readonly app: string
  readonly slot: number
  readonly backend: StateBackend
  readonly namespace?: Uint8Array
  /** The one that the StateStore writes. */
  readonly spool: DeltaSpool
  readonly clock: Clock
  /** From the beginning of one to that of the next, at least. */
  readonly everyMs: number
  readonly keep?: Partial<Retention>
  readonly limits?: Partial<CheckpointLimits>
  readonly onEvent: (event: CheckpointEvent) => void
  /**
   * Called after each checkpoint with those that are kept, oldest first: nothing that going on from the first of them needs may
   * be trimmed, and what lies before may. An error is told as that of a checkpoint.
   */
  readonly onRetained?: (kept: readonly Manifest[]) => Promise<void>
  /** Where the simulation holds a checkpoint up, or stops it dead; in production nobody listens. */
  readonly pauseAt?: (point: CheckpointPoint) => Promise<void>
}

/** On the way of a checkpoint, in this order. */
export type CheckpointPoint = 'taken' | 'segments-written' | 'published' | 'spool-released' | 'retained' | 'told'

export interface CheckpointLimits extends BuildLimits {
  /** A bucket gets a new base when the changes since its base exceed this many bytes and half of the base. */
  readonly deltaBytesMin: number
  /** A checkpoint of more segments is followed by a full one. */
  readonly segmentsMax: number
}

const defaultLimits: CheckpointLimits = { ...defaultBuildLimits, deltaBytesMin: 64 << 10, segmentsMax: 2_000 }
const defaultKeep: Retention = { countMin: 3, youngerThanMs: 3_600_000 }

/** What a checkpoint is made from; taken between two write-backs. */
interface Moment {
  readonly meta: Meta
  readonly inputs: readonly InputPosition[]
  readonly facts: CheckpointFacts | undefined
  readonly previous: Manifest | undefined
  /** Buckets of which bases are written. */
  readonly bases: readonly number[]
  /** Where there are any. */
  readonly snapshot: StateSnapshot | undefined
  readonly mark: SpoolMark
  readonly atMs: number
}

export class Checkpointer {
  readonly #options: CheckpointerOptions
  readonly #namespace: Uint8Array
  readonly #limits: CheckpointLimits
  readonly #keep: Retention
  readonly #catalogue: Catalogue
  /** The newest that can be gone on from; undefined also while it is not known. */
  #previous: Manifest | undefined
  #looked = false
  #dueAtMs: number
  #running: Promise<void> | undefined
  #closed = false

  constructor(options: CheckpointerOptions) {
    this.#options = options
    this.#namespace = options.namespace ?? new Uint8Array(0)
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#keep = { ...defaultKeep, ...options.keep }
    assert(this.#keep.countMin >= 2, 'a checkpoint to fall back on')
    this.#catalogue = new Catalogue(options.store, options.app, options.slot)
    this.#dueAtMs = options.clock.nowMs()
  }

  /**
   * Called after every write-back, before the next one begins; resolves once a checkpoint has begun, if one is due. Never throws.
   * @param inputs as of the position that was written
   * @param facts of that position; asked for when a checkpoint begins. Without them no savepoint can be made of it
   */
  async afterWriteBack(inputs: readonly InputPosition[], facts?: () => CheckpointFacts): Promise<void> {
    const { clock, everyMs } = this.#options
    const nowMs = clock.nowMs()
    if (this.#closed || this.#running !== undefined || nowMs < this.#dueAtMs) return
    this.#dueAtMs = nowMs + everyMs
    if (!this.#looked) {
      // Looking takes a while at a distant store; a write-back after it begins the checkpoint.
      this.#running = this.#guarded(0, () => this.#look(nowMs)).then(() => this.#done())
      return
    }
    let moment: Moment | undefined
    await this.#guarded(0, async () => {
      moment = await this.#take(inputs, nowMs, facts)
    })
    if (moment === undefined) return
    const taken = moment
    this.#running = this.#guarded(taken.meta.position.epoch, () => this.#make(taken)).then(() => this.#done())
  }

  #done(): void {
    this.#running = undefined
  }

  /** Resolves when no checkpoint is being made. */
  async idle(): Promise<void> {
    await this.#running
  }

  /** Gives up the one that is being made; the store is left to its owner. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #guarded(epoch: number, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (this.#closed && isWeirError(error, 'INTERRUPTED')) return
      this.#options.onEvent({ kind: 'checkpoint-failed', epoch, message: messageOf(error) })
    }
  }

  readonly #goOn = (): void => {
    if (this.#closed) throw new WeirError('INTERRUPTED', 'the checkpoint was given up')
  }

  /** Finds what can be gone on from: the newest checkpoint whose segments are all there, and not cut short. */
  async #look(nowMs: number): Promise<void> {
    const there = await this.#catalogue.segments()
    const usable: Manifest[] = []
    for await (const found of this.#catalogue.newestFirst()) {
      if ('error' in found) this.#unusable(found.name, found.error.message)
      else if (this.#isWhole(found.name, found.manifest, there)) usable.push(found.manifest)
    }
    const [newest] = usable
    this.#previous = newest
    this.#looked = true
    if (newest !== undefined) {
      this.#options.onEvent({ kind: 'checkpoint-found', epoch: newest.epoch, atMs: Date.parse(newest.created_at) })
    }
    this.#dueAtMs = nowMs
  }

  #isWhole(name: string, manifest: Manifest, there: ReadonlyMap<string, number>): boolean {
    const lacking = lackingOf(manifest, there)
    if (lacking !== undefined) this.#unusable(name, `segment ${lacking} is missing or cut short`)
    return lacking === undefined
  }

  #unusable(name: string, message: string): void {
    this.#options.onEvent({ kind: 'checkpoint-unusable', name, message })
  }

  async #take(
    inputs: readonly InputPosition[],
    atMs: number,
    facts: (() => CheckpointFacts) | undefined,
  ): Promise<Moment | undefined> {
    const { backend, spool } = this.#options
    const meta = await readMeta(backend, this.#namespace)
    assert(meta !== undefined, 'a store that was written back has a position')
    const previous = this.#previous
    if (previous !== undefined && previous.chain === meta.chain && previous.epoch === meta.position.epoch)
      return undefined
    const said = facts?.()
    const goesOn = previous !== undefined && previous.key_groups === meta.keyGroups && spool.holds(previous.chain)
    const bases = goesOn ? this.#overgrown(previous) : [...new Array(bucketCount(meta.keyGroups)).keys()]
    const mark = goesOn ? await spool.mark() : await spool.start(meta.chain)
    // Last: whatever throws, no snapshot is left open.
    const snapshot = bases.length === 0 ? undefined : await snapshotOf(backend, this.#namespace)
    return { meta, inputs, facts: said, previous: goesOn ? previous : undefined, bases, snapshot, mark, atMs }
  }

  #overgrown({ sizes, segments }: Manifest): readonly number[] {
    const { deltaBytesMin, segmentsMax } = this.#limits
    const all = segments.length > segmentsMax
    return sizes.flatMap(({ base, delta }, bucket) =>
      all || (delta > deltaBytesMin && delta > base / 2) ? [bucket] : [],
    )
  }

  async #make(moment: Moment): Promise<void> {
    const { store, clock, spool, pauseAt } = this.#options
    const { meta, previous, mark, snapshot } = moment
    let published: string
    try {
      await pauseAt?.('taken')
      const written = await this.#segments(moment)
      await pauseAt?.('segments-written')
      const manifest = this.#manifestOf(moment, written)
      const { name, bytes } = encodeManifest(manifest)
      // False: the same checkpoint was made before.
      await store.create(manifestsOf(this.#catalogue.folder) + name, bytes)
      this.#previous = manifest
      published = name
      this.#options.onEvent({
        kind: 'checkpoint',
        epoch: meta.position.epoch,
        how: previous === undefined ? 'full' : 'incremental',
        bytesWritten: written.reduce((sum, { segments }) => sum + bytesOf(segments), bytes.length),
        bytesTotal: bytesOf(manifest.segments) + bytes.length,
        segmentsWritten: written.reduce((sum, { segments }) => sum + segments.length, 0),
        ms: clock.nowMs() - moment.atMs,
      })
    } finally {
      await snapshot?.close()
    }
    await pauseAt?.('published')
    await spool.release(mark)
    await pauseAt?.('spool-released')
    const { stay, segments } = await this.#retain()
    await pauseAt?.('retained')
    if (stay.length > 0) await this.#options.onRetained?.(stay)
    await pauseAt?.('told')
    // What it goes on from may have been lost meanwhile; the next one is full then.
    if (!this.#isWhole(published, this.#previous, segments)) this.#previous = undefined
  }

  async #retain(): ReturnType<Catalogue['retain']> {
    const retained = await this.#catalogue.retain(this.#keep, this.#options.clock.nowMs())
    if (retained.removed > 0) this.#options.onEvent({ kind: 'checkpoints-removed', count: retained.removed })
    return retained
  }

  /** Written, or taken back: no manifest names them yet. */
  async #segments(moment: Moment): Promise<readonly SegmentSink[]> {
    const { store, clock } = this.#options
    const target: Target = {
      store,
      prefix: segmentsOf(this.#catalogue.folder),
      epoch: moment.meta.position.epoch,
      limits: this.#limits,
      pace: new Pace(clock, this.#limits.bytesPerSecondMax),
      goOn: this.#goOn,
    }
    const sinks = [new SegmentSink(target, 'delta'), new SegmentSink(target, 'base')] as const
    try {
      await this.#fill(moment, target, sinks)
      return sinks
    } catch (error) {
      // Given up: another owner may be at this epoch already.
      if (!this.#closed) await this.#makeRoom(target.epoch, sinks, error)
      throw error
    }
  }

  /** For the next attempt: what this one has put goes, and what retention finds by now. @param error what ended it */
  async #makeRoom(epoch: number, sinks: readonly SegmentSink[], error: unknown): Promise<void> {
    try {
      const names = sinks.flatMap(sink => sink.names)
      await this.#catalogue.takeBack(epoch, names)
      await this.#retain()
    } catch (again) {
      throw new Error(`${messageOf(error)}; nor could what it had written be removed: ${messageOf(again)}`, {
        cause: error,
      })
    }
  }

  /** Deltas first, then bases: a bucket is in one of them. */
  async #fill(
    { meta, previous, bases, snapshot, mark }: Moment,
    target: Target,
    [deltas, full]: readonly [SegmentSink, SegmentSink],
  ): Promise<void> {
    const { spool } = this.#options
    if (previous !== undefined) {
      const read = (): AsyncIterable<Buffer> => spool.read(previous.chain, mark)
      try {
        await writeDeltas(deltas, read, meta.keyGroups, new Set(bases), target)
      } catch (error) {
        // What cannot be read now cannot be read the next time either.
        if (!isWeirError(error)) await spool.drop(messageOf(error))
        throw error
      }
      await deltas.finish()
    }
    if (snapshot !== undefined) {
      await writeBases(full, snapshot, this.#namespace, meta.keyGroups, bases, this.#limits)
      await full.finish()
    }
  }

  #manifestOf({ meta, previous, inputs, facts, atMs }: Moment, [deltas, full]: readonly SegmentSink[]): Manifest {
    const { app, slot } = this.#options
    const buckets = bucketCount(meta.keyGroups)
    const segments = [...(previous?.segments ?? []), ...deltas!.segments, ...full!.segments]
    const sizes = Array.from({ length: buckets }, (_, bucket) => {
      const base = full!.sizes.get(bucket)
      if (base !== undefined) return { base, delta: 0 }
      const before = previous!.sizes[bucket]!
      return { base: before.base, delta: before.delta + (deltas!.sizes.get(bucket) ?? 0) }
    })
    return manifestOf(meta, { app, slot, inputs, ...(facts && { facts }) }, atMs, {
      segments: liveSegments(segments, buckets),
      sizes,
    })
  }
}

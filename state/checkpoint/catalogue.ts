/** What a checkpoint store has of one slot, and what may go. */
import { isWeirError, type WeirError } from '../../kernel/index.js'
import { bucketCount } from './buckets.js'
import {
  epochOfName,
  folderOf,
  isName,
  liveSegments,
  type Manifest,
  manifestsOf,
  parseManifest,
  segmentsOf,
} from './manifest.js'
import type { CheckpointStore } from './store.js'

export interface Stored {
  /** The manifest's whole name. */
  readonly name: string
  readonly manifest: Manifest
}

/** A manifest that cannot be used, and why. */
export interface Unusable {
  readonly name: string
  readonly error: WeirError
}

export class Catalogue {
  readonly store: CheckpointStore
  readonly folder: string
  /** What has a hash in its name is read once. */
  readonly #read = new Map<string, Stored | Unusable>()

  constructor(store: CheckpointStore, app: string, slot: number) {
    this.store = store
    this.folder = folderOf(app, slot)
  }

  /** Newest first. @throws WeirError CHECKPOINT_STORE_FAILED, CHECKPOINT_KEY */
  async *newestFirst(): AsyncIterable<Stored | Unusable> {
    for (const name of (await this.#names()).reverse()) {
      const found = await this.#get(name)
      if (found !== undefined) yield found
    }
  }

  /** Names of what lies among the manifests and is none by its name: nobody reads or removes it. @throws WeirError CHECKPOINT_STORE_FAILED */
  async strays(): Promise<readonly string[]> {
    const strays: string[] = []
    for await (const { name } of this.store.list(manifestsOf(this.folder))) if (!isName(name)) strays.push(name)
    return strays
  }

  async #names(): Promise<string[]> {
    const names: string[] = []
    for await (const { name } of this.store.list(manifestsOf(this.folder))) if (isName(name)) names.push(name)
    for (const known of this.#read.keys()) if (!names.includes(known)) this.#read.delete(known)
    return names
  }

  async #get(name: string): Promise<Stored | Unusable | undefined> {
    const known = this.#read.get(name)
    if (known !== undefined) return known
    let found: Stored | Unusable
    try {
      const bytes = await this.store.get(name)
      // Removed by another owner since it was listed.
      if (bytes === undefined) return undefined
      found = { name, manifest: parseManifest(name, bytes, this.folder) }
    } catch (error) {
      // Of this one: a store that encrypts, or has checksums of its own, finds damage before its hash is looked at.
      if (!isWeirError(error, 'CHECKPOINT_CORRUPT') && !isWeirError(error, 'STATE_FORMAT')) throw error
      found = { name, error }
    }
    this.#read.set(name, found)
    return found
  }

  /** Names and bytes of the segments that are there. */
  async segments(): Promise<ReadonlyMap<string, number>> {
    const prefix = segmentsOf(this.folder)
    const found = new Map<string, number>()
    for await (const { name, bytes } of this.store.list(prefix)) found.set(name.slice(prefix.length), bytes)
    return found
  }

  /**
   * Removes the segments of an attempt at a checkpoint that published nothing, unless there is a checkpoint of its epoch or a later
   * one, which may name them. An owner of before that does this beside another at the same epoch may take a segment from it: that
   * one's checkpoint counts for nothing then, as where retention takes it from an owner that was fenced.
   */
  async takeBack(epoch: number, names: readonly string[]): Promise<void> {
    const newest = (await this.#names()).at(-1)
    if (newest !== undefined && epochOfName(newest) >= epoch) return
    await this.store.delete(names.map(name => segmentsOf(this.folder) + name))
  }

  /**
   * Removes manifests that nobody keeps, and after them the segments that no manifest names any more. A crash on the way leaves
   * segments too many, never one too few. Segments of the oldest kept checkpoint's epoch or a later one are left alone: another owner
   * may be writing a checkpoint, whose manifest comes last, and may count it among its newest. While a manifest that cannot be read
   * stays, so do all segments. One whose segments are missing counts for nothing: an owner that was fenced may publish what
   * retention has taken from it.
   * @returns the whole checkpoints that are kept, oldest first, and the segments that were there
   */
  async retain(
    keep: Retention,
    nowMs: number,
  ): Promise<{ stay: readonly Manifest[]; removed: number; segments: ReadonlyMap<string, number> }> {
    const segments = await this.segments()
    const all: (Stored | Unusable)[] = []
    for await (const found of this.newestFirst()) all.push(found)
    const valid = all.filter(found => 'manifest' in found)
    const isWholeBy = (there: ReadonlyMap<string, number>) => (found: Stored) =>
      lackingOf(found.manifest, there) === undefined
    // Only what was there before the manifests were listed may be removed; but one may have come with its segments since.
    const there = valid.every(isWholeBy(segments)) ? segments : await this.segments()
    const whole = valid.filter(isWholeBy(there))
    const kept = whole.filter(
      ({ manifest }, age) => age < keep.countMin || nowMs - Date.parse(manifest.created_at) < keep.youngerThanMs,
    )
    const stay = kept.map(({ manifest }) => manifest).reverse()
    const oldest = kept.at(-1)
    if (oldest === undefined || kept.length < keep.countMin) return { stay, removed: 0, segments }
    // What cannot be read or is not whole stays as long as what is beside it: somebody may put back what it lacks.
    const gone = all.filter(found => found.name < oldest.name)
    await this.store.delete(gone.map(({ name }) => name).sort())
    const removed = gone.length
    // What it names is not known.
    if (all.some(found => 'error' in found && !gone.includes(found))) return { stay, removed, segments }
    const needed = new Set(
      valid
        .filter(found => !gone.includes(found))
        .flatMap(({ manifest }) =>
          liveSegments(manifest.segments, bucketCount(manifest.key_groups)).map(segment => segment.name),
        ),
    )
    const unneeded = [...segments.keys()].filter(name => !needed.has(name) && epochOfName(name) < oldest.manifest.epoch)
    await this.store.delete(unneeded.map(name => segmentsOf(this.folder) + name))
    return { stay, removed, segments }
  }
}

/** Slots of an app that have manifests, ascending. @throws WeirError CHECKPOINT_STORE_FAILED */
export async function slotsIn(store: CheckpointStore, app: string): Promise<readonly number[]> {
  const slots = new Set<number>()
  const prefix = `${app}/`
  for await (const { name } of store.list(prefix)) {
    const [, slot] = /^(\d+)\/manifests\//.exec(name.slice(prefix.length)) ?? []
    if (slot !== undefined) slots.add(Number(slot))
  }
  return [...slots].sort((a, b) => a - b)
}

/** What a checkpoint needs and the store lacks, or has cut short. @param there from `segments` */
export function lackingOf(manifest: Manifest, there: ReadonlyMap<string, number>): string | undefined {
  // A store that encrypts has some bytes more.
  return manifest.segments.find(({ name, bytes }) => (there.get(name) ?? -1) < bytes)?.name
}

export interface Retention {
  /**
   * The newest so many that lack no segment are kept, and nothing goes before there are as many; at least 2, so that one that turns
   * out damaged has another behind it.
   */
  readonly countMin: number
  /** So are those younger than this, by the clock of who made them. */
  readonly youngerThanMs: number
}

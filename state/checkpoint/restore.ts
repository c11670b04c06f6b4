/**
 * From a checkpoint to a store.
 *
 * Invariants: 1. nothing of a segment is used before all its bytes have the hash of its name; 2. the position is written last,
 * so a store whose restore was cut short is wiped when it is opened; 3. what was restored is the state of the manifest's
 * position, byte by byte, and of its chain, so that the next checkpoint can go on from it.
 */
import { assert, isWeirError, WeirError } from '../../kernel/index.js'
import type { StateBackend } from '../backend.js'
import { keyGroupOf, parseKey } from '../keys.js'
import { encodeMeta, formatKey, formatVersion, type Meta, positionKey, readMeta } from '../meta.js'
import { wipe } from '../wipe.js'
import { bucketCount, bucketOfKey, bucketsOf, groupOfKey } from './buckets.js'
import type { Catalogue } from './catalogue.js'
import { basesOf, hashOfName, type Manifest, metaOf, type SegmentRef, segmentsOf } from './manifest.js'
import { readSegment, type SegmentEntry } from './segment.js'

export interface RestoreOptions {
  readonly backend: StateBackend
  readonly namespace?: Uint8Array
  /** Called with the bytes of segments applied so far, of all. */
  readonly onProgress?: (bytes: number, ofBytes: number) => void
}

export interface RestoreGroupsOptions extends RestoreOptions {
  readonly ownsGroup: (group: number) => boolean
  /** Where an entry goes, by its key without the namespace; undefined: it is left out. All stay where they are without it. */
  readonly moved?: (key: Buffer) => Buffer | undefined
  /** The expiry index is not read: nobody will sweep the store. */
  readonly withoutExpiry?: true
}

export interface RestoreNewestOptions extends RestoreOptions {
  /** A checkpoint that cannot be used, and why; the one before it is tried. */
  readonly onUnusable: (name: string, message: string) => void
  /** Whether to take it; the newest of those is restored. */
  readonly wanted?: (manifest: Manifest) => boolean
}

/**
 * Fills an empty store from the newest checkpoint that is whole. A store that has a position is left alone: reset it first.
 * @returns undefined when there is none; the store is then empty
 * @throws WeirError CHECKPOINT_STORE_FAILED, BACKEND_FAILED
 */
export async function restoreNewest(
  catalogue: Catalogue,
  options: RestoreNewestOptions,
): Promise<Manifest | undefined> {
  for await (const found of catalogue.newestFirst()) {
    if ('error' in found) options.onUnusable(found.name, found.error.message)
    else if (options.wanted?.(found.manifest) ?? true) {
      try {
        await restore(catalogue, found.manifest, options)
        return found.manifest
      } catch (error) {
        if (!isWeirError(error, 'CHECKPOINT_CORRUPT')) throw error
        options.onUnusable(found.name, error.message)
      }
    }
  }
  await wipe(options.backend, options.namespace ?? new Uint8Array(0))
  return undefined
}

/**
 * Fills an empty store from this checkpoint.
 * @throws WeirError CHECKPOINT_CORRUPT, CHECKPOINT_STORE_FAILED, BACKEND_FAILED; nothing is left in the store that its next
 * opening does not remove
 */
export async function restore(catalogue: Catalogue, manifest: Manifest, options: RestoreOptions): Promise<void> {
  const { backend, namespace = new Uint8Array(0) } = options
  assert((await readMeta(backend, namespace)) === undefined, 'a store to restore into is empty')
  await wipe(backend, namespace)
  await restoreGroups(catalogue, manifest, { ...options, ownsGroup: () => true })
  await writeMeta(options, metaOf(manifest))
}

/** What makes a restored store one that can be opened: the last write of a restore. */
export async function writeMeta({ backend, namespace = new Uint8Array(0) }: RestoreOptions, meta: Meta): Promise<void> {
  const batch = backend.batch()
  batch.put(formatKey(namespace), Buffer.of(formatVersion))
  batch.put(positionKey(namespace), encodeMeta(meta))
  // Sync: the log below may be trimmed by what the store says that it reflects.
  await backend.write(batch, { sync: true })
}

/**
 * Puts the state of some key groups, without a position: a store is put together from the parts of several slots so, when their
 * number changes. Reads the segments that hold these groups alone.
 * @throws WeirError as `restore`
 */
export async function restoreGroups(
  catalogue: Catalogue,
  manifest: Manifest,
  options: RestoreGroupsOptions,
): Promise<void> {
  const { backend, namespace = new Uint8Array(0), onProgress, ownsGroup, moved = key => key } = options
  const keyGroups = manifest.key_groups
  const buckets = bucketsOf(ownsGroup, keyGroups, options.withoutExpiry ?? false)
  const needed = neededFor(manifest, buckets)
  const ofBytes = needed.reduce((sum, { segment }) => sum + segment.bytes, 0)
  let bytes = 0
  for (const { segment, applies } of needed) {
    for await (const entries of readStored(catalogue, segment)) {
      const batch = backend.batch()
      for (const { key, value } of entries) {
        if (!ownsGroup(groupOfKey(key)) || !applies.has(bucketOfKey(key, keyGroups))) continue
        const to = moved(key)
        if (to === undefined) continue
        const whole = Buffer.concat([namespace, to])
        if (value === undefined) batch.delete(whole)
        else batch.put(whole, value)
      }
      if (batch.operations > 0) await backend.write(batch, { sync: false })
    }
    bytes += segment.bytes
    onProgress?.(bytes, ofBytes)
  }
}

/**
 * Fills an empty store with what one step keeps of one key, for looking at it.
 * @throws WeirError as `restore`
 */
export async function restoreKey(
  catalogue: Catalogue,
  manifest: Manifest,
  at: { readonly step: string; readonly key: string },
  options: RestoreOptions,
): Promise<void> {
  const group = keyGroupOf(Buffer.from(at.key, 'utf8'), manifest.key_groups)
  await restoreGroups(catalogue, manifest, {
    ...options,
    ownsGroup: each => each === group,
    withoutExpiry: true,
    moved: whole => {
      const { step, key } = parseKey(whole, 1)
      return step === at.step && key === at.key ? whole : undefined
    },
  })
  await writeMeta(options, metaOf(manifest))
}

/** In the order in which they apply, each with the buckets for which it does: not those of which a later base speaks. */
function neededFor(
  { segments, key_groups }: Manifest,
  buckets: ReadonlySet<number>,
): readonly { readonly segment: SegmentRef; readonly applies: ReadonlySet<number> }[] {
  const bases = basesOf(segments, bucketCount(key_groups))
  return segments.flatMap((segment, at) => {
    const [first, last] = segment.buckets
    const applies = new Set<number>()
    for (let bucket = first; bucket <= last; bucket++) {
      if (buckets.has(bucket) && bases[bucket]! <= at) applies.add(bucket)
    }
    return applies.size === 0 ? [] : [{ segment, applies }]
  })
}

async function* readStored(catalogue: Catalogue, segment: SegmentRef): AsyncIterable<SegmentEntry[]> {
  const bytes = await catalogue.store.get(segmentsOf(catalogue.folder) + segment.name)
  if (bytes === undefined) throw new WeirError('CHECKPOINT_CORRUPT', `segment ${segment.name} is not there`)
  yield* readSegment(bytes, hashOfName(segment.name))
}

/** Reads all of it. @throws WeirError CHECKPOINT_CORRUPT, CHECKPOINT_STORE_FAILED */
export async function verify(catalogue: Catalogue, manifest: Manifest): Promise<{ readonly operations: number }> {
  let operations = 0
  for (const segment of manifest.segments) {
    for await (const entries of readStored(catalogue, segment)) operations += entries.length
  }
  return { operations }
}

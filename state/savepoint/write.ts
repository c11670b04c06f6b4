/** One slot's part of a savepoint: from its store, or from a checkpoint of it. */
import { assert, type Clock, isWeirError, sha256Hex, WeirError } from '../../kernel/index.js'
import type { StateBackend } from '../backend.js'
import { bucketCount } from '../checkpoint/buckets.js'
import { type BuildLimits, defaultBuildLimits, Pace, SegmentSink, snapshotOf, writeBases } from '../checkpoint/build.js'
import { type Catalogue, lackingOf } from '../checkpoint/catalogue.js'
import {
  hashOfName,
  type InputPosition,
  type JournalFacts,
  type Manifest,
  manifestOf,
  segmentsOf,
} from '../checkpoint/manifest.js'
import type { CheckpointStore } from '../checkpoint/store.js'
import { type Meta, readMeta } from '../meta.js'
import {
  checkPart,
  checkSavepointName,
  encodeDocument,
  parseDocument,
  partOf,
  type SavepointSlot,
  savepointSegments,
} from './savepoint.js'

export interface PartPlace {
  readonly app: string
  /** Of the savepoint. */
  readonly name: string
  readonly slot: number
}

/** What the journal says of the position that the state reflects. */
export interface PartFacts extends JournalFacts {
  readonly inputs: readonly InputPosition[]
}

export interface PartOptions extends PartPlace {
  readonly facts: PartFacts
  readonly backend: StateBackend
  readonly namespace?: Uint8Array
  readonly clock: Clock
  /** As fast as it goes without `bytesPerSecondMax`: nobody works beside it. */
  readonly limits?: Partial<BuildLimits>
}

/**
 * Writes all state of a slot's store, which nobody writes meanwhile. Said again of the same position it finds what it wrote.
 * @throws WeirError USAGE (the name), CHECKPOINT_STORE_FAILED, BACKEND_FAILED
 */
export async function writeSavepointPart(store: CheckpointStore, options: PartOptions): Promise<SavepointSlot> {
  const { app, name, slot, facts, backend, namespace = new Uint8Array(0), clock } = options
  checkSavepointName(name)
  const meta = await readMeta(backend, namespace)
  assert(meta !== undefined, 'a store that is saved has a position')
  const there = await found(store, options)
  if (there !== undefined && reflects(there.manifest, meta) && (await isWhole(store, options, there))) return there
  const atMs = clock.nowMs()
  const content = await writeAll(store, options, meta)
  const manifest = manifestOf(meta, { app, slot, inputs: facts.inputs }, atMs, content)
  const { watermarks_ms, clocks, counts } = facts
  return await putPart(store, options, { slot, manifest, watermarks_ms, clocks, counts })
}

async function putPart(
  store: CheckpointStore,
  { app, name, slot }: PartPlace,
  part: SavepointSlot,
): Promise<SavepointSlot> {
  await store.put(partOf(app, name, slot), encodeDocument(part).bytes)
  return part
}

/**
 * A part that was written, whether or not its savepoint is published.
 * @returns undefined when there is none
 * @throws WeirError CHECKPOINT_CORRUPT, STATE_FORMAT, CHECKPOINT_STORE_FAILED
 */
export async function readSavepointPart(
  store: CheckpointStore,
  { app, name, slot }: PartPlace,
): Promise<SavepointSlot | undefined> {
  const object = partOf(app, name, slot)
  const bytes = await store.get(object)
  if (bytes === undefined) return undefined
  const part = parseDocument(object, bytes).content as SavepointSlot
  checkPart(object, part, app, slot)
  return part
}

/** A damaged one is written anew. */
async function found(store: CheckpointStore, place: PartPlace): Promise<SavepointSlot | undefined> {
  try {
    return await readSavepointPart(store, place)
  } catch (error) {
    if (isWeirError(error, 'CHECKPOINT_CORRUPT')) return undefined
    throw error
  }
}

const reflects = (manifest: Manifest, { position, chain }: Meta): boolean =>
  manifest.epoch === position.epoch && manifest.journal_hash === position.journalHash && manifest.chain === chain

async function isWhole(store: CheckpointStore, { app, name, slot }: PartPlace, part: SavepointSlot): Promise<boolean> {
  const there = await savepointSegments(store, app, name, slot).segments()
  return lackingOf(part.manifest, there) === undefined
}

async function writeAll(
  store: CheckpointStore,
  { app, name, slot, backend, namespace = new Uint8Array(0), clock, ...options }: PartOptions,
  { position, keyGroups }: Meta,
): Promise<Pick<Manifest, 'segments' | 'sizes'>> {
  const limits = { ...defaultBuildLimits, bytesPerSecondMax: Number.POSITIVE_INFINITY, ...options.limits }
  const buckets = [...new Array(bucketCount(keyGroups)).keys()]
  const sink = new SegmentSink(
    {
      store,
      prefix: segmentsOf(savepointSegments(store, app, name, slot).folder),
      epoch: position.epoch,
      limits,
      pace: new Pace(clock, limits.bytesPerSecondMax),
      goOn: () => undefined,
    },
    'base',
  )
  const snapshot = await snapshotOf(backend, namespace)
  try {
    await writeBases(sink, snapshot, namespace, keyGroups, buckets, limits)
  } finally {
    await snapshot.close()
  }
  const segments = await sink.finish()
  return { segments, sizes: buckets.map(bucket => ({ base: sink.sizes.get(bucket)!, delta: 0 })) }
}

/**
 * Takes over a checkpoint: its segments as they are, each checked on the way.
 * @throws WeirError CHECKPOINT_CORRUPT for a segment that is not whole, CHECKPOINT_STORE_FAILED
 */
export async function copySavepointPart(
  store: CheckpointStore,
  place: PartPlace,
  from: { readonly catalogue: Catalogue; readonly manifest: Manifest; readonly facts: JournalFacts },
): Promise<SavepointSlot> {
  const { app, name, slot } = place
  checkSavepointName(name)
  const { catalogue, facts } = from
  const { facts: _, ...manifest } = from.manifest
  const to = segmentsOf(savepointSegments(store, app, name, slot).folder)
  for (const segment of manifest.segments) {
    const bytes = await catalogue.store.get(segmentsOf(catalogue.folder) + segment.name)
    if (bytes === undefined || sha256Hex(bytes) !== hashOfName(segment.name)) {
      throw new WeirError('CHECKPOINT_CORRUPT', `segment ${segment.name} of slot ${slot} is missing or damaged`)
    }
    await store.put(to + segment.name, bytes)
  }
  const { watermarks_ms, clocks, counts } = facts
  return await putPart(store, place, { slot, manifest, watermarks_ms, clocks, counts })
}

/**
 * A manifest: what a checkpoint is of, and the segments that it consists of, in the order in which they apply (FORMAT.md). It is
 * written last, under a name with the hash of its bytes: a checkpoint is there when its manifest is.
 */
import { messageOf, sha256Hex, WeirError } from '../../kernel/index.js'
import { formatVersion, type Meta } from '../meta.js'
import type { StepStateSchema } from '../savepoint/schema.js'
import { bucketCount } from './buckets.js'

export interface SegmentRef {
  /** After `segments/`: the epoch that it was written for and the SHA-256 of its bytes. */
  readonly name: string
  /** Part 0 of a base replaces what came before of its buckets; all else applies on top. */
  readonly kind: 'base' | 'delta'
  readonly part: number
  /** First and last. */
  readonly buckets: readonly [number, number]
  readonly bytes: number
}

/** How far an input had been read. */
export interface InputPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: string
}

/** How far an input's event time has come, as the journal says. */
export interface InputClock {
  readonly topic: string
  readonly partition: number
  readonly upstream?: number
  /** Event time; null before the first record. */
  readonly watermark_ms: number | null
  readonly idle: boolean
}

/** What the journal says of a position beside the inputs: what another plan that begins there begins with. */
export interface JournalFacts {
  /** Event time, of each stage of the plan; null before there is one. */
  readonly watermarks_ms: readonly (number | null)[]
  readonly clocks: readonly InputClock[]
  /** Running totals. */
  readonly counts: Readonly<Record<string, number>>
}

/** What makes a savepoint of a checkpoint. */
export interface CheckpointFacts extends JournalFacts {
  /** What is in the segments. */
  readonly steps: readonly StepStateSchema[]
}

export interface Manifest {
  readonly v: 1
  readonly app: string
  readonly slot: number
  /** Of the state: the keys and values in the segments are those of state/FORMAT.md. */
  readonly state_format: number
  readonly epoch: number
  readonly journal_hash: string
  readonly fingerprint: string
  /** Of the write-backs that led here; '' when unknown. The next checkpoint goes on from it. */
  readonly chain: string
  readonly key_groups: number
  /** Event time, ms; null while nothing has moved it. */
  readonly expiry_ms: number | null
  readonly resume: { readonly offset: number; readonly genesis: string } | null
  /** Inputs are needed from here on, by who goes on from this checkpoint. */
  readonly inputs: readonly InputPosition[]
  /** Absent in checkpoints of a Weir that had no savepoints, and in the parts of savepoints, which have them beside it. */
  readonly facts?: CheckpointFacts
  readonly created_at: string
  readonly segments: readonly SegmentRef[]
  /** Of each bucket: bytes of its base, and of the operations since, before compression. */
  readonly sizes: readonly { readonly base: number; readonly delta: number }[]
}

/** Where a slot's checkpoints lie in their store. */
export const folderOf = (app: string, slot: number): string => `${app}/${slot}`
export const manifestsOf = (folder: string): string => `${folder}/manifests/`
export const segmentsOf = (folder: string): string => `${folder}/segments/`

/** Sixteen digits, so that names sort by epoch. */
const digits = 16
export const nameOf = (epoch: number, sha256: string): string => `${String(epoch).padStart(digits, '0')}-${sha256}`
const namePattern = /^\d{16}-[0-9a-f]{64}$/
export const epochOfName = (name: string): number => Number(name.slice(name.lastIndexOf('/') + 1).slice(0, digits))
/** A manifest's or segment's. @param name whole or from the epoch on */
export const isName = (name: string): boolean => namePattern.test(name.slice(name.lastIndexOf('/') + 1))
export const hashOfName = (name: string): string => name.slice(-64)

export function encodeManifest(manifest: Manifest): { readonly name: string; readonly bytes: Buffer } {
  const bytes = Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`)
  return { name: nameOf(manifest.epoch, sha256Hex(bytes)), bytes }
}

/**
 * @param name the object's, whole or from the epoch on
 * @throws WeirError CHECKPOINT_CORRUPT, also for another slot's; STATE_FORMAT for a newer Weir's
 */
export function parseManifest(name: string, bytes: Buffer, folder: string): Manifest {
  const corrupt = (what: string): WeirError => new WeirError('CHECKPOINT_CORRUPT', `manifest ${name}: ${what}`)
  if (sha256Hex(bytes) !== hashOfName(name)) throw corrupt(`its ${bytes.length} bytes have another hash`)
  let manifest: Manifest
  try {
    manifest = JSON.parse(bytes.toString('utf8')) as Manifest
  } catch (error) {
    throw corrupt(messageOf(error))
  }
  checkFormat(`the checkpoint ${name}`, manifest)
  if (folderOf(manifest.app, manifest.slot) !== folder) {
    throw corrupt(`it is of ${folderOf(manifest.app, manifest.slot)}, and lies in ${folder}`)
  }
  if (epochOfName(name) !== manifest.epoch || !isSound(manifest)) throw corrupt('it contradicts itself')
  return manifest
}

/** @throws WeirError STATE_FORMAT for a newer Weir's */
export function checkFormat(whose: string, { v, state_format }: Manifest): void {
  if (v === 1 && state_format <= formatVersion) return
  const what = `has format ${v} and state of format ${state_format}`
  throw new WeirError('STATE_FORMAT', `${whose} ${what}; this Weir reads 1 and up to ${formatVersion}`)
}

/** Its segments have names of ours, and its buckets are as many as its key groups make. */
export const isSound = ({ segments, sizes, key_groups }: Manifest): boolean =>
  segments.every(segment => isName(segment.name)) && sizes.length === bucketCount(key_groups)

/** What a manifest says beside its segments. @param createdAtMs by the clock of who makes it */
export function manifestOf(
  meta: Meta,
  whose: Pick<Manifest, 'app' | 'slot' | 'inputs' | 'facts'>,
  createdAtMs: number,
  content: Pick<Manifest, 'segments' | 'sizes'>,
): Manifest {
  const { position, keyGroups, expiryClock, chain } = meta
  return {
    v: 1,
    app: whose.app,
    slot: whose.slot,
    state_format: formatVersion,
    epoch: position.epoch,
    journal_hash: position.journalHash,
    fingerprint: position.fingerprint,
    chain,
    key_groups: keyGroups,
    expiry_ms: Number.isFinite(expiryClock) ? expiryClock : null,
    resume: position.resume ?? null,
    inputs: whose.inputs,
    ...(whose.facts && { facts: whose.facts }),
    created_at: new Date(createdAtMs).toISOString(),
    segments: content.segments,
    sizes: content.sizes,
  }
}

export const metaOf = (manifest: Manifest): Meta => ({
  position: {
    epoch: manifest.epoch,
    journalHash: manifest.journal_hash,
    fingerprint: manifest.fingerprint,
    ...(manifest.resume !== null && { resume: manifest.resume }),
  },
  keyGroups: manifest.key_groups,
  expiryClock: manifest.expiry_ms ?? Number.NEGATIVE_INFINITY,
  chain: manifest.chain,
  turn: 0,
})

/** Of segments together, as they are stored. */
export const bytesOf = (segments: readonly { readonly bytes: number }[]): number =>
  segments.reduce((sum, { bytes }) => sum + bytes, 0)

/** For each bucket the place of its base in the list; what stands before says nothing about it any more. -1: none. */
export function basesOf(segments: readonly SegmentRef[], buckets: number): readonly number[] {
  const bases = new Array<number>(buckets).fill(-1)
  segments.forEach(({ kind, part, buckets: [first, last] }, at) => {
    if (kind === 'base' && part === 0) bases.fill(at, first, last + 1)
  })
  return bases
}

/** Those that some bucket still needs. */
export function liveSegments(segments: readonly SegmentRef[], buckets: number): readonly SegmentRef[] {
  const bases = basesOf(segments, buckets)
  return segments.filter(({ buckets: [first, last] }, at) => bases.slice(first, last + 1).some(base => base <= at))
}

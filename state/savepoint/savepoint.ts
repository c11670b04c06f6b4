/**
 * A savepoint: the state of all slots of a plan under a name, complete in itself, for a later plan to begin from (FORMAT.md).
 *
 * Invariants: 1. it is there when its document is, which is written last and never replaced; 2. what the document names was
 * durable before; 3. nothing of it is removed by itself.
 */
import { isWeirError, messageOf, sha256Hex, WeirError } from '../../kernel/index.js'
import { Catalogue } from '../checkpoint/catalogue.js'
import { checkFormat, isSound, type JournalFacts, type Manifest } from '../checkpoint/manifest.js'
import { verify } from '../checkpoint/restore.js'
import type { CheckpointStore } from '../checkpoint/store.js'
import type { StepStateSchema } from './schema.js'

/** One slot's state, and what a journal needs to go on from it. */
export interface SavepointSlot extends JournalFacts {
  readonly slot: number
  /** Of its state: the position, the inputs, the segments, which lie below the savepoint. */
  readonly manifest: Manifest
}

export interface Savepoint {
  readonly v: 1
  readonly app: string
  readonly name: string
  /** The generation, from 1. */
  readonly plan: number
  readonly slots: number
  readonly key_groups: number
  readonly partitions: readonly { readonly topic: string; readonly count: number }[]
  /** Of the topology. */
  readonly fingerprint: string
  /** Nothing is under way between its slots, and none of them goes on: another plan may begin here. */
  readonly closed: boolean
  readonly steps: readonly StepStateSchema[]
  /** By slot, all of them. */
  readonly parts: readonly SavepointSlot[]
  readonly created_at: string
}

/** A savepoint with the SHA-256 of its document, by which a genesis names it. */
export interface StoredSavepoint {
  readonly savepoint: Savepoint
  readonly sha256: string
}

const namePattern = /^[a-z0-9][a-z0-9._-]{0,59}$/

/** @throws WeirError USAGE */
export function checkSavepointName(name: string): void {
  if (namePattern.test(name)) return
  const rule = '1 to 60 lower-case letters, digits, dots, dashes and underscores, the first a letter or digit'
  throw new WeirError('USAGE', `'${name}' is no name for a savepoint: ${rule}`)
}

const folderOfAll = (app: string): string => `${app}/savepoints`
const folderOf = (app: string, name: string): string => `${folderOfAll(app)}/${name}`
const documentOf = (app: string, name: string): string => `${folderOf(app, name)}/savepoint`
export const partOf = (app: string, name: string, slot: number): string => `${folderOf(app, name)}/${slot}/part`

/** Where the segments of a slot's part lie. */
export const savepointSegments = (store: CheckpointStore, app: string, name: string, slot: number): Catalogue =>
  new Catalogue(store, folderOf(app, name), slot)

/** JSON behind a line with its own SHA-256. */
export function encodeDocument(content: unknown): { readonly bytes: Buffer; readonly sha256: string } {
  const json = `${JSON.stringify(content, undefined, 1)}\n`
  const sha256 = sha256Hex(json)
  return { bytes: Buffer.from(`${sha256}\n${json}`), sha256 }
}

/** @throws WeirError CHECKPOINT_CORRUPT */
export function parseDocument(object: string, bytes: Buffer): { readonly content: unknown; readonly sha256: string } {
  const sha256 = bytes.toString('latin1', 0, 64)
  const json = bytes.subarray(65)
  if (sha256Hex(json) !== sha256) throw corrupt(object, `its ${bytes.length} bytes have another hash`)
  try {
    return { content: JSON.parse(json.toString('utf8')), sha256 }
  } catch (error) {
    throw corrupt(object, messageOf(error))
  }
}

const corrupt = (object: string, what: string): WeirError =>
  new WeirError('CHECKPOINT_CORRUPT', `savepoint object ${object}: ${what}`)

/** @throws WeirError CHECKPOINT_CORRUPT for what is not of this app and slot, STATE_FORMAT for a newer Weir's */
export function checkPart(object: string, part: SavepointSlot, app: string, slot: number): void {
  const { manifest } = part
  checkFormat(object, manifest)
  if (part.slot !== slot || manifest.slot !== slot || manifest.app !== app) {
    throw corrupt(object, `it is of slot ${part.slot} of ${manifest.app}, and stands for slot ${slot} of ${app}`)
  }
  if (!isSound(manifest)) throw corrupt(object, `slot ${slot} contradicts itself`)
}

/**
 * @throws WeirError USAGE, SAVEPOINT_NOT_FOUND, CHECKPOINT_CORRUPT (also of another app or name), STATE_FORMAT (a newer Weir's),
 * CHECKPOINT_STORE_FAILED
 */
export async function readSavepoint(store: CheckpointStore, app: string, name: string): Promise<StoredSavepoint> {
  checkSavepointName(name)
  const object = documentOf(app, name)
  const bytes = await store.get(object)
  if (bytes === undefined) throw new WeirError('SAVEPOINT_NOT_FOUND', `there is no savepoint '${name}' of ${app}`)
  const { content, sha256 } = parseDocument(object, bytes)
  const savepoint = content as Savepoint
  if (savepoint.v !== 1) {
    throw new WeirError('STATE_FORMAT', `${object} has format ${String(savepoint.v)}; this Weir reads 1`)
  }
  if (savepoint.app !== app || savepoint.name !== name) {
    throw corrupt(object, `it is '${savepoint.name}' of ${savepoint.app}`)
  }
  savepoint.parts.forEach((part, slot) => {
    checkPart(object, part, app, slot)
  })
  const sound =
    savepoint.parts.length === savepoint.slots &&
    savepoint.parts.every(({ manifest }) => manifest.key_groups === savepoint.key_groups)
  if (!sound) throw corrupt(object, 'it contradicts itself')
  return { savepoint, sha256 }
}

/** Names of those that are published, ascending. @throws WeirError CHECKPOINT_STORE_FAILED */
export async function listSavepoints(store: CheckpointStore, app: string): Promise<readonly string[]> {
  const names: string[] = []
  const prefix = `${folderOfAll(app)}/`
  for await (const { name } of store.list(prefix)) {
    const [, found] = /^([^/]+)\/savepoint$/.exec(name.slice(prefix.length)) ?? []
    if (found !== undefined) names.push(found)
  }
  return names
}

/**
 * Publishes what `writeSavepointPart` wrote. Saying the same again is no error: made at another time, the same is the same.
 * @returns its hash
 * @throws WeirError SAVEPOINT_EXISTS when another one has the name, CHECKPOINT_STORE_FAILED
 */
export async function publishSavepoint(store: CheckpointStore, savepoint: Savepoint): Promise<string> {
  const { app, name } = savepoint
  checkSavepointName(name)
  const { bytes, sha256 } = encodeDocument(savepoint)
  if (await store.create(documentOf(app, name), bytes)) return sha256
  let there: StoredSavepoint
  try {
    there = await readSavepoint(store, app, name)
  } catch (error) {
    if (!isWeirError(error, 'CHECKPOINT_CORRUPT')) throw error
    throw new WeirError('SAVEPOINT_EXISTS', `'${name}' is taken by a damaged one: ${error.message}`, { cause: error })
  }
  if (timeless(there.savepoint) === timeless(savepoint)) return there.sha256
  const { plan, created_at } = there.savepoint
  throw new WeirError('SAVEPOINT_EXISTS', `'${name}' of ${app} is a savepoint of plan ${plan}, made ${created_at}`)
}

const timeless = (savepoint: Savepoint): string =>
  JSON.stringify(savepoint, (field, value: unknown) => (field === 'created_at' ? undefined : value))

/** Reads all of it. @throws WeirError CHECKPOINT_CORRUPT, CHECKPOINT_STORE_FAILED */
export async function verifySavepoint(
  store: CheckpointStore,
  { app, name, parts }: Savepoint,
): Promise<{ readonly operations: number }> {
  let operations = 0
  for (const { slot, manifest } of parts) {
    operations += (await verify(savepointSegments(store, app, name, slot), manifest)).operations
  }
  return { operations }
}

/**
 * From a savepoint to a store of another plan: the key groups that are its own, from the parts of all slots, and each entry in the
 * form that the plan's codecs read.
 *
 * Invariants: 1. nothing of a segment is used before all its bytes have the hash of its name; 2. entries are made anew once all
 * segments have been applied, so that only what is there is judged; 3. the position is written last: a store whose restore was cut
 * short is wiped when it is opened.
 */
import { assert, defined, messageOf, WeirError } from '../../kernel/index.js'
import { bytesOf } from '../checkpoint/manifest.js'
import { type RestoreOptions, restoreGroups, restore as restoreWhole, writeMeta } from '../checkpoint/restore.js'
import type { CheckpointStore } from '../checkpoint/store.js'
import { changedHeldMap } from '../expiring.js'
import { lengthPrefixed, parseKey, prefixRange, space, stepPrefix } from '../keys.js'
import { readMeta, type StatePosition } from '../meta.js'
import { pagedHeadBytes } from '../paged.js'
import { wipe } from '../wipe.js'
import { resolve } from './avro.js'
import { type CodecMigrations, codecMigrations } from './codec-migrations.js'
import type { CodecChange, HandleMigration, Migration, StepMigration } from './migration.js'
import { type Savepoint, savepointSegments } from './savepoint.js'

/** Of entries, read and made anew at a time. */
const sliceBytes = 256 << 10
const none = new Uint8Array(0)

export interface RestoreSavepointOptions extends RestoreOptions {
  readonly migration: Migration
  /** Whose keys the store is for. */
  readonly ownsGroup: (group: number) => boolean
  /** What the store then reflects: the genesis of its slot in the new plan. */
  readonly position: StatePosition
  readonly migrations?: CodecMigrations
}

/**
 * Fills an empty store for a slot of a new plan. Its expiry clock is the least of all parts': what had expired in one of them may be
 * seen for a little longer, and nothing expires before its time. `onProgress` counts the bytes of all parts.
 * @throws WeirError STATE_INCOMPATIBLE for a value that cannot be made anew, naming step, state and key group; CHECKPOINT_CORRUPT,
 * CHECKPOINT_STORE_FAILED, BACKEND_FAILED. Nothing is left in the store that its next opening does not remove.
 */
export async function restoreSavepoint(
  store: CheckpointStore,
  savepoint: Savepoint,
  options: RestoreSavepointOptions,
): Promise<void> {
  const { backend, namespace = none, migration, ownsGroup, position, onProgress } = options
  const { app, name, parts, key_groups } = savepoint
  assert((await readMeta(backend, namespace)) === undefined, 'a store to restore into is empty')
  await wipe(backend, namespace)
  const moved = movedBy(migration)
  const ofBytes = parts.reduce((sum, { manifest }) => sum + bytesOf(manifest.segments), 0)
  let before = 0
  for (const { slot, manifest } of parts) {
    await restoreGroups(savepointSegments(store, app, name, slot), manifest, {
      backend,
      namespace,
      ownsGroup,
      moved,
      ...(onProgress && { onProgress: bytes => onProgress(before + bytes, ofBytes) }),
    })
    before += bytesOf(manifest.segments)
    onProgress?.(before, ofBytes)
  }
  for (const step of migration) await changeStep(options, step)
  await writeMeta(options, {
    position,
    keyGroups: key_groups,
    expiryClock: expiryClockOf(savepoint),
    chain: '',
    turn: 0,
  })
}

/**
 * Fills an empty store with one slot's part as it was, for the same plan to go on with.
 * @throws WeirError CHECKPOINT_CORRUPT, CHECKPOINT_STORE_FAILED, BACKEND_FAILED
 */
export async function restoreSavepointSlot(
  store: CheckpointStore,
  { app, name, parts }: Savepoint,
  slot: number,
  options: RestoreOptions,
): Promise<void> {
  const { manifest } = defined(parts[slot], `slot ${slot} of the savepoint`)
  await restoreWhole(savepointSegments(store, app, name, slot), manifest, options)
}

const expiryClockOf = ({ parts }: Savepoint): number =>
  Math.min(...parts.map(({ manifest }) => manifest.expiry_ms ?? Number.NEGATIVE_INFINITY))

/** Where an entry goes, by its key without the namespace. @throws WeirError CHECKPOINT_CORRUPT for state that has no name */
function movedBy(migration: Migration): (key: Buffer) => Buffer | undefined {
  const steps = new Map(migration.map(({ from, to, handles }) => [from, { to, handles: namesOf(handles) }]))
  return key => {
    // The expiry index has a day before the step.
    const stepAt = key[0] === space.expiry ? 5 : 1
    const stepEnd = stepAt + 1 + key.readUInt8(stepAt)
    const { step: name, rest } = parseKey(key, stepAt)
    const step = steps.get(name)
    if (step === undefined) throw unnamed(`a step '${name}'`)
    if (step.to === null) return undefined
    const head = [key.subarray(0, stepAt), lengthPrefixed(step.to)]
    // Timers are the step's, not a state's.
    if (key[0] === space.timer) return Buffer.concat([...head, key.subarray(stepEnd)])
    const { handle, end } = handleOf(rest)
    const to = step.handles.get(handle)
    if (to === undefined) throw unnamed(`a state '${handle}' of step '${name}'`)
    if (to === null) return undefined
    return Buffer.concat([...head, key.subarray(stepEnd, -rest.length), lengthPrefixed(to), rest.subarray(end)])
  }
}

const namesOf = (handles: readonly HandleMigration[]): ReadonlyMap<string, string | null> =>
  new Map(handles.map(({ from, to }) => [from, to]))

const unnamed = (what: string): WeirError =>
  new WeirError('CHECKPOINT_CORRUPT', `the savepoint holds ${what}, which it does not name`)

/** Entry by entry, in the order of their keys; a step of which nothing changes is not read. */
async function changeStep(
  { backend, namespace = none, migrations = codecMigrations }: RestoreSavepointOptions,
  { to, handles }: StepMigration,
): Promise<void> {
  const changes = new Map(
    handles.flatMap(({ to: name, kind, held = false, change }) =>
      name === null || change === null ? [] : [[name, { kind, held, entry: entryChange(change, migrations) }] as const],
    ),
  )
  if (to === null || changes.size === 0) return
  const snapshot = await backend.snapshot(prefixRange(stepPrefix(namespace, space.entry, to)))
  try {
    for (;;) {
      const entries = await snapshot.next(sliceBytes)
      if (entries.length === 0) return
      const batch = backend.batch()
      for (const { key, value } of entries) {
        const { group, rest } = parseKey(key, namespace.length + 1)
        const { handle, id } = handleOf(rest)
        const change = changes.get(handle)
        if (change === undefined) continue
        try {
          batch.put(key, changed(change, id, value))
        } catch (error) {
          const where = `step '${to}', state '${handle}', key group ${group}`
          throw new WeirError('STATE_INCOMPATIBLE', `${where}: ${messageOf(error)}`)
        }
      }
      if (batch.operations > 0) await backend.write(batch, { sync: false })
    }
  } finally {
    await snapshot.close()
  }
}

type EntryChange = (id: string | undefined, bytes: Buffer) => Uint8Array

function entryChange({ from, to }: CodecChange, migrations: CodecMigrations): EntryChange {
  if (from.schema !== undefined && to.schema !== undefined) {
    const resolved = resolve(from.schema, to.schema)
    return (_, bytes) => resolved(bytes)
  }
  const way = defined(migrations.way(from.name, from.version, to.version), `a way from ${from.name}@${from.version}`)
  return (id, bytes) => {
    let { layout } = from
    let entry: Uint8Array = bytes
    for (const migration of way) {
      entry = migration.entry({ id, bytes: Buffer.from(entry) }, layout)
      if (migration.layout !== undefined) layout = migration.layout(layout)
    }
    return entry
  }
}

interface HandleChange extends Pick<HandleMigration, 'kind'> {
  readonly held: boolean
  readonly entry: EntryChange
}

/** What the handle itself puts around what its codec wrote stays (state/FORMAT.md, roots). */
function changed({ kind, held, entry }: HandleChange, id: string | undefined, value: Buffer): Buffer {
  if (kind === 'map' && !held && id === undefined) return value
  const own = (held || kind === 'paged') && id === undefined ? pagedHeadBytes(value) : 0
  const inner = value.subarray(own)
  const made = kind === 'map' && held ? changedHeldMap(inner, bytes => entry(undefined, bytes)) : entry(id, inner)
  return Buffer.concat([value.subarray(0, own), made])
}

/** The handle of an entry's key, and which part of it; undefined for its root. @param rest behind the key */
function handleOf(rest: Buffer): { readonly handle: string; readonly id: string | undefined; readonly end: number } {
  const end = 1 + rest.readUInt8(0)
  const isPart = rest[end] === 1
  return { handle: rest.toString('utf8', 1, end), id: isPart ? rest.toString('utf8', end + 1) : undefined, end }
}

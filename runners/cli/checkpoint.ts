import { existsSync } from 'node:fs'
import { WeirError } from '../../kernel/index.js'
import {
  bytesOf,
  Catalogue,
  type CheckpointStore,
  epochOfName,
  type Manifest,
  readSavepoint,
  reencrypt,
  restore,
  type Stored,
  slotsIn,
  type Unusable,
  verify,
} from '../../state/index.js'
import { type CheckpointPlace, isBucket, openCheckpointStore, openStoreBelow } from '../checkpoints/index.js'
import { textOf } from '../config/index.js'
import { loadSealKeys } from '../encryption/index.js'
import { placeOf } from './checkpoint-place.js'
import {
  intoNewDirectory,
  type Looked,
  listOrVerify,
  makeSavepoint,
  type Print,
  restoreSlot,
  troubleOf,
} from './savepoint.js'
import { configOf } from './settings.js'
import { parseArguments, text, type Values, type Verb, wholeNumber } from './verb.js'

const help = `usage: weir checkpoint list|inspect|verify|restore|savepoint NAME|reencrypt --store DIR [flags]

Looks at the checkpoints that workers have made, and at savepoints; none of it disturbs a worker.

  list       one line each: slot, epoch, when, bytes, or what is wrong with it; then the savepoints
  inspect    the manifest of one as JSON, or with --savepoint what that holds
  verify     reads all bytes of all of them (or of one); exit code 1 when one is damaged, or there is none
  restore    makes the state of one in a new directory, --to; a worker takes it up as DATA_DIR/slot-N
  savepoint  copies the newest checkpoint of each slot under a name that is never replaced or removed
  reencrypt  writes what older keys, or none, have encrypted anew with the first key; may be stopped and repeated;
             names what it cannot read, and goes on: exit code 1

  --store DIR         or s3://BUCKET/PREFIX; default that of the configuration (WEIR_CHECKPOINTS_STORE)
  --key-file FILE     keys, where checkpoints are encrypted (WEIR_CHECKPOINTS_KEY_FILE, or the keys in WEIR_CHECKPOINTS_KEYS)
  --app NAME          name of the deployment (WEIR_APP)
  --slot N            of this slot alone; inspect and restore need it where there are several
  --epoch N           this one; inspect and restore take the newest without it
  --savepoint NAME    of this savepoint, in place of checkpoints
  --to DIR            for restore
  --json              one line of JSON each
  --config FILE       default weir.config.yaml where it exists

example:
  npx --no-install weir checkpoint verify --store /mnt/checkpoints
`

const actions = ['list', 'inspect', 'verify', 'restore', 'savepoint', 'reencrypt'] as const
type Action = (typeof actions)[number]
type Look = Exclude<Action, 'reencrypt' | 'savepoint'>

interface Found {
  readonly catalogue: Catalogue
  readonly slot: number
  readonly stored: Stored | Unusable
}

export const checkpointVerb: Verb = {
  name: 'checkpoint',
  help,
  run: async (args, io) => {
    const { values, operands } = parseArguments(
      args,
      {
        config: { type: 'string' },
        store: { type: 'string' },
        app: { type: 'string' },
        slot: { type: 'string' },
        epoch: { type: 'string' },
        to: { type: 'string' },
        json: { type: 'boolean' },
        savepoint: { type: 'string' },
        'key-file': { type: 'string' },
      },
      ['list, inspect, verify, restore, savepoint or reencrypt'],
      1,
    )
    const action = actions.find(name => name === operands[0])
    if (action === undefined) throw new WeirError('USAGE', `'${operands[0]}' is none of ${actions.join(', ')}`)
    if ((action === 'savepoint') !== (operands[1] !== undefined))
      throw new WeirError('USAGE', 'a NAME belongs to savepoint, which needs it')
    const to = text(values, 'to')
    if ((action === 'restore') !== (to !== undefined))
      throw new WeirError('USAGE', '--to belongs to restore, which needs it')
    const config = configOf({
      ...(values.config !== undefined && { config: values.config }),
      ...(values['key-file'] !== undefined && { 'checkpoints-key-file': values['key-file'] }),
    })
    const place = placeOf(config, text(values, 'store'))
    if (place === undefined) throw new WeirError('USAGE', '--store is missing')
    // Opening makes it: a name that is misspelt is not to look like a store without checkpoints.
    if (!isBucket(place.store) && !existsSync(place.store))
      throw new WeirError('USAGE', `there is no directory ${place.store}`)
    const print: Print = (facts, words) => io.out(`${values.json === true ? JSON.stringify(facts) : words}\n`)
    if (action === 'reencrypt') return await encryptAnew(place, print)
    const store = await openCheckpointStore(place)
    try {
      const app = text(values, 'app') ?? textOf(config, 'app')
      if (action === 'savepoint') return await makeSavepoint(store, app, operands[1]!, io, print)
      const savepoint = text(values, 'savepoint')
      if (savepoint !== undefined) return await runSavepoint(action, store, app, savepoint, values, print)
      const found = await find(store, app, values)
      const all = text(values, 'slot') === undefined && text(values, 'epoch') === undefined
      const { count, damaged } = await run(action, found, to, print, async how =>
        all ? await listOrVerify(store, app, undefined, how, print) : { count: 0, damaged: 0 },
      )
      if (action === 'list') await listStrays(store, app, values, print)
      if (action === 'verify' && count === 0)
        throw new WeirError('CHECKPOINT_CORRUPT', `${app} has nothing to verify there`)
      return damaged === 0 ? 0 : 1
    } finally {
      await store.close()
    }
  },
}

/** @param savepoints lists or verifies them too */
async function run(
  action: Look,
  found: readonly Found[],
  to: string | undefined,
  print: Print,
  savepoints: (how: 'list' | 'verify') => Promise<Looked>,
): Promise<Looked> {
  const looked = { count: found.length, damaged: 0 }
  switch (action) {
    case 'list':
      for (const each of found) print(factsOf(each), lineOf(each))
      await savepoints('list')
      return looked
    case 'verify': {
      const damaged = await verifyAll(found, print)
      const others = await savepoints('verify')
      return { count: found.length + others.count, damaged: damaged + others.damaged }
    }
    case 'inspect': {
      const { manifest } = newestOf(found)
      print(manifest, JSON.stringify(manifest, undefined, 1))
      return looked
    }
    case 'restore': {
      const { catalogue, manifest } = newestOf(found)
      await intoNewDirectory(to!, manifest.key_groups, backend => restore(catalogue, manifest, { backend }))
      print({ restored: to }, `restored to ${to}`)
      return looked
    }
  }
}

async function runSavepoint(
  action: Look,
  store: CheckpointStore,
  app: string,
  name: string,
  values: Values,
  print: Print,
): Promise<number> {
  if (text(values, 'epoch') !== undefined) throw new WeirError('USAGE', '--epoch is of checkpoints, not of savepoints')
  switch (action) {
    case 'list':
    case 'verify':
      return (await listOrVerify(store, app, [name], action, print)).damaged === 0 ? 0 : 1
    case 'inspect': {
      const { savepoint } = await readSavepoint(store, app, name)
      print(savepoint, JSON.stringify(savepoint, undefined, 1))
      return 0
    }
    case 'restore': {
      const to = text(values, 'to')!
      const { savepoint } = await readSavepoint(store, app, name)
      await restoreSlot(store, savepoint, numberIn(values, 'slot'), to)
      print({ restored: to }, `restored to ${to}`)
      return 0
    }
  }
}

async function encryptAnew(place: CheckpointPlace, print: Print): Promise<number> {
  const keys = loadSealKeys(place)
  if (keys === undefined) throw new WeirError('USAGE', 'there are no keys: --key-file or WEIR_CHECKPOINTS_KEYS')
  const store = await openStoreBelow(place)
  try {
    const { objects, renewed, failed } = await reencrypt(store, keys, {
      plain: 'encrypt',
      onFailed: (name, error) => print({ name, ...troubleOf(error) }, `${name}  ${error.message}`),
    })
    const left = failed === 0 ? '' : `; ${failed} could not be read and are as they were`
    print({ objects, renewed, failed }, `${objects} objects, ${renewed} of them encrypted anew${left}`)
    return failed === 0 ? 0 : 1
  } finally {
    await store.close()
  }
}

/** Of the slot that was asked for, or of all. */
async function cataloguesOf(
  store: CheckpointStore,
  app: string,
  values: Values,
): Promise<readonly { readonly slot: number; readonly catalogue: Catalogue }[]> {
  const asked = numberIn(values, 'slot')
  const slots = (await slotsIn(store, app)).filter(slot => asked === undefined || slot === asked)
  return slots.map(slot => ({ slot, catalogue: new Catalogue(store, app, slot) }))
}

async function listStrays(store: CheckpointStore, app: string, values: Values, print: Print): Promise<void> {
  for (const { slot, catalogue } of await cataloguesOf(store, app, values)) {
    for (const name of await catalogue.strays())
      print({ slot, passed_over: name }, `slot ${slot}  ${name} is no manifest's name: passed over`)
  }
}

/** Newest first, slot by slot. */
async function find(store: CheckpointStore, app: string, values: Values): Promise<Found[]> {
  const epoch = numberIn(values, 'epoch')
  const found: Found[] = []
  for (const { slot: each, catalogue } of await cataloguesOf(store, app, values)) {
    for await (const stored of catalogue.newestFirst()) {
      if (epoch === undefined || epoch === epochOfName(stored.name)) found.push({ catalogue, slot: each, stored })
    }
  }
  return found
}

const numberIn = (values: Values, name: string): number | undefined =>
  text(values, name) === undefined
    ? undefined
    : wholeNumber(values, name, { min: 0, max: Number.MAX_SAFE_INTEGER, fallback: 0 })

function factsOf({ slot, stored }: Found): object {
  const at = { slot, epoch: epochOfName(stored.name) }
  if ('error' in stored) return { ...at, ...troubleOf(stored.error) }
  const { created_at, segments } = stored.manifest
  return { ...at, created_at, bytes: bytesOf(segments), segments: segments.length }
}

function lineOf({ slot, stored }: Found): string {
  const what = `slot ${slot}  epoch ${epochOfName(stored.name)}`
  if ('error' in stored) return `${what}  ${stored.error.message}`
  const { created_at, segments } = stored.manifest
  return `${what}  ${created_at}  ${bytesOf(segments)} bytes in ${segments.length} segments`
}

/** @returns how many are damaged */
async function verifyAll(found: readonly Found[], print: Print): Promise<number> {
  let bad = 0
  for (const each of found) {
    const { catalogue, stored } = each
    try {
      if ('error' in stored) throw stored.error
      const { operations } = await verify(catalogue, stored.manifest)
      print({ ...factsOf(each), operations }, `${lineOf(each)}  whole, ${operations} operations`)
    } catch (error) {
      if (!(error instanceof WeirError) || error.code === 'CHECKPOINT_STORE_FAILED') throw error
      bad++
      const at = { slot: each.slot, epoch: epochOfName(stored.name) }
      print({ ...at, ...troubleOf(error) }, `slot ${at.slot}  epoch ${at.epoch}  ${error.message}`)
    }
  }
  return bad
}

/** @throws WeirError CHECKPOINT_CORRUPT where there is none, USAGE where it is not clear which */
function newestOf(found: readonly Found[]): { readonly catalogue: Catalogue; readonly manifest: Manifest } {
  if (new Set(found.map(({ slot }) => slot)).size > 1)
    throw new WeirError('USAGE', 'there are several slots: name one with --slot')
  for (const { catalogue, stored } of found) if ('manifest' in stored) return { catalogue, manifest: stored.manifest }
  throw new WeirError('CHECKPOINT_CORRUPT', found.length === 0 ? 'there is no such checkpoint' : 'none can be read')
}

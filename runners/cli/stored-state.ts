/** `weir state get` of a checkpoint or savepoint: without a running Weir. */
import { existsSync } from 'node:fs'
import { defined, WeirError } from '../../kernel/index.js'
import { Catalogue, type CheckpointStore, readSavepoint, savepointSegments, slotsIn } from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import {
  isBucket,
  lookAt,
  newestPlan,
  openCheckpointStore,
  type PlanOf,
  planOf as planOfCheckpoint,
  type StoredState,
} from '../checkpoints/index.js'
import { type Config, optionalTextOf, textOf } from '../config/index.js'
import { type SlotInspection, slotOfKey } from '../slot/index.js'
import { planOf } from '../worker/index.js'
import { placeOf } from './checkpoint-place.js'
import { configOf } from './settings.js'
import { text, type Values } from './verb.js'

export const storedStateFlags = {
  store: { type: 'string' },
  savepoint: { type: 'string' },
  checkpoint: { type: 'string' },
  app: { type: 'string' },
  features: { type: 'string' },
  'key-file': { type: 'string' },
} as const

export const isStored = (values: Values): boolean =>
  text(values, 'savepoint') !== undefined || text(values, 'checkpoint') !== undefined

/** @throws WeirError USAGE; as `lookAt` */
export async function storedState(
  values: Values,
  at: { readonly step: string; readonly key: string },
  showPii: boolean,
): Promise<{ readonly shown: SlotInspection; readonly where: string }> {
  if (text(values, 'url') !== undefined) throw new WeirError('USAGE', '--url is a running Weir, not a checkpoint')
  const config = configOf({
    ...Object.fromEntries(['config', 'app', 'features'].map(name => [name, values[name]])),
    ...(values['key-file'] !== undefined && { 'checkpoints-key-file': values['key-file'] }),
  })
  const place = placeOf(config, text(values, 'store'))
  if (place === undefined) throw new WeirError('USAGE', '--store is missing')
  if (!isBucket(place.store) && !existsSync(place.store))
    throw new WeirError('USAGE', `there is no directory ${place.store}`)
  const store = await openCheckpointStore(place)
  try {
    const { stored, plan, slot, where } = await find(store, config, values, at)
    const shown = await lookAt(stored, plan, at, { showPii })
    return { shown: { slot, epoch: stored.manifest.epoch, ...shown }, where }
  } finally {
    await store.close()
  }
}

interface Found {
  readonly stored: StoredState
  readonly plan: Plan
  readonly slot: number
  readonly where: string
}

async function find(
  store: CheckpointStore,
  config: Config,
  values: Values,
  { step, key }: { readonly step: string; readonly key: string },
): Promise<Found> {
  const app = textOf(config, 'app')
  const name = text(values, 'savepoint')
  if (name !== undefined) {
    if (text(values, 'checkpoint') !== undefined) throw new WeirError('USAGE', 'name a savepoint or a checkpoint')
    const { savepoint } = await readSavepoint(store, app, name)
    const plan = planFor(config, app, savepoint)
    const slot = slotOfKey(plan, step, key)
    const { manifest } = defined(savepoint.parts[slot], `slot ${slot}`)
    const catalogue = savepointSegments(store, app, name, slot)
    return { stored: { catalogue, manifest, steps: savepoint.steps }, plan, slot, where: `savepoint ${name}` }
  }
  const epoch = epochOf(text(values, 'checkpoint')!)
  const of =
    epoch === undefined ? await newestPlan(store, { app, onUnusable: () => {} }) : await planAt(store, app, epoch)
  const plan = planFor(config, app, of.genesis)
  const slot = slotOfKey(plan, step, key)
  const stored = await checkpointOf(store, app, slot, epoch, of.generation)
  return { stored, plan, slot, where: 'checkpoint' }
}

/** That of any slot's checkpoint of this epoch: no two plans have an epoch in common. @throws WeirError CHECKPOINT_CORRUPT where there is none */
async function planAt(store: CheckpointStore, app: string, epoch: number): Promise<PlanOf> {
  for (const slot of await slotsIn(store, app)) {
    for await (const found of new Catalogue(store, app, slot).newestFirst()) {
      const plan = 'manifest' in found && found.manifest.epoch === epoch ? planOfCheckpoint(found.manifest) : undefined
      if (plan !== undefined) return plan
    }
  }
  throw new WeirError('CHECKPOINT_CORRUPT', `${app} has no checkpoint of epoch ${epoch} that can be read`)
}

function epochOf(checkpoint: string): number | undefined {
  if (checkpoint === 'newest') return undefined
  if (/^\d{1,15}$/.test(checkpoint)) return Number(checkpoint)
  throw new WeirError('USAGE', `--checkpoint is '${checkpoint}', neither an epoch nor newest`)
}

/**
 * Of this plan: in another one the key may have been another slot's.
 * @throws WeirError CHECKPOINT_CORRUPT where there is none that can be read
 */
async function checkpointOf(
  store: CheckpointStore,
  app: string,
  slot: number,
  epoch: number | undefined,
  generation: number,
): Promise<StoredState> {
  const catalogue = new Catalogue(store, app, slot)
  for await (const found of catalogue.newestFirst()) {
    if (!('manifest' in found)) continue
    const { manifest } = found
    if (planOfCheckpoint(manifest)?.generation !== generation) continue
    if (epoch === undefined || manifest.epoch === epoch) return { catalogue, manifest, steps: manifest.facts?.steps }
  }
  const which = epoch === undefined ? `no checkpoint of plan ${generation}` : `no checkpoint of epoch ${epoch}`
  throw new WeirError('CHECKPOINT_CORRUPT', `slot ${slot} of ${app}, which has the key, has ${which} that can be read`)
}

/** The topology of the configuration, spread as what is looked at. */
function planFor(
  config: Config,
  app: string,
  pinned: {
    readonly slots: number
    readonly partitions: readonly { readonly topic: string; readonly count: number }[]
  },
): Plan {
  return planOf(
    {
      app,
      slots: pinned.slots,
      partitions: Math.max(1, ...pinned.partitions.map(({ count }) => count)),
      features: optionalTextOf(config, 'features'),
      rules: optionalTextOf(config, 'rules'),
      cardKey: textOf(config, 'card_key'),
      registry: undefined,
    },
    undefined,
  )
}

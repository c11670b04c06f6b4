/** A savepoint of a deployment that goes on: of each slot the newest checkpoint that is whole. */
import { type Clock, isWeirError, WeirError } from '../../kernel/index.js'
import {
  Catalogue,
  type CheckpointStore,
  copySavepointPart,
  type Manifest,
  publishSavepoint,
  type Savepoint,
  type SavepointSlot,
  type StepStateSchema,
  slotsIn,
} from '../../state/index.js'
import { type GenesisRecord, parseJournalRecord } from '../slot/index.js'

export interface SavepointRequest {
  readonly app: string
  readonly name: string
  readonly clock: Clock
  /** A checkpoint that is passed over, and why. */
  readonly onUnusable: (name: string, message: string) => void
}

/** What a checkpoint says of the plan that made it. */
interface PlanOf {
  readonly genesis: GenesisRecord
  readonly generation: number
}

/**
 * Its slots are of different moments, so with several it is not closed: it gives slots of the same plan back.
 * @throws WeirError SAVEPOINT_EXISTS, CHECKPOINT_CORRUPT where a slot has no checkpoint that can be used, CHECKPOINT_STORE_FAILED
 */
export async function saveCheckpoints(store: CheckpointStore, request: SavepointRequest): Promise<Savepoint> {
  const { app, name, clock } = request
  const { genesis, generation, fingerprint } = await newestPlan(store, request)
  const parts: SavepointSlot[] = []
  let steps: readonly StepStateSchema[] = []
  for (let slot = 0; slot < genesis.slots; slot++) {
    const copied = await copyNewest(store, request, slot, manifest => whyNot(manifest, generation, fingerprint))
    parts.push(copied.part)
    steps = copied.steps
  }
  const savepoint: Savepoint = {
    v: 1,
    app,
    name,
    plan: generation,
    slots: genesis.slots,
    key_groups: genesis.key_groups,
    partitions: genesis.partitions,
    fingerprint,
    closed: false,
    steps,
    parts,
    created_at: new Date(clock.nowMs()).toISOString(),
  }
  await publishSavepoint(store, savepoint)
  return savepoint
}

/** Of the newest generation that has checkpoints. */
async function newestPlan(
  store: CheckpointStore,
  { app, onUnusable }: SavepointRequest,
): Promise<PlanOf & { readonly fingerprint: string }> {
  let newest: (PlanOf & { readonly fingerprint: string }) | undefined
  for (const slot of await slotsIn(store, app)) {
    for await (const found of new Catalogue(store, app, slot).newestFirst()) {
      if ('error' in found) {
        onUnusable(found.name, found.error.message)
        continue
      }
      const plan = planOf(found.manifest)
      if (plan !== undefined && plan.generation > (newest?.generation ?? 0)) {
        newest = { ...plan, fingerprint: found.manifest.fingerprint }
      }
      break
    }
  }
  if (newest === undefined) throw new WeirError('CHECKPOINT_CORRUPT', `${app} has no checkpoint that can be read`)
  return newest
}

/** Undefined where the journal must be read from its genesis. */
export function planOf({ resume }: Manifest): PlanOf | undefined {
  if (resume === null) return undefined
  const genesis = parseJournalRecord(Buffer.from(resume.genesis)) as GenesisRecord & { readonly plan?: number }
  return { genesis, generation: genesis.plan ?? 1 }
}

function whyNot(manifest: Manifest, generation: number, fingerprint: string): string | undefined {
  const plan = planOf(manifest)
  if (plan === undefined) return 'it does not say where the journal goes on'
  if (plan.generation !== generation) return `it is of plan ${plan.generation}, not ${generation}`
  return manifest.fingerprint === fingerprint ? undefined : `it is of topology ${manifest.fingerprint}`
}

async function copyNewest(
  store: CheckpointStore,
  { app, name, onUnusable }: SavepointRequest,
  slot: number,
  why: (manifest: Manifest) => string | undefined,
): Promise<{ readonly part: SavepointSlot; readonly steps: readonly StepStateSchema[] }> {
  const catalogue = new Catalogue(store, app, slot)
  for await (const found of catalogue.newestFirst()) {
    if ('error' in found) {
      onUnusable(found.name, found.error.message)
      continue
    }
    const { manifest } = found
    const { facts } = manifest
    const unusable = why(manifest) ?? (facts === undefined ? 'it was made before there were savepoints' : undefined)
    if (unusable !== undefined || facts === undefined) {
      onUnusable(found.name, unusable ?? '')
      continue
    }
    try {
      return {
        part: await copySavepointPart(store, { app, name, slot }, { catalogue, manifest, facts }),
        steps: facts.steps,
      }
    } catch (error) {
      // Damaged, or removed meanwhile by the worker that makes newer ones.
      if (!isWeirError(error, 'CHECKPOINT_CORRUPT')) throw error
      onUnusable(found.name, error.message)
    }
  }
  throw new WeirError(
    'CHECKPOINT_CORRUPT',
    `slot ${slot} of ${app} has no checkpoint that can be used; try again after its next one`,
  )
}

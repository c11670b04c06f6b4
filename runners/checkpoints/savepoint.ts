/** A savepoint of a deployment that goes on: of each slot the newest checkpoint that is whole. */
import { type Clock, isWeirError, WeirError } from '../../kernel/index.js'
import {
  Catalogue,
  type CheckpointFacts,
  type CheckpointStore,
  checkSavepointName,
  copySavepointPart,
  listSavepoints,
  type Manifest,
  publishSavepoint,
  readSavepoint,
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
export interface PlanOf {
  readonly genesis: GenesisRecord
  readonly generation: number
  readonly fingerprint: string
}

/**
 * Its slots are of different moments, so with several it is not closed: it gives slots of the same plan back.
 * @throws WeirError SAVEPOINT_EXISTS, CHECKPOINT_CORRUPT where a slot has no checkpoint that can be used, CHECKPOINT_STORE_FAILED
 */
export async function saveCheckpoints(store: CheckpointStore, asked: SavepointRequest): Promise<Savepoint> {
  const { app, name, clock } = asked
  const request = { ...asked, onUnusable: once(asked.onUnusable) }
  checkSavepointName(name)
  const plan = await newestPlan(store, request)
  const there = await existing(store, request, plan)
  if (there !== undefined) return there
  const { genesis, generation, fingerprint } = plan
  const parts: SavepointSlot[] = []
  let steps: readonly StepStateSchema[] = []
  for (let slot = 0; slot < genesis.slots; slot++) {
    const copied = await copyNewest(store, request, slot, plan)
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

/** They are looked through more than once. */
function once(tell: SavepointRequest['onUnusable']): SavepointRequest['onUnusable'] {
  const told = new Set<string>()
  return (name, message) => {
    if (!told.has(name)) tell(name, message)
    told.add(name)
  }
}

/** Of the newest generation that has checkpoints. @throws WeirError CHECKPOINT_CORRUPT where there is none, CHECKPOINT_STORE_FAILED */
export async function newestPlan(
  store: CheckpointStore,
  { app, onUnusable }: Pick<SavepointRequest, 'app' | 'onUnusable'>,
): Promise<PlanOf> {
  let newest: PlanOf | undefined
  for (const slot of await slotsIn(store, app)) {
    for await (const found of new Catalogue(store, app, slot).newestFirst()) {
      if ('error' in found) {
        onUnusable(found.name, found.error.message)
        continue
      }
      const plan = planOf(found.manifest)
      if (plan !== undefined && plan.generation > (newest?.generation ?? 0)) newest = plan
      break
    }
  }
  if (newest === undefined) throw new WeirError('CHECKPOINT_CORRUPT', `${app} has no checkpoint that can be read`)
  return newest
}

/** Undefined where the journal must be read from its genesis. */
export function planOf({ resume, fingerprint }: Manifest): PlanOf | undefined {
  if (resume === null) return undefined
  const genesis = parseJournalRecord(Buffer.from(resume.genesis)) as GenesisRecord & { readonly plan?: number }
  return { genesis, generation: genesis.plan ?? 1, fingerprint }
}

function whyNot(manifest: Manifest, generation: number, fingerprint: string): string | undefined {
  const plan = planOf(manifest)
  if (plan === undefined) return 'it does not say where the journal goes on'
  if (plan.generation !== generation) return `it is of plan ${plan.generation}, not ${generation}`
  return manifest.fingerprint === fingerprint ? undefined : `it is of topology ${manifest.fingerprint}`
}

interface Candidate {
  readonly name: string
  readonly catalogue: Catalogue
  readonly manifest: Manifest
  readonly facts: CheckpointFacts
}

/** Checkpoints of a slot that a savepoint can be made of, newest first. */
async function* candidates(
  store: CheckpointStore,
  { app, onUnusable }: SavepointRequest,
  slot: number,
  { generation, fingerprint }: PlanOf,
): AsyncIterable<Candidate> {
  const catalogue = new Catalogue(store, app, slot)
  for await (const found of catalogue.newestFirst()) {
    if ('error' in found) {
      onUnusable(found.name, found.error.message)
      continue
    }
    const { name, manifest } = found
    const { facts } = manifest
    const why = whyNot(manifest, generation, fingerprint)
    if (why === undefined && facts !== undefined) yield { name, catalogue, manifest, facts }
    else onUnusable(name, why ?? 'it was made before there were savepoints')
  }
}

/**
 * The savepoint of this name, if it is what would be made now: it is not made again.
 * @throws WeirError SAVEPOINT_EXISTS where it is another, before anything is written
 */
async function existing(
  store: CheckpointStore,
  request: SavepointRequest,
  plan: PlanOf,
): Promise<Savepoint | undefined> {
  const { app, name } = request
  if (!(await listSavepoints(store, app)).includes(name)) return undefined
  const { savepoint } = await readSavepoint(store, app, name)
  for (const { slot, manifest } of savepoint.parts) {
    for await (const newest of candidates(store, request, slot, plan)) {
      if (newest.manifest.journal_hash === manifest.journal_hash && newest.manifest.chain === manifest.chain) break
      throw new WeirError(
        'SAVEPOINT_EXISTS',
        `'${name}' of ${app} was made ${savepoint.created_at}, of earlier checkpoints`,
      )
    }
  }
  return savepoint
}

async function copyNewest(
  store: CheckpointStore,
  request: SavepointRequest,
  slot: number,
  plan: PlanOf,
): Promise<{ readonly part: SavepointSlot; readonly steps: readonly StepStateSchema[] }> {
  const { app, name, onUnusable } = request
  for await (const { name: checkpoint, ...from } of candidates(store, request, slot, plan)) {
    try {
      return { part: await copySavepointPart(store, { app, name, slot }, from), steps: from.facts.steps }
    } catch (error) {
      // Damaged, or removed meanwhile by the worker that makes newer ones.
      if (!isWeirError(error, 'CHECKPOINT_CORRUPT')) throw error
      onUnusable(checkpoint, error.message)
    }
  }
  const none = `slot ${slot} of ${app} has no checkpoint that can be used; try again after its next one`
  throw new WeirError('CHECKPOINT_CORRUPT', none)
}

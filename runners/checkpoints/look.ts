/** What a step kept of a key, in a checkpoint or savepoint: read from the segments of its key group alone. */
import { WeirError } from '../../kernel/index.js'
import {
  type Catalogue,
  type InspectOptions,
  type KeyInspection,
  type Manifest,
  MemoryDisk,
  planMigration,
  restoreKey,
  StateStore,
  type StepStateSchema,
  unknownStep,
} from '../../state/index.js'
import { declareState, type Plan, stateSchemas } from '../../topology/index.js'

export interface StoredState {
  readonly catalogue: Catalogue
  readonly manifest: Manifest
  /** What it says of itself; undefined in checkpoints of before there were savepoints. */
  readonly steps: readonly StepStateSchema[] | undefined
}

/**
 * @param plan whose operators read the state
 * @throws WeirError UNKNOWN_STEP, STATE_INCOMPATIBLE or FINGERPRINT_MISMATCH where the plan's operators cannot read it,
 * CHECKPOINT_CORRUPT, CHECKPOINT_STORE_FAILED
 */
export async function lookAt(
  stored: StoredState,
  plan: Plan,
  at: { readonly step: string; readonly key: string },
  options: InspectOptions,
): Promise<KeyInspection> {
  const node = plan.steps.find(({ name }) => name === at.step)
  if (node?.kind !== 'operator' || !node.spec.stateful) throw unknownStep(stateSchemas(plan).map(({ step }) => step))
  checkReadable(stored, plan, at.step)
  const backend = new MemoryDisk().open()
  try {
    await restoreKey(stored.catalogue, stored.manifest, at, { backend })
    const store = await StateStore.open({ backend, keyGroups: stored.manifest.key_groups })
    declareState(at.step, node.spec, store.step(at.step))
    return await store.inspect(at.step, at.key, options)
  } finally {
    await backend.close()
  }
}

function checkReadable({ manifest, steps }: StoredState, plan: Plan, step: string): void {
  if (steps === undefined) {
    if (manifest.fingerprint === plan.fingerprint) return
    const whose = `the checkpoint was made by topology ${manifest.fingerprint}, the configuration is ${plan.fingerprint}`
    throw new WeirError('FINGERPRINT_MISMATCH', whose)
  }
  // A step that it does not name has no state in it.
  const kept = steps.filter(each => each.step === step).map(({ handles }) => ({ step, handles }))
  const own = stateSchemas(plan)
    .filter(each => each.step === step)
    .map(({ handles }) => ({ step, handles }))
  const migration = planMigration({ name: '', closed: true, slots: 1, steps: kept }, own)
  const changed = migration[0]?.handles.find(({ change }) => change !== null)
  if (changed === undefined) return
  const what = `step '${step}', state '${changed.from}': the configuration has another form of it`
  throw new WeirError('STATE_INCOMPATIBLE', what)
}

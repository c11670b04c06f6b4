/**
 * `verifyEvolution`: an operator goes on from what an earlier version of it has kept, through a savepoint, in every way in which a
 * plan may begin from one, and compares. What must not show in the output of the later version:
 * 1. how the earlier one came by its state, and how the later one runs: the ways of `verifyOperator`, on both sides;
 * 2. whether the state came in one piece, or was spread over several slots and brought together again.
 */
import {
  MemoryDisk,
  MemoryObjects,
  type MigrationWishes,
  planMigration,
  restoreSavepoint,
  type Savepoint,
  writeSavepointPart,
} from '../../state/index.js'
import { type Plan, stateSchemas } from '../../topology/index.js'
import { compare } from './compare.js'
import {
  keyGroups,
  planOf,
  run,
  straight,
  type Variant,
  type VerifiedRow,
  type VerifyItem,
  type VerifyOptions,
  variants,
} from './run.js'

export interface EvolutionOptions extends Pick<VerifyOptions, 'keyOf' | 'ports'> {
  readonly before: VerifyOptions['spec']
  readonly after: VerifyOptions['spec']
  /** What is to become of state that has another name, or none, in the later version; its step is called `step` in both. */
  readonly wishes?: MigrationWishes
  readonly itemsBefore: readonly VerifyItem[]
  readonly itemsAfter: readonly VerifyItem[]
}

/**
 * @returns what the later version puts out
 * @throws WeirError STATE_INCOMPATIBLE; AssertionError naming the way and the first row that differs
 */
export async function verifyEvolution(options: EvolutionOptions): Promise<readonly VerifiedRow[]> {
  const expected = await evolve(options, straight, straight, 1)
  for (const variant of variants) {
    compare(`before: ${variant.name}`, await evolve(options, variant, straight, 1), expected)
    compare(`after: ${variant.name}`, await evolve(options, straight, variant, 1), expected)
  }
  for (const slots of [2, 3]) {
    compare(`spread over ${slots} slots`, await evolve(options, straight, straight, slots), expected)
  }
  return expected
}

async function evolve(
  { before, after, keyOf, ports, wishes = {}, itemsBefore, itemsAfter }: EvolutionOptions,
  first: Variant,
  then: Variant,
  slots: number,
): Promise<VerifiedRow[]> {
  const shape = { ...(keyOf && { keyOf }), ...(ports !== undefined && { ports }) }
  const disk = new MemoryDisk()
  await run({ ...shape, spec: before, items: itemsBefore }, first, disk)
  const [old, next] = [planOf({ ...shape, spec: before }, straight), planOf({ ...shape, spec: after }, straight)]
  const spread = await moved(await savepointOf([disk], old), next, wishes, slots)
  const [one] = slots === 1 ? spread : await moved(await savepointOf(spread, next), next, {}, 1)
  return await run({ ...shape, spec: after, items: itemsAfter }, then, one!)
}

interface Saved {
  readonly objects: MemoryObjects
  readonly savepoint: Savepoint
}

const name = 'verify'
const clock = { nowMs: () => 0, sleep: async () => undefined }

async function savepointOf(disks: readonly MemoryDisk[], plan: Plan): Promise<Saved> {
  const objects = new MemoryObjects()
  const facts = { inputs: [], watermarks_ms: [], clocks: [], counts: {} }
  const parts = await Promise.all(
    disks.map(async (disk, slot) => {
      const backend = disk.open()
      const part = await writeSavepointPart(objects.open(), { app: plan.app, name, slot, backend, clock, facts })
      await backend.close()
      return part
    }),
  )
  const { app, fingerprint } = plan
  const pinned = { plan: 1, slots: parts.length, key_groups: keyGroups, partitions: [], fingerprint, closed: true }
  return { objects, savepoint: { v: 1, app, name, ...pinned, steps: stateSchemas(plan), parts, created_at: '' } }
}

/** To stores for another plan, each with its share of the key groups. */
async function moved(
  { objects, savepoint }: Saved,
  plan: Plan,
  wishes: MigrationWishes,
  slots: number,
): Promise<MemoryDisk[]> {
  const migration = planMigration(savepoint, stateSchemas(plan), wishes)
  const position = { epoch: 1, journalHash: '', fingerprint: plan.fingerprint }
  return await Promise.all(
    Array.from({ length: slots }, async (_, slot) => {
      const disk = new MemoryDisk()
      const backend = disk.open()
      const ownsGroup = (group: number): boolean => group % slots === slot
      await restoreSavepoint(objects.open(), savepoint, { backend, migration, ownsGroup, position })
      await backend.close()
      return disk
    }),
  )
}

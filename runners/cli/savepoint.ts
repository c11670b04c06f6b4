/** What `weir checkpoint` says of savepoints, and does with them. */
import { isWeirError, systemClock, WeirError } from '../../kernel/index.js'
import {
  bytesOf,
  type CheckpointStore,
  listSavepoints,
  openRocksDb,
  readSavepoint,
  restoreSavepointSlot,
  type Savepoint,
  StateStore,
  verifySavepoint,
} from '../../state/index.js'
import { saveCheckpoints } from '../checkpoints/index.js'
import type { VerbIo } from './verb.js'

/** From the newest checkpoints, and a line that says of which. */
export async function makeSavepoint(store: CheckpointStore, app: string, name: string, io: VerbIo): Promise<number> {
  const onUnusable = (checkpoint: string, why: string): void => io.err(`weir: passed over ${checkpoint}: ${why}\n`)
  const savepoint = await saveCheckpoints(store, { app, name, clock: systemClock, onUnusable })
  io.out(`${savepointLine(savepoint)}, of epochs ${savepoint.parts.map(({ manifest }) => manifest.epoch).join(', ')}\n`)
  return 0
}

function savepointLine({ name, plan, slots, closed, created_at, parts }: Savepoint): string {
  const bytes = parts.reduce((sum, { manifest }) => sum + bytesOf(manifest.segments), 0)
  const of = `plan ${plan} of ${slots} ${slots === 1 ? 'slot' : 'slots'}, ${closed ? 'closed' : 'not closed'}`
  return `savepoint ${name}  ${created_at}  ${bytes} bytes, ${of}`
}

/** Errors that are of more than what one savepoint holds. */
const notOfOne: readonly string[] = ['CHECKPOINT_STORE_FAILED', 'SAVEPOINT_NOT_FOUND', 'USAGE']

export interface Looked {
  readonly count: number
  readonly damaged: number
}

/** A line for each, or what is wrong with it. */
export async function listOrVerify(
  store: CheckpointStore,
  app: string,
  names: readonly string[] | undefined,
  how: 'list' | 'verify',
  io: VerbIo,
): Promise<Looked> {
  let damaged = 0
  const all = names ?? (await listSavepoints(store, app))
  for (const name of all) {
    try {
      const { savepoint } = await readSavepoint(store, app, name)
      const whole = how === 'list' ? '' : `, whole, ${(await verifySavepoint(store, savepoint)).operations} operations`
      io.out(`${savepointLine(savepoint)}${whole}\n`)
    } catch (error) {
      if (!isWeirError(error) || notOfOne.includes(error.code)) throw error
      damaged++
      io.out(`savepoint ${name}  ${error.message}\n`)
    }
  }
  return { count: all.length, damaged }
}

/** @param slot undefined: the only one. @throws WeirError USAGE, OUTPUT_UNWRITABLE where there is state already */
export async function restoreSlot(
  store: CheckpointStore,
  savepoint: Savepoint,
  slot: number | undefined,
  directory: string,
): Promise<void> {
  const { slots, key_groups } = savepoint
  if (slot === undefined && slots > 1) throw new WeirError('USAGE', 'there are several slots: name one with --slot')
  if ((slot ?? 0) >= slots) throw new WeirError('USAGE', `the savepoint has slots 0 to ${slots - 1}`)
  await intoNewDirectory(directory, key_groups, backend =>
    restoreSavepointSlot(store, savepoint, slot ?? 0, { backend }),
  )
}

/** @throws WeirError OUTPUT_UNWRITABLE where there is state already */
export async function intoNewDirectory(
  directory: string,
  keyGroups: number,
  restore: (backend: Awaited<ReturnType<typeof openRocksDb>>) => Promise<void>,
): Promise<void> {
  const backend = await openRocksDb(directory)
  try {
    const store = await StateStore.open({ backend, keyGroups })
    if (store.reflects !== undefined) {
      throw new WeirError('OUTPUT_UNWRITABLE', `${directory} holds state of epoch ${store.reflects.epoch} already`)
    }
    await restore(backend)
  } finally {
    await backend.close()
  }
}

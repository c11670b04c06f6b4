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

/** A line: the facts as JSON, or the words. */
export type Print = (facts: object, words: string) => void

/** What is wrong with something that is listed. */
export const troubleOf = ({ code, what }: WeirError): object => ({ code, message: what })

/** From the newest checkpoints, and a line that says of which. */
export async function makeSavepoint(
  store: CheckpointStore,
  app: string,
  name: string,
  io: VerbIo,
  print: Print,
): Promise<number> {
  const onUnusable = (checkpoint: string, why: string): void => io.err(`weir: passed over ${checkpoint}: ${why}\n`)
  const savepoint = await saveCheckpoints(store, { app, name, clock: systemClock, onUnusable })
  const facts = factsOf(savepoint)
  print(facts, `${lineOf(facts)}, of epochs ${facts.epochs.join(', ')}`)
  return 0
}

const factsOf = ({ name, plan, slots, closed, created_at, parts }: Savepoint) => ({
  savepoint: name,
  created_at,
  bytes: parts.reduce((sum, { manifest }) => sum + bytesOf(manifest.segments), 0),
  plan,
  slots,
  closed,
  epochs: parts.map(({ manifest }) => manifest.epoch),
})

function lineOf({ savepoint, created_at, bytes, plan, slots, closed }: ReturnType<typeof factsOf>): string {
  const of = `plan ${plan} of ${slots} ${slots === 1 ? 'slot' : 'slots'}, ${closed ? 'closed' : 'not closed'}`
  return `savepoint ${savepoint}  ${created_at}  ${bytes} bytes, ${of}`
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
  print: Print,
): Promise<Looked> {
  let damaged = 0
  const all = names ?? (await listSavepoints(store, app))
  for (const name of all) {
    try {
      const { savepoint } = await readSavepoint(store, app, name)
      const facts = factsOf(savepoint)
      if (how === 'list') print(facts, lineOf(facts))
      else {
        const { operations } = await verifySavepoint(store, savepoint)
        print({ ...facts, operations }, `${lineOf(facts)}, whole, ${operations} operations`)
      }
    } catch (error) {
      if (!isWeirError(error) || notOfOne.includes(error.code)) throw error
      damaged++
      print({ savepoint: name, ...troubleOf(error) }, `savepoint ${name}  ${error.message}`)
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
      throw new WeirError(
        'OUTPUT_UNWRITABLE',
        `${directory} holds state of epoch ${store.reflects.epoch} already: name another`,
      )
    }
    await restore(backend)
  } finally {
    await backend.close()
  }
}

/**
 * Closes a plan into a savepoint (docs/decisions/0016). Every step can be repeated: killed anywhere, the same call goes on.
 *
 * Invariants: 1. no slot is closed before every slot has said in its journal that it reads no more inputs, and nothing is
 * under way between any two of them; 2. what is saved is the state of the closing epochs; 3. the savepoint is there when all of
 * it is.
 */
import { assert, type Clock, defined, isWeirError, WeirError } from '../../kernel/index.js'
import type { Log } from '../../log/index.js'
import {
  type CheckpointStore,
  publishSavepoint,
  readSavepoint,
  type SavepointSlot,
  type StateBackend,
  type StoredSavepoint,
  writeSavepointPart,
} from '../../state/index.js'
import { type Plan, stateSchemas } from '../../topology/index.js'
import { closingOf, type EpochRecord, epochOf, journalTopicOf, lastLink, type Slot } from '../slot/index.js'
import { type Standing, standingOf } from './standing.js'

/** What a closer asks of a slot. */
export type ClosingSlot = Pick<Slot, 'start' | 'step' | 'mark' | 'closing' | 'hasDrained' | 'close'>

/** A slot of the plan that ends, with the store that its state is read from. */
export interface OpenSlot {
  /** Not started; opened as a closer. */
  readonly slot: ClosingSlot
  /** The slot's own: another may not see yet what the slot has committed. */
  readonly log: Log
  readonly backend: StateBackend
  readonly namespace?: Uint8Array
  /** Lets go of everything; the slot has been closed. */
  readonly release: () => Promise<void>
}

/** What has been done, in this order; the simulation stops the closer at each. */
export type ClosePoint = 'started' | 'marked' | 'drained' | 'slot-closed' | 'closed' | 'part-written' | 'published'

export interface CloseOptions {
  readonly log: Log
  readonly store: CheckpointStore
  /** The plan that ends. */
  readonly plan: Plan
  /** Of the savepoint, unless the plan is being closed into another one already. */
  readonly name: string
  readonly clock: Clock
  readonly open: (slot: number) => Promise<OpenSlot>
  readonly at?: (point: ClosePoint) => void | Promise<void>
  readonly signal?: AbortSignal
}

/** @throws WeirError SLOT_FENCED when another owner has taken a slot, INTERRUPTED; as slots and the checkpoint store do */
export async function closePlan(options: CloseOptions): Promise<StoredSavepoint> {
  const { log, store, plan } = options
  const standing = await standingOf(log, plan.app)
  assert(standing.slots === plan.placement.slots, `the plan has the ${standing.slots} slots of the journal`)
  const name = standing.ends?.savepoint ?? options.name
  const there = standing.ends?.slotsClosed === standing.slots ? await publishedAs(store, plan.app, name) : undefined
  if (there !== undefined && isOf(there, standing)) return there
  return await withAll(plan, options.open, async slots => {
    await ended(slots.map(({ slot }) => slot.start()))
    await options.at?.('started')
    await closeSlots(
      slots.map(({ slot }) => slot),
      name,
      options,
    )
    await options.at?.('closed')
    const parts: SavepointSlot[] = []
    for (const [number, open] of slots.entries()) {
      parts.push(await savePart(options, name, number, open))
      await options.at?.('part-written')
    }
    const saved = await publish(options, name, standing.plan, parts)
    await options.at?.('published')
    return saved
  })
}

/** The savepoint is of these very closing epochs. */
export function isOf({ savepoint }: StoredSavepoint, { plan, last }: Standing): boolean {
  const { parts } = savepoint
  const same = parts.every(({ manifest }, slot) => manifest.journal_hash === last[slot]?.hash)
  return savepoint.closed && savepoint.plan === plan && parts.length === last.length && same
}

/** Opens all slots for the work, and lets go of all that were opened, whatever fails. @throws what failed first */
async function withAll<T>(
  plan: Plan,
  open: CloseOptions['open'],
  work: (slots: readonly OpenSlot[]) => Promise<T>,
): Promise<T> {
  const opened: OpenSlot[] = []
  const worked = (async () => {
    for (let slot = 0; slot < plan.placement.slots; slot++) opened.push(await open(slot))
    return await work(opened)
  })()
  const ends: PromiseSettledResult<unknown>[] = await Promise.allSettled([worked])
  for (const { slot, release } of opened) {
    ends.push(...(await Promise.allSettled([slot.close({ keepState: false })])))
    ends.push(...(await Promise.allSettled([release()])))
  }
  const failed = ends.find(end => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  return await worked
}

async function closeSlots(slots: readonly ClosingSlot[], savepoint: string, options: CloseOptions): Promise<void> {
  for (const slot of slots) while (slot.closing === undefined) await slot.mark({ savepoint, last: false })
  await options.at?.('marked')
  await drain(slots, options.signal)
  await options.at?.('drained')
  for (const slot of slots) {
    while (slot.closing?.last !== true) await slot.mark({ savepoint, last: true })
    await options.at?.('slot-closed')
  }
}

/**
 * Until a whole round has found nothing: what one slot writes another may have to read. Who is closed was drained before, and reads
 * nothing more: what its hops hold now is of the next plan, which somebody else has begun.
 */
async function drain(slots: readonly ClosingSlot[], signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    if (signal?.aborted) throw new WeirError('INTERRUPTED', 'the plan was not closed yet')
    const left = slots.filter(slot => slot.closing?.last !== true)
    const moved = await ended(left.map(stepToIdle))
    if (moved.some(Boolean)) continue
    const drained = await ended(left.map(slot => slot.hasDrained()))
    if (drained.every(Boolean)) return
  }
}

async function stepToIdle(slot: ClosingSlot): Promise<boolean> {
  let moved = false
  while ((await slot.step()).kind === 'committed') moved = true
  return moved
}

/** All have come to their end, also where one has failed: a slot that still works must not be closed. @throws what the first failed with */
async function ended<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work)
  return await Promise.all(work)
}

/**
 * The plan goes on after all. Killed anywhere, the same call goes on; where nothing is being closed it changes nothing.
 * @throws WeirError PLAN_CLOSED when a slot is closed already; as slots do
 */
export async function reopenPlan({ log, plan, open }: Pick<CloseOptions, 'log' | 'plan' | 'open'>): Promise<void> {
  refuseIfClosed(await standingOf(log, plan.app))
  await withAll(plan, open, async slots => {
    // Whoever was about to close one is fenced, and what was closed is seen.
    for (const { slot } of slots) await slot.start()
    refuseIfClosed(await standingOf(log, plan.app))
    for (const { slot } of slots) while (slot.closing !== undefined) await slot.mark(null)
  })
}

/** @throws WeirError PLAN_CLOSED */
function refuseIfClosed({ plan, last }: Standing): void {
  const slot = last.findIndex(link => link !== undefined && closingOf(link.record)?.last === true)
  const closing = last[slot] && closingOf(last[slot].record)
  if (closing === undefined) return
  const what = `slot ${slot} of plan ${plan} is closed into '${closing.savepoint}' already: there is no way back`
  throw new WeirError('PLAN_CLOSED', what)
}

async function savePart(
  { store, plan, clock }: CloseOptions,
  name: string,
  number: number,
  { slot, log, backend, namespace }: OpenSlot,
): Promise<SavepointSlot> {
  const { app } = plan
  // Writes back what the store lacks of the closing epoch.
  await slot.close()
  const last = defined(await lastLink(log, { topic: journalTopicOf(app), partition: number }), 'a closing epoch')
  if (closingOf(last.record)?.last !== true) {
    throw new WeirError(
      'PLAN_CLOSED',
      `the plan that follows has begun: slot ${number} is at epoch ${epochOf(last.record)}`,
    )
  }
  const { positions, watermark_ms, stages_ms = [watermark_ms], clocks, counts } = last.record as EpochRecord
  const facts = { inputs: positions, watermarks_ms: stages_ms, clocks, counts }
  const place = { app, name, slot: number, facts, backend, clock, ...(namespace && { namespace }) }
  const part = await writeSavepointPart(store, place)
  if (part.manifest.journal_hash !== last.hash) {
    throw new WeirError('SLOT_FENCED', `slot ${number} has another last epoch than the one that was saved`)
  }
  return part
}

async function publish(
  { log, store, plan, clock }: CloseOptions,
  name: string,
  number: number,
  parts: readonly SavepointSlot[],
): Promise<StoredSavepoint> {
  const { app, placement, fingerprint, sources } = plan
  const inputs = sources.filter(({ hop }) => hop === undefined)
  await publishSavepoint(store, {
    v: 1,
    app,
    name,
    plan: number,
    slots: placement.slots,
    key_groups: defined(parts[0], 'a slot').manifest.key_groups,
    partitions: await Promise.all(inputs.map(async ({ topic }) => ({ topic, count: await log.partitionCount(topic) }))),
    fingerprint,
    closed: true,
    steps: stateSchemas(plan),
    parts,
    created_at: new Date(clock.nowMs()).toISOString(),
  })
  return await readSavepoint(store, app, name)
}

async function publishedAs(store: CheckpointStore, app: string, name: string): Promise<StoredSavepoint | undefined> {
  try {
    return await readSavepoint(store, app, name)
  } catch (error) {
    if (isWeirError(error, 'SAVEPOINT_NOT_FOUND')) return undefined
    throw error
  }
}

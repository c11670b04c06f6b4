/**
 * An empty journal is a new job only where nothing says otherwise: a journal that was lost must not decide everything again.
 * Called by who runs a slot of a shared log, before the slot starts.
 */
import { WeirError } from '../../kernel/index.js'
import { type Log, offset } from '../../log/index.js'
import type { Catalogue, StateStore } from '../../state/index.js'
import type { Plan } from '../../topology/index.js'
import { journalTopicOf } from './journal.js'

export interface Beginning {
  readonly plan: Plan
  readonly slot: number
  readonly log: Log
  readonly store: StateStore
  readonly catalogue?: Catalogue
  /** Of which the slot alone writes the partitions p with p mod slots = slot. */
  readonly outputs: string
}

/** @throws WeirError JOURNAL_WITHOUT_GENESIS, CHECKPOINT_STORE_FAILED while it cannot be said */
export async function checkBeginning({ plan, slot, log, store, catalogue, outputs }: Beginning): Promise<void> {
  const at = { topic: journalTopicOf(plan.app), partition: slot }
  const journal = await log.range(at)
  if (journal.latest > journal.earliest) return
  const lost = (why: string) =>
    new WeirError('JOURNAL_WITHOUT_GENESIS', `${at.topic}/${at.partition} is empty, but ${why}`)
  if (journal.earliest > offset(0)) throw lost(`its records up to ${journal.earliest} were deleted`)
  if (store.reflects !== undefined) throw lost(`the state on this disk is of its epoch ${store.reflects.epoch}`)
  const partitions = await log.partitionCount(outputs)
  for (let partition = slot; partition < partitions; partition += plan.placement.slots) {
    const { latest } = await log.range({ topic: outputs, partition })
    if (latest > offset(0)) throw lost(`${outputs}/${partition} already holds records`)
  }
  if (catalogue === undefined) return
  for await (const found of catalogue.newestFirst()) throw lost(`there is the checkpoint ${found.name}`)
}

/**
 * Trims a slot's journal behind its checkpoints.
 *
 * Invariant: it keeps what the oldest checkpoint that is kept goes on from, and so do all after it.
 */
import { type LogTrimmer, offset } from '../../log/index.js'
import type { Manifest } from '../../state/index.js'
import { journalTopicOf } from './journal.js'

/** @param kept at least one @throws what the log does */
export async function trimJournalBehind(
  log: LogTrimmer,
  { app, slot }: { readonly app: string; readonly slot: number },
  kept: readonly Manifest[],
): Promise<void> {
  // One that does not say where it goes on needs the genesis.
  const from = kept.map(({ resume }) => resume?.offset ?? 0)
  await log.trim({ topic: journalTopicOf(app), partition: slot, offset: offset(Math.min(...from)) })
}

/**
 * Checkpoints of a slot that this process runs: in a place that all workers share.
 *
 * Invariant: the journal is trimmed behind the oldest checkpoint that is kept, and by nothing else: whoever loses its disk
 * goes on from there.
 */
import type { Clock } from '../../kernel/index.js'
import { type LogTrimmer, offset } from '../../log/index.js'
import {
  Catalogue,
  type CheckpointEvent,
  Checkpointer,
  DeltaSpool,
  type Manifest,
  type StateBackend,
} from '../../state/index.js'
import { openCheckpointStore } from '../checkpoints/index.js'
import { journalTopicOf, type SlotCheckpoints } from '../slot/index.js'
import type { CheckpointJob } from './job.js'

export interface HostedCheckpoints extends SlotCheckpoints {
  readonly spool: DeltaSpool
  readonly checkpointer: Checkpointer
}

export interface CheckpointParts {
  readonly job: CheckpointJob
  readonly app: string
  readonly slot: number
  readonly spoolDirectory: string
  readonly backend: StateBackend
  readonly log: LogTrimmer
  readonly clock: Clock
  readonly onEvent: (event: CheckpointEvent | { readonly kind: 'spool-dropped'; readonly reason: string }) => void
}

/** While `work` runs. @throws WeirError as `openCheckpointStore` does */
export async function withCheckpoints(
  parts: CheckpointParts,
  work: (checkpoints: HostedCheckpoints) => Promise<void>,
): Promise<void> {
  const { job, app, slot, backend, clock, onEvent } = parts
  const store = await openCheckpointStore(job.place)
  const spool = await DeltaSpool.open({
    directory: parts.spoolDirectory,
    onDropped: reason => onEvent({ kind: 'spool-dropped', reason }),
  })
  const checkpointer = new Checkpointer({
    store,
    app,
    slot,
    backend,
    spool,
    clock,
    everyMs: job.everyMs,
    keep: { countMin: job.keep, youngerThanMs: 0 },
    onEvent,
    ...(job.trimsJournal && { onRetained: (kept: readonly Manifest[]) => trimJournal(parts, kept) }),
  })
  try {
    await work({ catalogue: new Catalogue(store, app, slot), checkpointer, backend, spool })
  } finally {
    await checkpointer.close()
    await spool.close()
    await store.close()
  }
}

async function trimJournal({ log, app, slot }: CheckpointParts, kept: readonly Manifest[]): Promise<void> {
  const from = kept.map(({ resume }) => resume?.offset ?? 0)
  await log.trim({ topic: journalTopicOf(app), partition: slot, offset: offset(Math.min(...from)) })
}

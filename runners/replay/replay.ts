/**
 * `weir replay`: the fraud topology over a file, by the very slot that runs live.
 *
 * Journal and state live in OUTPUT.replay/; the journal's last frame is the commit, so a crash at any point resumes from
 * it (log/file/FORMAT.md). Nothing here looks at a clock for results: decided_at is the event time.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, WeirError } from '../../kernel/index.js'
import { championModel, defaultFeatureSet, defaultRuleSet, defaultTopology, loadFeatureSet, loadRuleSet } from '../../fraud/index.js'
import { FileLog } from '../../log/file/index.js'
import { keyGroupsFor, openRocksDb, StateStore } from '../../state/index.js'
import { compile, type Plan } from '../../topology/index.js'
import { Slot } from '../slot/index.js'
import { journalTopicOf, readJournal } from '../slot/index.js'
import { fileDeadLetters } from './dead-letters.js'
import { inputFormat } from './formats.js'
import { checkSameJob, jobIdentity, type ReplayArguments } from './job.js'
import { loadModel } from './models.js'
import type { Progress } from './progress.js'

const app = 'fraud'

export interface ReplaySummary {
  readonly lines: number
  readonly blank_lines: number
  readonly decisions: number
  readonly duplicates: number
  readonly conflicts: number
  readonly dead_letters: number
}

export interface ReplayOutcome {
  readonly summary: ReplaySummary
  readonly interrupted: boolean
  readonly phasesMs: ReadonlyMap<string, number>
}

export async function replay(
  args: ReplayArguments,
  io: { readonly clock: Clock; readonly progress: Progress; readonly signal: AbortSignal; readonly warn: (text: string) => void },
): Promise<ReplayOutcome> {
  const directory = `${args.output}.replay`
  const deadLetterPath = `${args.output}.dead-letter.ndjson`
  const identity = await jobIdentity(args)
  const featureSet = args.features === undefined ? defaultFeatureSet() : loadFeatureSet(args.features)
  const ruleSet = args.rules === undefined ? defaultRuleSet() : loadRuleSet(args.rules)
  if (args.fresh || !existsSync(directory)) {
    for (const path of [directory, args.output, deadLetterPath]) rmSync(path, { recursive: true, force: true })
  }
  mkdirSync(directory, { recursive: true })
  const { format, log } = await openInput(args, directory, deadLetterPath)
  try {
    const model = await loadModel(args.model)
    const plan = compile(defaultTopology({ transactions: format, labels: null, featureSet, ruleSet }).graph)
    await checkJournal(log, plan, identity)
    const backend = await openRocksDb(join(directory, 'state'))
    try {
      const keyGroups = keyGroupsFor(args.partitions)
      const store = await StateStore.open({ backend, keyGroups, cacheBytesMax: args.cacheMb * (1 << 20) })
      const slot = new Slot({
        plan,
        slot: 0,
        log,
        store,
        models: new Map([[championModel, model]]),
        clock: io.clock,
        syncState: false,
        genesis: {
          app,
          slots: 1,
          key_groups: keyGroups,
          partitions: [{ topic: 'transactions', count: args.partitions }],
          start: [{ topic: 'transactions', partition: 0, offset: '0' }],
          job: identity,
        },
        deadLetters: fileDeadLetters(log.headerLines),
        stampOf: row => ({ nowMs: row.at, timingsUs: null }),
        onEvent: event => {
          if (event.kind === 'excluded') io.warn(`record ${event.position} is dead-lettered: ${event.message}`)
          if (event.kind === 'model-failed') io.warn(`epoch ${event.epoch}: the model failed on ${event.rows} rows`)
          if (event.kind === 'replayed') io.warn(`resumed: ${event.epochs} epochs, ${event.records} records replayed`)
        },
      })
      return await run(slot, log, directory, io)
    } finally {
      await backend.close()
    }
  } finally {
    await log.close()
  }
}

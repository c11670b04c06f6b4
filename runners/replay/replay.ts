/**
 * `weir replay`: the fraud topology over a file, by the very slot that runs live.
 *
 * Journal and state live in OUTPUT.replay/; the journal's last frame is the commit, so a crash at any point resumes from
 * it (log/file/FORMAT.md). Nothing here looks at a clock for results: decided_at is the event time.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  championModel,
  defaultFeatureSet,
  defaultRuleSet,
  defaultTopology,
  loadFeatureSet,
  loadRuleSet,
} from '../../fraud/index.js'
import { assertNever, type Clock, messageOf, WeirError } from '../../kernel/index.js'
import { FileLog } from '../../log/file/index.js'
import { keyGroupsFor, openRocksDb, StateStore } from '../../state/index.js'
import { compile } from '../../topology/index.js'
import { journalTopicOf, readJournal, Slot, type SlotEvent } from '../slot/index.js'
import { fileDeadLetters } from './dead-letters.js'
import { fileKind, inputFormat } from './formats.js'
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

export interface ReplayIo {
  readonly clock: Clock
  readonly progress: Progress
  /** Aborting it stops the replay after the epoch that is running; the same command then resumes. */
  readonly signal: AbortSignal
  readonly warn: (text: string) => void
}

/** @throws WeirError INPUT_UNREADABLE, OUTPUT_UNWRITABLE, REPLAY_MISMATCH, MODEL_CONTRACT, … */
export async function replay(args: ReplayArguments, io: ReplayIo): Promise<ReplayOutcome> {
  const directory = `${args.output}.replay`
  const deadLetterPath = `${args.output}.dead-letter.ndjson`
  const job = await jobIdentity(args)
  const featureSet = args.features === undefined ? defaultFeatureSet() : loadFeatureSet(args.features)
  const ruleSet = args.rules === undefined ? defaultRuleSet() : loadRuleSet(args.rules)
  const model = await loadModel(args.model)
  prepareFolders(args, directory, deadLetterPath)
  const log = await FileLog.open({
    input: { path: args.input, topic: 'transactions', hasHeader: fileKind(args.input) === 'csv' },
    outputs: new Map([
      ['decisions', args.output],
      ['transactions.dead-letter', deadLetterPath],
    ]),
    journal: { topic: journalTopicOf(app), path: join(directory, 'journal') },
  })
  let finished = false
  try {
    const format = inputFormat(args, log.headerLines === 0 ? undefined : log.header())
    const plan = compile(defaultTopology({ transactions: format, labels: null, featureSet, ruleSet }).graph)
    const head = await readJournal(log, { topic: journalTopicOf(app), partition: 0 }, () => {})
    if (head !== undefined) checkSameJob(head.genesis.job, job)
    if (log.epochsGivenUp > 0) io.warn(`${log.epochsGivenUp} epochs are decided again: their output is not on disk`)
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
          job,
        },
        deadLetters: fileDeadLetters(log.headerLines),
        stampOf: row => ({ nowMs: row.at, timingsUs: null }),
        onEvent: event => {
          if (event.kind !== 'recovering' || event.reason !== 'start') io.warn(inWords(event))
        },
      })
      const interrupted = await run(slot, log, io)
      const outcome = { summary: summaryOf(slot.counts), interrupted, phasesMs: slot.phases.totalsMs }
      await slot.close()
      finished = !interrupted
      return outcome
    } finally {
      await backend.close()
    }
  } finally {
    await log.close()
    await model.close()
    // Only now: with the directory goes the last means to resume.
    if (finished) rmSync(directory, { recursive: true, force: true })
  }
}

/** @returns true when it was stopped before the end */
async function run(slot: Slot, log: FileLog, io: ReplayIo): Promise<boolean> {
  await slot.start()
  let records = 0
  while (!io.signal.aborted) {
    const result = await slot.step()
    if (result.kind === 'finished') return false
    if (result.kind === 'committed') records += result.records
    const { bytesRead, bytesTotal } = log.progress()
    io.progress.update(bytesRead, bytesTotal, records)
  }
  return true
}

/** An unfinished replay leaves its directory; without one, or with --fresh, everything starts from nothing. */
function prepareFolders(args: ReplayArguments, directory: string, deadLetterPath: string): void {
  try {
    if (args.fresh || !existsSync(directory)) {
      for (const path of [directory, args.output, deadLetterPath]) rmSync(path, { recursive: true, force: true })
    }
    mkdirSync(directory, { recursive: true })
  } catch (error) {
    throw new WeirError('OUTPUT_UNWRITABLE', `cannot write beside ${args.output}: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

function summaryOf(counts: ReadonlyMap<string, number>): ReplaySummary {
  const count = (name: string): number => counts.get(name) ?? 0
  return {
    lines: count('records'),
    blank_lines: count('blank'),
    decisions: count('decisions'),
    duplicates: count('duplicates'),
    conflicts: count('conflicts'),
    dead_letters: count('dead_letters'),
  }
}

function inWords(event: SlotEvent): string {
  switch (event.kind) {
    case 'recovering':
      return `recovering: ${event.reason}`
    case 'replayed':
      return `resumed: ${event.records} records in ${event.epochs} epochs folded again`
    case 'excluded':
      return `record ${event.position} is dead-lettered: ${event.message}`
    case 'model-failed':
      return `epoch ${event.epoch}: the model failed on ${event.rows} rows; their decisions are degraded`
    default:
      return assertNever(event)
  }
}

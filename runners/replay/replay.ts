/**
 * `weir replay`: the fraud topology over a file, by the very slot that runs live.
 *
 * Journal and state live in OUTPUT.replay/; the journal's last frame is the commit, so a crash at any point resumes from
 * it (log/file/FORMAT.md). Nothing here looks at a clock for results: decided_at is the event time.
 */
import { rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  championModel,
  defaultFeatureSet,
  defaultPolicy,
  defaultRuleSet,
  defaultTopology,
  loadFeatureSet,
  loadRuleSet,
} from '../../fraud/index.js'
import { assertNever, type Clock, isWeirError, messageOf, WeirError } from '../../kernel/index.js'
import { FileLog, type FileLogOptions, readHeader } from '../../log/file/index.js'
import type { Model } from '../../scoring/index.js'
import { keyGroupsFor, openRocksDb, type RocksDbOptions, type StateBackend, StateStore } from '../../state/index.js'
import { compile, type Plan } from '../../topology/index.js'
import { makeFolders } from '../folders/index.js'
import { HeapWatch } from '../memory/index.js'
import { loadModel } from '../models/index.js'
import { firstLink, journalTopicOf, Slot, type SlotEvent, type SlotLimits } from '../slot/index.js'
import { fileDeadLetters } from './dead-letters.js'
import { deadLetterPathOf, fileKind, workFolderOf } from './files.js'
import { inputFormat } from './formats.js'
import { checkSameJob, hashInput, jobIdentity, type ReplayArguments } from './job.js'
import type { Progress } from './progress.js'

const app = 'fraud'
/** Fewer rows are alive at a time than with 1,024: scavenges copy half as much. In time from 256 to 2,048 no difference stands out of the noise. */
const epochRecordsDefault = 512
const epochsPerWriteBack = 48
/** Folding so many records again after a crash takes seconds; writing state back more often costs every run more. */
const recordsPerWriteBackMax = 500_000

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

/**
 * Everything that can be wrong with the command is found before a byte of an earlier output is touched.
 * @throws WeirError INPUT_UNREADABLE, OUTPUT_UNWRITABLE, REPLAY_MISMATCH, MODEL_CONTRACT, …
 */
export async function replay(args: ReplayArguments, io: ReplayIo): Promise<ReplayOutcome> {
  const input = { path: args.input, topic: 'transactions', hasHeader: fileKind(args.input) === 'csv' }
  const inputSha256 = await hashInput(args.input)
  const { header } = await readHeader(input)
  const featureSet = args.features === undefined ? defaultFeatureSet() : loadFeatureSet(args.features)
  const rules = args.rules === undefined ? defaultRuleSet() : loadRuleSet(args.rules)
  const policy = defaultPolicy()
  const format = inputFormat(args, input.hasHeader ? header : undefined)
  const plan = compile(
    defaultTopology({ transactions: format, labels: null, featureSet, ruleSet: rules, policy }).graph,
  )
  // what the slot does once it has begun, done before anything is written: rules that ask for other features throw here
  for (const step of plan.steps) if (step.kind === 'decide') step.decide.bind(plan.featureNames, null)
  const model = await loadModel(args.model, plan.featureNames)
  try {
    const parts = { inputSha256, fingerprint: plan.fingerprint, model: model.contract, rules, policy }
    return await replayInto(args, input, plan, model, jobIdentity(args, parts), io)
  } finally {
    await model.close()
  }
}

async function replayInto(
  args: ReplayArguments,
  input: FileLogOptions['input'],
  plan: Plan,
  model: Model,
  job: Readonly<Record<string, string>>,
  io: ReplayIo,
): Promise<ReplayOutcome> {
  const directory = workFolderOf(args.output)
  const stateDirectory = join(directory, 'state')
  makeFolder(directory, args.output)
  const log = await FileLog.open({
    input,
    outputs: new Map([
      ['decisions', args.output],
      ['transactions.dead-letter', deadLetterPathOf(args.output)],
    ]),
    journal: { topic: journalTopicOf(app), path: join(directory, 'journal') },
    fresh: args.fresh,
  })
  try {
    const first = await firstLink(log, { topic: journalTopicOf(app), partition: 0 })
    if (first?.record.kind === 'genesis') checkSameJob(first.record.job, job)
    else rmSync(stateDirectory, { recursive: true, force: true })
    if (log.epochsGivenUp > 0) io.warn(`${log.epochsGivenUp} epochs are decided again: their output is not on disk`)
    const backend = await openState(stateDirectory, args.memory.backend, io.warn)
    let outcome: ReplayOutcome
    try {
      const keyGroups = keyGroupsFor(args.partitions)
      const { cacheBytesMax } = args.memory
      const store = await StateStore.open({ backend, keyGroups, cacheBytesMax })
      const slot = new Slot({
        plan,
        slot: 0,
        log,
        store,
        models: new Map([[championModel, model]]),
        clock: io.clock,
        syncState: false,
        limits: limitsOf(args),
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
      const heap = new HeapWatch(cacheBytesMax)
      const interrupted = await run(slot, log, io, () => heap.look(store.cacheBytes))
      outcome = { summary: summaryOf(slot.counts), interrupted, phasesMs: slot.phases.totalsMs }
      // A finished replay removes its state: writing it back would be work for nothing.
      await slot.close({ keepState: interrupted })
    } finally {
      await backend.close()
    }
    if (!outcome.interrupted) {
      rmSync(stateDirectory, { recursive: true, force: true })
      await log.finish()
      removeEmptyFolder(directory)
    }
    return outcome
  } finally {
    await log.close()
  }
}

/** @returns true when it was stopped before the end */
async function run(slot: Slot, log: FileLog, io: ReplayIo, afterEpoch: () => void): Promise<boolean> {
  await slot.start()
  let records = 0
  while (!io.signal.aborted) {
    const result = await slot.step()
    afterEpoch()
    if (result.kind === 'finished') return false
    if (result.kind === 'committed') records += result.records
    const { bytesRead, bytesTotal } = log.progress()
    io.progress.update(bytesRead, bytesTotal, records)
  }
  return true
}

function makeFolder(directory: string, output: string): void {
  try {
    makeFolders(directory)
  } catch (error) {
    throw new WeirError('OUTPUT_UNWRITABLE', `cannot write beside ${output}: ${messageOf(error)}`, { cause: error })
  }
}

/** The lock was released: another replay may have moved in, and then the folder is its own. */
function removeEmptyFolder(directory: string): void {
  try {
    rmdirSync(directory)
  } catch (error) {
    const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error
  }
}

/** State is a cache of the journal: what does not open is thrown away, and folded again from the input. */
async function openState(
  directory: string,
  memory: RocksDbOptions,
  warn: (text: string) => void,
): Promise<StateBackend> {
  try {
    return await openRocksDb(directory, memory)
  } catch (error) {
    if (!isWeirError(error, 'BACKEND_FAILED')) throw error
    warn(`the state is damaged and is built again: ${messageOf(error.cause)}`)
    rmSync(directory, { recursive: true, force: true })
    return await openRocksDb(directory, memory)
  }
}

/**
 * Three quarters of the cache may be dirty: keys that come again and again (the published data's take 53 MB) are then written
 * once in `recordsPerWriteBackMax` records, not each time that half of them have been touched. Short epochs are written back
 * as often as long ones, counted in epochs.
 */
function limitsOf({ memory, epochRecords }: ReplayArguments): Partial<SlotLimits> {
  const limits = { dirtyBytesMax: memory.dirtyBytesMax, recordsPerWriteBackMax, epochRecordsMax: epochRecordsDefault }
  if (epochRecords === undefined) return limits
  return { ...limits, epochRecordsMax: epochRecords, recordsPerWriteBackMax: epochRecords * epochsPerWriteBack }
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
    case 'state-damaged':
      return 'the state is damaged: it is built again from the journal'
    case 'replayed':
      return `resumed: ${event.records} records in ${event.epochs} epochs folded again`
    case 'excluded':
      return `record ${event.position} is dead-lettered: ${event.message}`
    case 'model-failed':
      return `epoch ${event.epoch}: the model failed on ${event.rows} rows, whose decisions are degraded: ${event.message}`
    case 'held-back':
      return `${event.rows} rows are under way through other slots: new records wait`
    case 'replaying':
      return `resuming: ${event.epochs} of ${event.ofEpochs} epochs folded again`
    case 'restoring':
    case 'restored':
      return `state comes from the checkpoint of epoch ${event.epoch}`
    case 'checkpoint-unusable':
      return `the checkpoint ${event.name} cannot be used: ${event.message}`
    default:
      return assertNever(event)
  }
}

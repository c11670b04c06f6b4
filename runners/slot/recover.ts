/**
 * From nothing but the log, the journal and the store to a running slot at the committed position; or, for a standby, to a
 * fold that follows the journal (standby.ts).
 *
 * Invariants kept here: I2, the store is gone on from only where the journal has what it reflects; I4, the committer is
 * created (and thereby fences) before the journal is read. What is read is bounded by what the store does not reflect yet:
 * the journal's last record, the one that the store names, and the chain between the two, once.
 */
import {
  assert,
  beginningOfTime,
  defined,
  type EventTimeMs,
  eventTime,
  isWeirError,
  WeirError,
} from '../../kernel/index.js'
import { type LogCommitter, type LogReader, offset, type Position, type TopicPartition } from '../../log/index.js'
import type { StatePosition } from '../../state/index.js'
import { advancedStages, Clocks, clocksOf } from './clocks.js'
import { SinkWriter } from './egress.js'
import { HeldReader } from './held-reader.js'
import { HopWriter } from './hops.js'
import { RangeReaders, rereadEpoch } from './intake.js'
import {
  type AnyEpochRecord,
  closingOf,
  type EpochRecord,
  type EpochRecordV2,
  encodeJournalRecord,
  epochOf,
  type FirstGenesis,
  type GenesisRecord,
  generationOf,
  isMark,
  type JournalRecord,
  journalCorrupt,
  journalTopicOf,
  type PartitionOffset,
  parseJournalRecord,
  planOf,
} from './journal.js'
import { firstOfPlan, type Link, lastLink, linkAt, readChain } from './journal-reader.js'
import { checkLastRead, checkRanges } from './last-read.js'
import type { SlotLimits, SlotOptions } from './options.js'
import type { Phases } from './phases.js'
import { Pipeline } from './pipeline.js'
import { Progress } from './progress.js'
import { resolveRecovery, whyOver } from './recovery.js'
import { type RecoversFrom, restoreNearer } from './restoring.js'
import { positionKey } from './rows.js'
import { advance, countFolded, type Folding, partitionKey, type Running, writeBack } from './running.js'

const progressEveryMs = 5_000

export const journalOf = ({ plan, slot }: SlotOptions): TopicPartition => ({
  topic: journalTopicOf(plan.app),
  partition: slot,
})

/** I4: whoever was here before, or runs a plan of before, fences nobody who came later. @throws WeirError SLOT_FENCED, PLAN_CLOSED */
export async function yieldToNewer(options: SlotOptions, generation: number): Promise<void> {
  const last = await lastLink(options.log, journalOf(options))
  if (last === undefined) return
  refuseIfOver(options, last)
  const newest = generationOf(last.record)
  if (generation > 0 && newest > generation) {
    throw new WeirError('SLOT_FENCED', `slot ${options.slot} has generation ${newest}, this is ${generation}`)
  }
}

/** @throws WeirError PLAN_CLOSED */
function refuseIfOver(options: SlotOptions, { record }: Link): void {
  const over = whyOver({ plan: planOf(record), closed: closingOf(record)?.last === true }, runsOf(options))
  if (over !== undefined) throw new WeirError('PLAN_CLOSED', `slot ${options.slot}: ${over}`)
}

/**
 * @param followed by a standby: it goes on from what that has folded, unless what it must read has been trimmed
 * @throws WeirError PLAN_CLOSED, HISTORY_TRIMMED, JOURNAL_CORRUPT, JOURNAL_WITHOUT_GENESIS, FINGERPRINT_MISMATCH, TOPIC_MISMATCH, …
 */
export async function recover(
  options: SlotOptions,
  limits: SlotLimits,
  phases: Phases,
  from: RecoversFrom,
  followed?: Folding,
): Promise<Running> {
  const committer = await options.log.committer(`weir.${options.plan.app}.slot-${options.slot}`)
  let reader: LogReader | undefined
  try {
    options.crashAt?.('fenced')
    const folding =
      (followed && (await foldedFurther(followed, options, limits))) ??
      (await foldedAnew(options, limits, phases, from, committer))
    reader = await readerOf(options, [...folding.positions.values()])
    options.crashAt?.('recovered')
    return Object.assign(folding, { committer, reader, held: reader instanceof HeldReader ? reader : undefined })
  } catch (error) {
    // Nobody else knows of them yet.
    await reader?.close()
    await committer.close()
    throw error
  }
}

const isTrimmed = (error: unknown): boolean =>
  isWeirError(error, 'HISTORY_TRIMMED') || isWeirError(error, 'OFFSET_OUT_OF_RANGE')

/** @returns undefined when what it would have to read is gone, or cannot be picked up from there: the store may be further */
async function foldedFurther(
  followed: Folding,
  options: SlotOptions,
  limits: SlotLimits,
): Promise<Folding | undefined> {
  if (!followed.resumable) return undefined
  try {
    await foldToEnd(followed, options, limits)
    return followed
  } catch (error) {
    if (isTrimmed(error)) return undefined
    throw error
  }
}

async function foldedAnew(
  options: SlotOptions,
  limits: SlotLimits,
  phases: Phases,
  from: RecoversFrom,
  committer: LogCommitter,
): Promise<Folding> {
  const folded = async (from: RecoversFrom): Promise<Folding> => {
    await options.store.discard()
    const folding = await openFolding(options, limits, phases, from, () => begin(options, committer))
    await foldToEnd(folding, options, limits)
    return folding
  }
  try {
    return await folded(from)
  } catch (error) {
    if (options.checkpoints === undefined || !isTrimmed(error)) throw error
    // Fencing keeps nobody from trimming: the owner of before may have made a last checkpoint while this state was chosen.
    return await folded('anywhere')
  }
}

/**
 * A fold that stands where the store does, or the checkpoint that is nearer. The store has been discarded.
 * @param begin writes the genesis of an empty journal; undefined: there is one
 */
export async function openFolding(
  options: SlotOptions,
  limits: SlotLimits,
  phases: Phases,
  from: RecoversFrom,
  begin?: () => Promise<Link>,
): Promise<Folding> {
  if (options.store.takeDamage()) options.onEvent?.({ kind: 'state-damaged' })
  await restoreNearer(options, from)
  const start = await startOf(options, begin)
  await checkInputs(options, start.positions)
  await checkLastRead(options, start.link.record)
  if (start.discardStore) await beginAnew(options, start)
  return await foldingAt(options, limits, phases, start)
}

async function readerOf({ log, plan }: SlotOptions, from: readonly PartitionOffset[]): Promise<LogReader> {
  const reader = await log.reader(from.map(toPosition))
  return plan.hops.length === 0 ? reader : new HeldReader(log, reader, new Set(plan.hops.map(hop => hop.topic)))
}

/** Where the chain is picked up, and with what. */
interface Start {
  readonly link: Link
  readonly genesis: GenesisRecord
  readonly positions: readonly PartitionOffset[]
  readonly watermarks: readonly EventTimeMs[]
  /** What the store reflects; epochs up to it are not folded again. */
  readonly storeEpoch: number
  readonly discardStore: boolean
}

async function startOf(options: SlotOptions, begin?: () => Promise<Link>): Promise<Start> {
  const { log, store } = options
  const journal = journalOf(options)
  const runs = runsOf(options)
  const first = await firstOfPlan(log, journal, runs.plan)
  const last = await lastLink(log, journal)
  const stored = await linkOf(options, store.reflects, first)
  const decision = resolveRecovery({
    journal: last && {
      lastEpoch: epochOf(last.record),
      fingerprint: last.record.fingerprint,
      plan: planOf(last.record),
      closed: closingOf(last.record)?.last === true,
      firstEpoch: first === undefined ? 0 : epochOf(first.record),
      whole: first?.record.kind === 'genesis',
    },
    emptied: (await log.range(journal)).earliest > 0n,
    store: store.reflects,
    journaledStore: stored && {
      hash: stored.hash,
      plan: planOf(stored.record),
      names: stored.record.kind === 'epoch' && stored.record.v === 1 ? 'what it read' : 'every position',
    },
    ...runs,
    mayBegin: options.genesis !== null && begin !== undefined,
  })
  switch (decision.kind) {
    case 'refuse':
      throw new WeirError(decision.code, decision.reason)
    case 'begin':
      return fromGenesis(await begin!(), options, 0, decision.discardStore)
    case 'rebuild':
      return fromGenesis(first!, options, 0, true)
    case 'continue':
      return decision.readFrom === 'genesis'
        ? fromGenesis(first!, options, decision.fromEpoch, false)
        : fromStore(stored!, options, store.reflects!)
  }
}

/**
 * The record that the store reflects. A store of before journals were trimmed does not say where it lies: it is looked for
 * from the genesis on.
 */
async function linkOf(
  options: SlotOptions,
  store: StatePosition | undefined,
  first: Link | undefined,
): Promise<Link | undefined> {
  if (store === undefined || first === undefined) return undefined
  const journal = journalOf(options)
  if (store.resume !== undefined) return await linkAt(options.log, journal, offset(store.resume.offset))
  if (first.record.kind !== 'genesis') return undefined
  for await (const link of readChain(options.log, journal, first.at)) {
    if (epochOf(link.record) === store.epoch) return link
  }
  return undefined
}

function fromGenesis(link: Link, options: SlotOptions, storeEpoch: number, discardStore: boolean): Start {
  const genesis = link.record as GenesisRecord
  checkPinned(genesis, options)
  const at = genesis.v === 2 ? timeOf(genesis.watermark_ms) : beginningOfTime
  const watermarks = new Array<EventTimeMs>(options.plan.stages).fill(at)
  return { link, genesis, positions: genesis.start, watermarks, storeEpoch, discardStore }
}

function fromStore(link: Link, options: SlotOptions, store: StatePosition): Start {
  const { record } = link
  if (record.kind === 'genesis') return fromGenesis(link, options, epochOf(record), false)
  const { positions, watermark_ms, stages_ms = [watermark_ms] } = record as EpochRecord | EpochRecordV2
  const text = defined(store.resume, 'resume of a store that the journal is picked up from').genesis
  const genesis = parseJournalRecord(Buffer.from(text)) as GenesisRecord
  checkPinned(genesis, options)
  return { link, genesis, positions, watermarks: stages_ms.map(timeOf), storeEpoch: record.epoch, discardStore: false }
}

/** What genesis fixed holds for as long as the journal goes on. @throws WeirError TOPIC_MISMATCH */
function checkPinned(genesis: GenesisRecord, { genesis: brought, plan }: SlotOptions): void {
  const { slots } = plan.placement
  if (genesis.slots !== slots) {
    throw new WeirError(
      'TOPIC_MISMATCH',
      `the journal was begun with ${genesis.slots} slots, and the plan is for ${slots}`,
    )
  }
  const other = genesis.partitions.find(({ count }) => slots > 1 && count !== plan.placement.partitions)
  if (other !== undefined) {
    const what = `${other.topic} has ${other.count} partitions, and in a plan of ${slots} slots each input has ${plan.placement.partitions}`
    throw new WeirError('TOPIC_MISMATCH', what)
  }
  if (brought === null) return
  const pinned = ({
    slots,
    key_groups,
    partitions,
  }: Pick<GenesisRecord, 'slots' | 'key_groups' | 'partitions'>): string =>
    `${slots} slots, ${key_groups} key groups, ${partitions.map(({ topic, count }) => `${topic}: ${count}`).join(', ')}`
  const [was, is] = [pinned(genesis), pinned(brought)]
  if (was !== is) throw new WeirError('TOPIC_MISMATCH', `the journal was begun with ${was}; this is ${is}`)
}

/** Everything that is to be read is still there. @throws WeirError HISTORY_TRIMMED */
async function checkInputs({ log }: SlotOptions, positions: readonly PartitionOffset[]): Promise<void> {
  for (const at of positions) {
    const { earliest } = await log.range(at)
    if (BigInt(at.offset) < earliest) {
      const what = `${at.topic}/${at.partition} begins at ${earliest}, and the state must be built from ${at.offset} on`
      throw new WeirError('HISTORY_TRIMMED', what)
    }
  }
}

/** The store becomes what the plan began with. @throws WeirError CHECKPOINT_STORE_FAILED, CHECKPOINT_CORRUPT, BACKEND_FAILED */
async function beginAnew({ store, seed }: SlotOptions, { genesis, link }: Start): Promise<void> {
  await store.reset()
  if (genesis.v === 1) return
  if (seed === undefined) {
    const what = `the state of plan ${genesis.plan} lies in savepoint '${genesis.from.savepoint}', and no checkpoint store is configured`
    throw new WeirError('CHECKPOINT_STORE_FAILED', what)
  }
  const position = {
    epoch: genesis.epoch,
    journalHash: link.hash,
    fingerprint: genesis.fingerprint,
    resume: { offset: Number(link.at), genesis: encodeJournalRecord(genesis).bytes.toString('utf8') },
  }
  try {
    await seed(genesis, position)
  } finally {
    // Takes up what was restored; removes what was half restored.
    await store.discard()
  }
}

async function begin(options: SlotOptions, committer: LogCommitter): Promise<Link> {
  const { plan, slot } = options
  const { app, slots, key_groups, partitions, start, job } = defined(options.genesis, 'genesis of a new journal')
  // In the order of FORMAT.md, whatever order the runner wrote it in.
  const record: FirstGenesis = {
    v: 1,
    kind: 'genesis',
    app,
    slots,
    slot,
    key_groups,
    partitions,
    start,
    job,
    fingerprint: plan.fingerprint,
  }
  const { bytes, hash } = encodeJournalRecord(record)
  const [at] = await committer.commit([{ ...journalOf(options), records: [{ key: null, value: bytes }] }])
  options.crashAt?.('genesis-written')
  return { record, hash, at: defined(at, 'offset of a journal record'), loggedAtMs: options.clock.nowMs() }
}

async function foldingAt(options: SlotOptions, limits: SlotLimits, phases: Phases, from: Start): Promise<Folding> {
  const { plan, log, store, models } = options
  const { link, positions } = from
  const { record, hash, at } = link
  const clocks = new Clocks(clocksOf(plan, positions), options.clock.nowMs())
  if (record.kind === 'epoch' || record.v === 2) clocks.restore(record.clocks)
  return {
    pipeline: new Pipeline(plan, store, models, limits, phases),
    clocks,
    writers: await Promise.all(
      plan.sinks.map(async sink => new SinkWriter(sink, await log.partitionCount(sink.topic))),
    ),
    hops: plan.hops.map(hop => new HopWriter(hop, options.slot)),
    deadLetterPartitions: await log.partitionCount(options.deadLetters.topic),
    deadLetterBytesMax: (await log.recordBytesMax?.(options.deadLetters.topic)) ?? Number.POSITIVE_INFINITY,
    genesis: from.genesis,
    storeEpoch: from.storeEpoch,
    at,
    generation: generationOf(record) + 1,
    closes: closingOf(record),
    epoch: epochOf(record),
    hash,
    resumable: true,
    counts: countsOf(record),
    watermarks: from.watermarks,
    positions: new Map(positions.map(position => [partitionKey(position), position])),
    reflected: store.reflects?.epoch === epochOf(record) ? { journal: at, positions } : undefined,
    recordsSinceWriteBack: 0,
    epochsSinceWriteBack: 0,
    heartbeatsSinceWriteBack: 0,
  }
}

/** Folds all that the journal has behind where the fold stands. Nobody else writes it: older owners are fenced. */
async function foldToEnd(folding: Folding, options: SlotOptions, limits: SlotLimits): Promise<void> {
  const { log, store } = options
  const readers = new RangeReaders(log)
  const stoodAt = { epoch: folding.epoch, hash: folding.hash }
  const progress = new Progress(options.clock)
  const end = await lastLink(log, journalOf(options))
  // The plan may have been closed between the look at the journal and the fencing.
  if (end !== undefined) refuseIfOver(options, end)
  const ofEpochs = end === undefined ? 0 : epochOf(end.record) - Math.max(folding.storeEpoch, folding.epoch)
  let epochs = 0
  let records = 0
  try {
    for await (const link of readChain(log, journalOf(options), folding.at)) {
      if (epochOf(link.record) <= stoodAt.epoch) {
        if (link.hash === stoodAt.hash) continue
        throw journalCorrupt(`another record of epoch ${stoodAt.epoch} than the one that was folded`)
      }
      const folded = await foldLink(folding, readers, options, link)
      if (folded === undefined) continue
      records += folded
      epochs++
      countFolded(folding, folded)
      if (progress.isDue(progressEveryMs)) {
        options.onEvent?.({ kind: 'replaying', epochs, ofEpochs, leftMs: progress.leftMs(epochs, ofEpochs) })
      }
      if (store.dirtyBytes >= limits.dirtyBytesMax) await writeBack(folding, options)
    }
  } finally {
    await readers.close()
  }
  assert(folding.hash === end?.hash, "the fold ends at the journal's last record")
  if (epochs > 0) options.onEvent?.({ kind: 'replayed', epochs, records })
}

/**
 * Folds one journaled epoch: the same operators, outputs suppressed, scoring skipped.
 * @returns records that it read; undefined when the store has it already
 */
export async function foldLink(
  folding: Folding,
  readers: RangeReaders,
  options: SlotOptions,
  { record, hash, at }: Link,
): Promise<number | undefined> {
  if (record.kind === 'genesis') return undefined
  const isNew = record.epoch > folding.storeEpoch
  const records = isNew ? await replay(folding, readers, options, record) : undefined
  advance(folding, options, record, hash, at)
  folding.counts = countsOf(record)
  folding.generation = record.generation + 1
  return records
}

/** @returns records read */
async function replay(
  folding: Folding,
  readers: RangeReaders,
  options: SlotOptions,
  record: AnyEpochRecord,
): Promise<number> {
  const { plan } = options
  if (record.fingerprint !== plan.fingerprint) {
    const what = `epoch ${record.epoch} was written by topology ${record.fingerprint}, this is ${plan.fingerprint}`
    throw new WeirError('FINGERPRINT_MISMATCH', what)
  }
  const exclusions = new Map(
    record.excluded.map(at => [
      positionKey(at.topic, at.partition, BigInt(at.offset)),
      { code: 'OPERATOR_EXCEPTION', message: '' },
    ]),
  )
  const input = await rereadEpoch(plan, readers, record.inputs, exclusions)
  checkRanges(record, record.inputs, input.ranges)
  if (isMark(record)) return 0
  const watermarks = advancedStages(plan, folding.watermarks, record.clocks)
  await folding.pipeline.run(input.rows, { watermarks, excluded: new Set(exclusions.keys()) }, 'suppressed')
  folding.pipeline.release()
  return input.records + input.hopRecords
}

const runsOf = ({ plan, planNumber = 1, isCloser = false }: SlotOptions) => ({
  fingerprint: plan.fingerprint,
  plan: planNumber,
  isCloser,
})

const countsOf = (record: JournalRecord): Map<string, number> =>
  new Map('counts' in record ? Object.entries(record.counts) : [])

const timeOf = (at: number | null): EventTimeMs => (at === null ? beginningOfTime : eventTime(at))

const toPosition = (at: PartitionOffset): Position => ({
  topic: at.topic,
  partition: at.partition,
  offset: BigInt(at.offset) as Position['offset'],
})

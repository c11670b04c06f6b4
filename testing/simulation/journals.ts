/**
 * The journals of a run, plan by plan, verified by code of their own: each chain, and what must lie between a plan's last
 * epochs and the genesis of the next (docs/decisions/0016).
 */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { MemoryDisk } from '../../log/memory/index.js'
import {
  type EpochRecord,
  type GenesisRecord,
  journalTopicOf,
  type LaterGenesis,
  type PartitionClock,
  planOf,
} from '../../runners/slot/index.js'
import { Difference } from './difference.js'
import { readPartition } from './stored.js'
import { app } from './topology.js'

/** What one slot wrote in one plan. */
export interface SlotJournal {
  readonly plan: number
  readonly genesis: GenesisRecord
  readonly epochs: readonly EpochRecord[]
  /** Of its last record. */
  readonly hash: string
}

/** By plan, by slot. @throws Difference */
export async function readJournals(disk: MemoryDisk): Promise<readonly (readonly SlotJournal[])[]> {
  const plans: SlotJournal[][] = []
  for (const { partition } of disk.topics.partitions(journalTopicOf(app))) {
    for (const journal of await readJournal(disk, partition)) {
      plans[journal.plan - 1] ??= []
      const slots = plans[journal.plan - 1]!
      if (slots.length !== partition) throw new Difference(`plan ${journal.plan} has no slot ${slots.length}`)
      slots.push(journal)
    }
  }
  for (const [i, slots] of plans.entries()) {
    for (const { genesis } of slots) {
      if (genesis.slots !== slots.length)
        throw new Difference(`${slots.length} slots of ${genesis.slots} in plan ${i + 1}`)
    }
    if (i > 0) verifyChange(plans[i - 1]!, slots)
  }
  return plans
}

/** @throws Difference when the chain of a plan is broken, or goes on behind its end */
export async function readJournal(disk: MemoryDisk, slot: number): Promise<readonly SlotJournal[]> {
  const plans: (SlotJournal & { readonly epochs: EpochRecord[]; hash: string })[] = []
  for (const { value, offset } of await readPartition(disk, journalTopicOf(app), slot)) {
    const record = JSON.parse(value!.toString('utf8')) as GenesisRecord | EpochRecord
    const hash = createHash('sha256').update(value!).digest('hex')
    const last = plans.at(-1)
    if (record.kind === 'genesis') {
      const plan = planOf(record)
      if (plan <= (last?.plan ?? 0)) throw new Difference(`slot ${slot}: a genesis of plan ${plan} at ${offset}`)
      plans.push({ plan, genesis: record, epochs: [], hash })
    } else {
      if (last === undefined) throw new Difference(`slot ${slot}: the journal begins with an epoch`)
      verifyEpoch(`slot ${slot}, epoch ${record.epoch}`, record, last)
      last.epochs.push(record)
      last.hash = hash
    }
  }
  return plans
}

function verifyEpoch(what: string, record: EpochRecord, { plan, genesis, epochs, hash }: SlotJournal): void {
  const before = epochs.at(-1)
  const [epoch, generation, watermark] = before
    ? [before.epoch, before.generation, before.watermark_ms]
    : genesis.v === 2
      ? [genesis.epoch, genesis.generation, genesis.watermark_ms]
      : [0, 1, null]
  if (before?.closes?.last) throw new Difference(`${what}: plan ${plan} was closed`)
  if (record.plan !== plan) throw new Difference(`${what} is of plan ${record.plan}, after one of plan ${plan}`)
  if (record.epoch !== epoch + 1 || record.previous !== hash) throw new Difference(`${what}: the journal's chain`)
  if (record.generation < generation) throw new Difference(`${what}: the generation`)
  if (watermark !== null && (record.watermark_ms === null || record.watermark_ms < watermark))
    throw new Difference(`${what}: the watermark goes from ${watermark} back to ${record.watermark_ms}`)
  const clocks = before?.clocks ?? (genesis.v === 2 ? genesis.clocks : [])
  for (const clock of record.clocks) {
    const was = clocks.find(other => isSameClock(other, clock))?.watermark_ms ?? null
    if (was !== null && (clock.watermark_ms === null || clock.watermark_ms < was))
      throw new Difference(`${what}: ${clock.topic}/${clock.partition} goes from ${was} back to ${clock.watermark_ms}`)
  }
  if (!before?.closes) return
  if (record.closes === undefined) throw new Difference(`${what} forgets that the plan ends`)
  if (record.inputs.some(isInput)) throw new Difference(`${what} reads inputs while the plan ends`)
}

/** Not a hop, which is a plan's own. */
const isInput = ({ topic }: { readonly topic: string }): boolean => !topic.startsWith(`weir.${app}.`)

const isSameClock = (a: PartitionClock, b: PartitionClock): boolean =>
  a.topic === b.topic && a.partition === b.partition && a.upstream === b.upstream

/** Every slot of the plan before was closed, and each slot of the next begins where they ended. */
function verifyChange(before: readonly SlotJournal[], after: readonly SlotJournal[]): void {
  const closings = before.map(({ plan, epochs }, slot) => {
    const last = epochs.at(-1)
    if (!last?.closes?.last) throw new Difference(`plan ${plan + 1} has begun before slot ${slot} was closed`)
    const underWay = (last.counts.sequenced ?? 0) - (last.counts.resequenced ?? 0)
    if (underWay !== 0) throw new Difference(`slot ${slot} was closed with ${underWay} rows under way`)
    return last
  })
  const positions = new Map(
    closings.flatMap(last => last.positions.map(at => [`${at.topic}/${at.partition}`, at.offset])),
  )
  const clocks = closings.flatMap(last => last.clocks)
  const watermarks = closings.map(last => last.watermark_ms)
  const watermark_ms = watermarks.includes(null) ? null : Math.min(...watermarks.map(Number))
  const counts = new Map<string, number>()
  for (const last of closings) {
    for (const [name, by] of Object.entries(last.counts)) counts.set(name, (counts.get(name) ?? 0) + by)
  }
  const { from } = after[0]!.genesis as LaterGenesis
  for (const [slot, { plan, genesis }] of after.entries()) {
    const same = (what: string, is: unknown, due: unknown): void => {
      if (isDeepStrictEqual(is, due)) return
      throw new Difference(`plan ${plan}, slot ${slot}: ${what} is ${JSON.stringify(is)}, not ${JSON.stringify(due)}`)
    }
    if (genesis.v !== 2) throw new Difference(`plan ${plan} begins anew`)
    same('the epoch', genesis.epoch, 1 + Math.max(...closings.map(({ epoch }) => epoch)))
    same('the generation', genesis.generation, Math.max(...closings.map(({ generation }) => generation)))
    same('what it follows', genesis.previous, before[slot]?.hash ?? null)
    same('the savepoint', genesis.from, from)
    same('the watermark', genesis.watermark_ms, watermark_ms)
    same('the counts', genesis.counts, slot === 0 ? Object.fromEntries(counts) : {})
    for (const at of genesis.start.filter(isInput))
      same(`the start of ${at.topic}`, at.offset, positions.get(`${at.topic}/${at.partition}`))
    for (const clock of genesis.clocks.filter(isInput))
      same(
        `the clock of ${clock.topic}`,
        clock,
        clocks.find(other => isSameClock(other, clock)),
      )
  }
}

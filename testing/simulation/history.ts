/**
 * What the log says after a run, read back record by record: inputs, outputs, and the journal, whose chain is verified
 * here by code of its own. Every input record lies in exactly one journaled range.
 */
import { crc32 } from '../../kernel/index.js'
import type { MemoryDisk } from '../../log/memory/index.js'
import {
  type EpochRecord,
  type GenesisRecord,
  type InputRange,
  journalTopicOf,
  ownedPartitions,
  planOf,
} from '../../runners/slot/index.js'
import type { Plan } from '../../topology/index.js'
import { Difference } from './difference.js'
import { readJournal, readJournals } from './journals.js'
import { readPartition, readTopic, type Stored } from './stored.js'
import { app } from './topology.js'
import type { World } from './world.js'

/** Input records of an epoch, in its order. */
export interface EpochSlice {
  readonly record: EpochRecord
  readonly inputs: readonly {
    readonly topic: string
    readonly partition: number
    readonly records: readonly Stored[]
  }[]
}

/** What ran from one plan change to the next. */
export interface PlanHistory {
  readonly plan: Plan
  /** By slot. */
  readonly slots: readonly (readonly EpochSlice[])[]
  /** By slot: totals at its end. */
  readonly counts: readonly Readonly<Record<string, number>>[]
}

/** @throws Difference when a chain is broken, or when a record lies in no range or in two */
export async function readHistory({ disk, plans }: World): Promise<readonly PlanHistory[]> {
  const journals = await readJournals(disk)
  if (journals.length !== plans.length)
    throw new Difference(`${journals.length} plans of ${plans.length} are journaled`)
  const inputs = new Map<string, { readonly records: readonly Stored[]; next: number }>()
  const histories: PlanHistory[] = []
  for (const [i, journal] of journals.entries()) {
    const plan = plans[i]!
    if (journal.length !== plan.placement.slots) throw new Difference(`plan ${i + 1} has ${journal.length} journals`)
    for (const { topic } of plan.sources) {
      if (inputs.has(`${topic}/0`)) continue
      for (const [partition, records] of (await readTopic(disk, topic)).entries()) {
        inputs.set(`${topic}/${partition}`, { records, next: 0 })
      }
    }
    const slots = journal.map(({ epochs }, slot) => {
      const owned = ownedPartitions(plan, slot, of => disk.topics.partitions(of).length)
      const names = new Set(owned.map(at => `${at.topic}/${at.partition}`))
      const inEpochOrder = (a: At, b: At): number => rankIn(plan, a) - rankIn(plan, b) || a.partition - b.partition
      return epochs.map(record => ({
        record,
        inputs: [...record.inputs].sort(inEpochOrder).map(range => {
          const name = `${range.topic}/${range.partition}`
          const of = names.has(name) ? inputs.get(name) : undefined
          if (of === undefined)
            throw new Difference(`plan ${i + 1}: epoch ${record.epoch} of slot ${slot} reads ${name}`)
          return { topic: range.topic, partition: range.partition, records: take(of, range, record.epoch) }
        }),
      }))
    })
    histories.push({ plan, slots, counts: journal.map(({ genesis, epochs }) => countsOf(epochs.at(-1) ?? genesis)) })
  }
  for (const [name, { records, next }] of inputs) {
    if (next < records.length) throw new Difference(`no epoch has ${name}/${records[next]!.offset}`)
  }
  return histories
}

const rankIn = (plan: Plan, at: At): number => plan.sources.findIndex(source => source.topic === at.topic)

const countsOf = (record: GenesisRecord | EpochRecord): Readonly<Record<string, number>> =>
  'counts' in record ? record.counts : {}

/** Records of a range, which nobody has read before and before which nothing was left out. */
function take(of: { readonly records: readonly Stored[]; next: number }, range: InputRange, epoch: number): Stored[] {
  const records: Stored[] = []
  for (let at = of.records[of.next]; at !== undefined && at.offset < Number(range.to); at = of.records[of.next]) {
    if (at.offset < Number(range.from))
      throw new Difference(`no epoch has ${range.topic}/${range.partition}/${at.offset}`)
    records.push(at)
    of.next++
  }
  if (checksum(records) !== range.crc32) throw new Difference(`epoch ${epoch}: CRC of ${range.topic}`)
  return records
}

/** Where the journal has moved the clock of expiry, ms; -Infinity while it has not. */
export async function expiryClockOf(disk: MemoryDisk, slot: number): Promise<number> {
  const epochs = (await readJournal(disk, slot)).flatMap(plan => plan.epochs)
  return Math.max(Number.NEGATIVE_INFINITY, ...epochs.map(epoch => epoch.expiry_ms ?? Number.NEGATIVE_INFINITY))
}

/** Whether a state that reflects the record at this offset of the journal can be gone on from: nothing it needs is trimmed. */
export async function isReachable(
  disk: MemoryDisk,
  { slot, plan }: { readonly slot: number; readonly plan: number },
  journalOffset: number,
): Promise<boolean> {
  const journal = { topic: journalTopicOf(app), partition: slot }
  if (disk.topics.range(journal).earliest > BigInt(journalOffset)) return false
  const [stored] = await readPartition(disk, journal.topic, slot, journalOffset)
  if (stored?.offset !== journalOffset) return false
  const record = JSON.parse(stored.value!.toString('utf8')) as GenesisRecord | EpochRecord
  if (planOf(record) !== plan) return false
  const positions = record.kind === 'genesis' ? record.start : record.positions
  return positions.every(at => disk.topics.range(at).earliest <= BigInt(at.offset))
}

type At = { readonly topic: string; readonly partition: number }
/** Over the values back to back, then over their lengths (runners/slot/FORMAT.md). */
function checksum(records: readonly Stored[]): number {
  const lengths = Buffer.alloc(4 * records.length)
  records.forEach(({ value }, i) => {
    lengths.writeInt32LE(value === null ? -1 : value.length, 4 * i)
  })
  return crc32(Buffer.concat([...records.map(({ value }) => value ?? Buffer.alloc(0)), lengths]))
}

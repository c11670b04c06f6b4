/** Holds what the log and the state are after a run against what they must be. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { ByteReader } from '../../kernel/index.js'
import type { MemoryDisk as StateDisk } from '../../state/index.js'
import { Difference } from './difference.js'
import { type PlanHistory, readHistory } from './history.js'
import { type ExpectedDecision, type ExpectedOutput, type Prediction, predict } from './naive-model.js'
import { readTopic, type Stored } from './stored.js'
import { fakeImpact, fakeScore, reviewScore, type SimDecision, topics } from './topology.js'
import type { World } from './world.js'

/** In the order of the plan's sinks, which the journal's hash follows. */
const sinks = [topics.decisions, topics.alerts, topics.legs, topics.large]

/** @throws Difference */
export async function verifyOutputs(world: World): Promise<void> {
  const { disk } = world
  const [{ plan, slots }] = (await readHistory(world)) as [PlanHistory]
  const history = slots[0]!
  const partitionsOf = (topic: string): number => disk.topics.partitions(topic).length
  const prediction = predict(history, partitionsOf)
  const actual = new Map<string, Stored[][]>()
  for (const topic of [...sinks, topics.deadLetters]) actual.set(topic, await readTopic(disk, topic))
  const next = new Map<string, number>()
  const bytes = new Map<string, Buffer[]>()
  let degraded = 0
  for (const expected of prediction.outputs) {
    const at = `${expected.topic}/${expected.partition}`
    const index = next.get(at) ?? 0
    next.set(at, index + 1)
    const stored = actual.get(expected.topic)![expected.partition]![index]
    if (stored?.value == null) throw different(expected, index, 'missing')
    degraded += compareOutput(expected, index, stored.value, plan.featureNames)
    const ofEpoch = `${expected.epoch} ${at}`
    const values = bytes.get(ofEpoch)
    if (values === undefined) bytes.set(ofEpoch, [stored.value])
    else values.push(stored.value)
  }
  for (const [topic, partitions] of actual) {
    partitions.forEach((records, partition) => {
      const rest = records.slice(next.get(`${topic}/${partition}`) ?? 0)
      if (rest.length > 0) throw new Difference(`${topic}/${partition} has ${rest.length} records more than it should`)
    })
  }
  history.forEach(({ record }, i) => {
    const hash = hashOf(record.epoch, partitionsOf, bytes, prediction.letterLines[i]!)
    if (hash !== record.outputs_sha256) throw new Difference(`epoch ${record.epoch}: hash of the outputs`)
  })
  verifyCounts(history[history.length - 1]?.record.counts ?? {}, prediction, degraded)
}

function hashOf(
  epoch: number,
  partitionsOf: (topic: string) => number,
  bytes: ReadonlyMap<string, Buffer[]>,
  letters: string,
): string {
  const hash = createHash('sha256')
  for (const topic of sinks) {
    for (let partition = 0; partition < partitionsOf(topic); partition++) {
      for (const value of bytes.get(`${epoch} ${topic}/${partition}`) ?? []) hash.update(value).update('\n')
    }
  }
  return hash.update(letters).digest('hex')
}

/** @returns 1 for a decision without a score */
function compareOutput(expected: ExpectedOutput, index: number, bytes: Buffer, names: readonly string[]): number {
  const value = JSON.parse(bytes.toString('utf8')) as unknown
  if (expected.topic !== topics.decisions) {
    if (!isDeepStrictEqual(value, expected.value)) throw different(expected, index, JSON.stringify(value))
    return 0
  }
  const decision = value as SimDecision
  const wanted = decisionOf(expected.value as ExpectedDecision, decision, names)
  if (!isDeepStrictEqual(decision, wanted)) {
    throw new Difference(
      `decision ${index} of partition ${expected.partition}, epoch ${expected.epoch}:\n  is        ${JSON.stringify(decision)}\n  should be ${JSON.stringify(wanted)}`,
    )
  }
  return decision.degraded ? 1 : 0
}

/** The model may have failed for it: then it is degraded, and that is all. */
export function decisionOf(
  { payment, source, expected }: ExpectedDecision,
  actual: SimDecision,
  names: readonly string[],
): SimDecision {
  const values = names.map(name => expected.features.get(name) ?? Number.NaN)
  const score = actual.degraded ? null : fakeScore(values)
  const explained = score !== null && score >= reviewScore && actual.impact !== null
  return {
    transaction_id: payment.transaction_id,
    customer_id: payment.customer_id,
    source,
    features: names.flatMap((name, i) => (Number.isNaN(values[i]!) ? [] : [[name, values[i]!] as const])),
    score,
    degraded: actual.degraded,
    late: expected.late,
    history_incomplete: expected.historyIncomplete,
    impact: explained ? fakeImpact(values[0]!) : null,
  }
}

function different(expected: ExpectedOutput, index: number, actual: string): Difference {
  const { topic, partition, epoch, value } = expected
  const place = `record ${index} of ${topic}/${partition}, epoch ${epoch}`
  return new Difference(`${place}:\n  is        ${actual}\n  should be ${JSON.stringify(value)}`)
}

function verifyCounts(
  counts: Readonly<Record<string, number>>,
  { counts: expected }: Prediction,
  degraded: number,
): void {
  for (const name of ['records', 'blank', 'dead_letters', 'duplicates', 'conflicts', 'late', ...sinks]) {
    if ((counts[name] ?? 0) !== (expected.get(name) ?? 0)) {
      throw new Difference(`${name} is counted ${counts[name] ?? 0} times, and should be ${expected.get(name) ?? 0}`)
    }
  }
  if ((counts.scoring_failed ?? 0) !== degraded) {
    throw new Difference(
      `scoring failed ${counts.scoring_failed ?? 0} times by the counter, ${degraded} by the decisions`,
    )
  }
  verifyLabelCounts(counts, expected.get('labels') ?? 0)
}

/** Each label has one fate; the unmatched are those that never waited, and those that waited in vain. */
function verifyLabelCounts(counts: Readonly<Record<string, number>>, labels: number): void {
  const fates = ['joined', 'early', 'early_full', 'event_full', 'without_effect']
  const fated = fates.reduce((sum, fate) => sum + (counts[`labels_${fate}`] ?? 0), 0)
  const unmatched = counts.labels_unmatched ?? 0
  if (fated > labels || fated + unmatched < labels) {
    throw new Difference(`${labels} labels, of which ${fated} have a fate and ${unmatched} are unmatched`)
  }
}

/** First bytes of storage keys (state/FORMAT.md): the expiry index only finds, and may lie behind. */
const expirySpace = 0x13

/** @throws Difference naming the first entry that differs */
export async function verifyState(actual: StateDisk, expected: StateDisk): Promise<void> {
  const [found, wanted] = [await dump(actual), await dump(expected)]
  for (const key of new Set([...found.keys(), ...wanted.keys()])) {
    if (found.get(key) === wanted.get(key) || mayHaveNoParts(key)) continue
    const name = Buffer.from(key, 'hex').toString('latin1')
    throw new Difference(
      `state entry ${JSON.stringify(name)} is ${found.get(key) ?? 'absent'}, rebuilt it is ${wanted.get(key) ?? 'absent'}`,
    )
  }
}

/** A map's root says that there may be entries: it stays until all of them have been looked at (state/FORMAT.md), which
 * depends on what was in memory. The entries themselves are compared. */
const rootsOfMaps = ['\x04held\0', '\x09terminals\0'].map(end => Buffer.from(end).toString('hex'))
const mayHaveNoParts = (key: string): boolean => rootsOfMaps.some(end => key.endsWith(end))

async function dump(disk: StateDisk): Promise<Map<string, string>> {
  const backend = disk.open()
  const entries = await backend.range({ gte: Buffer.of(0), lt: Buffer.of(expirySpace), limit: Number.MAX_SAFE_INTEGER })
  await backend.close()
  return new Map(
    entries
      .filter(({ key }) => !key.subarray(0, turns.length).equals(turns))
      .map(({ key, value }) => [
        key.toString('hex'),
        (key.equals(position) ? unchained(value) : value).toString('hex'),
      ]),
  )
}

const position = Buffer.from('\x10position')
const turns = Buffer.from('\x10turn')

/** Its last fields say by which write-backs the content came about, and how many: of all of the state that alone may differ. */
function unchained(value: Buffer): Buffer {
  const from = new ByteReader(value)
  from.varint()
  from.string()
  from.string()
  from.varint()
  from.f64()
  if (from.u8() === 1) {
    from.varint()
    from.string()
  }
  return value.subarray(0, value.length - from.remaining)
}

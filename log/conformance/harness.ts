/**
 * What an implementation of the log port hands to the conformance suite, and the helpers that the tests share.
 *
 * The suite assumes nothing beyond the port: offsets may have gaps, a poll may return less than it could, and what is
 * committed may take a moment to show. So tests wait with `until` or `read`, which are bounded, and compare records.
 */
import assert from 'node:assert/strict'
import { isWeirError, millis } from '../../kernel/index.js'
import {
  type Append,
  type AppendRecord,
  type Log,
  type LogProducer,
  type LogReader,
  type LogTrimmer,
  offset,
  type PollLimits,
  type Position,
  type RecordBatch,
} from '../port.js'

/** What an implementation may lack; the reason is printed beside each test that is skipped for it. */
export type LogFeature =
  | 'keys'
  | 'nulls'
  | 'headers'
  | 'timestamps'
  | 'encodedRecords'
  | 'largeRecords'
  | 'transactions'
  | 'openTransaction'
  | 'indefiniteCommit'
  | 'fencing'
  | 'waiting'
  | 'growth'
  | 'reopen'
  | 'trim'
  | 'producer'
  | 'createTopic'

export interface OpenTransaction {
  end(how: 'commit' | 'abort'): Promise<void>
}

export interface LogUnderTest {
  readonly log: Log
  /** What it lacks, with the reason. */
  readonly lacks?: Partial<Record<LogFeature, string>>
  /** Opens the same log as after a crash; the log before must not be used again. */
  reopen(): Promise<Log>
  /** Puts records into the log; without it, a committer does. */
  write?(appends: readonly Append[]): Promise<void>
  /** Begins a transaction of a new committer `id`, hands it the records and leaves it undecided. */
  openTransaction?(id: string, appends: readonly Append[]): Promise<OpenTransaction>
  /** Lets a commit of a new committer `id` fail with an unknown outcome; its error is thrown by the commit. */
  indefiniteCommit?(
    id: string,
    appends: readonly Append[],
  ): Promise<{ commit(): Promise<unknown>; again(): Promise<unknown> }>
  readonly producer?: LogProducer
  readonly trimmer?: LogTrimmer
  dispose(): Promise<void>
}

/** A record as the tests compare it. */
export interface Read {
  readonly partition: number
  readonly offset: bigint
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [string, string])[]
}

export const record = (key: string | null, value: string | null): AppendRecord => ({
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
})

/** One append of records whose keys and values are `name-0`, `name-1`, … */
export function numbered(topic: string, partition: number, name: string, count: number): Append {
  const records = Array.from({ length: count }, (_, i) => record(`${name}-${i}`, `${name}-${i}`))
  return { topic, partition, records }
}

export const limits = (changes: Partial<PollLimits> = {}): PollLimits => ({
  recordsMax: 1_000,
  bytesMax: 1 << 20,
  waitMsMax: millis(0),
  ...changes,
})

export function flatten(batches: readonly RecordBatch[]): Read[] {
  const records: Read[] = []
  for (const batch of batches) {
    for (let i = 0; i < batch.count; i++) {
      const text = (start: Int32Array, end: Int32Array): string | null =>
        start[i]! < 0 ? null : batch.bytes.toString('utf8', start[i]!, end[i]!)
      records.push({
        partition: batch.partition,
        offset: batch.baseOffset + BigInt(batch.offsetDelta[i]!),
        key: text(batch.keyStart, batch.keyEnd),
        value: text(batch.valueStart, batch.valueEnd),
        headers: (batch.headersOf?.(i) ?? []).map(({ name, value }) => [name, Buffer.from(value).toString()] as const),
      })
    }
  }
  return records
}

export const valuesOf = (records: readonly Read[]): (string | null)[] => records.map(read => read.value)

/** How long a test waits for what must happen. Nothing waits for what must not. */
const waitMsMax = 20_000

/** Calls `probe` until it returns something; fails after a bound. */
export async function until<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const giveUpAt = performance.now() + waitMsMax
  for (;;) {
    const found = await probe()
    if (found !== undefined) return found
    assert.ok(performance.now() < giveUpAt, `${what} did not happen within ${waitMsMax} ms`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** Polls until `count` records have come, and no further. */
export async function read(reader: LogReader, count: number, changes: Partial<PollLimits> = {}): Promise<Read[]> {
  const records: Read[] = []
  await until(`reading ${count} records`, async () => {
    if (records.length >= count) return records
    const recordsMax = Math.min(changes.recordsMax ?? 1_000, count - records.length)
    records.push(...flatten(await reader.poll(limits({ ...changes, recordsMax }))))
    return records.length >= count ? records : undefined
  })
  return records
}

/** Polls until something comes. */
export function pollSome(reader: LogReader, changes: Partial<PollLimits> = {}): Promise<readonly RecordBatch[]> {
  return until('a record', async () => {
    const batches = await reader.poll(limits(changes))
    return batches.length > 0 ? batches : undefined
  })
}

/** Positions at the beginning of every partition of the topic. */
export async function beginning(log: Log, topic: string): Promise<Position[]> {
  const positions: Position[] = []
  for (let partition = 0; partition < (await log.partitionCount(topic)); partition++) {
    positions.push({ topic, partition, offset: (await log.range({ topic, partition })).earliest })
  }
  return positions
}

export async function readerOf(log: Log, topic: string): Promise<LogReader> {
  return log.reader(await beginning(log, topic))
}

/** Everything that is readable in the topic now. */
export async function readAll(log: Log, topic: string): Promise<Read[]> {
  const from = await beginning(log, topic)
  const ends = await Promise.all(from.map(async at => (await log.range(at)).latest))
  const reader = await log.reader(from)
  try {
    const records: Read[] = []
    await until(`reading ${topic} to its end`, async () => {
      records.push(...flatten(await reader.poll(limits())))
      return reader.positions().every(({ partition, offset: at }) => at >= ends[partition]!) || undefined
    })
    return records
  } finally {
    await reader.close()
  }
}

/** The records of each partition, in the order given. */
export function byPartition(records: readonly Read[]): Map<number, Read[]> {
  const groups = new Map<number, Read[]>()
  for (const record of records) {
    const group = groups.get(record.partition)
    if (group === undefined) groups.set(record.partition, [record])
    else group.push(record)
  }
  return groups
}

/** Offsets increase strictly within each partition. */
export function assertIncreasing(records: readonly Read[]): void {
  for (const [partition, group] of byPartition(records)) {
    for (let i = 1; i < group.length; i++) {
      assert.ok(
        group[i]!.offset > group[i - 1]!.offset,
        `partition ${partition}: ${group[i]!.offset} after ${group[i - 1]!.offset}`,
      )
    }
  }
}

export const at = (topic: string, partition: number, position: bigint | number): Position => ({
  topic,
  partition,
  offset: offset(position),
})

export async function rejectsWith(
  code: Parameters<typeof isWeirError>[1],
  work: () => Promise<unknown>,
): Promise<void> {
  await assert.rejects(work, error => {
    assert.ok(isWeirError(error, code), `${code} expected, not ${error}`)
    return true
  })
}

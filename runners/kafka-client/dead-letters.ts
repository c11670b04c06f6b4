/**
 * The dead letters of a deployment: reading them, and sending them again to the topic that they came from.
 *
 * Invariant: a dead letter is sent again once, however often, and by however many, that is asked for. The copy and its mark in
 * `weir.<app>.replays` are one transaction, so one is never there without the other; the marks are read only after every
 * older replay was fenced, so none can be written behind the reader's back. `again` does without that, on request.
 */
import { assert, isWeirError, messageOf, millis, WeirError } from '../../kernel/index.js'
import type { Append, AppendRecord, Header, LogCommitter, Position, RecordBatch } from '../../log/index.js'
import { deadLettersTopic, leftOutHeader, replaysTopicOf } from '../topics/index.js'
import type { KafkaClient } from './open.js'
import { partitionOf, positionsAt } from './partitions.js'

export interface DeadLetter {
  readonly partition: number
  readonly offset: bigint
  /** When it was buried, ms since the epoch. */
  readonly atMs: number
  readonly code: string
  readonly message: string
  /** Where it came from: the record as produced. */
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: string }
  /** As received. Key and value are valid until the next dead letter is asked for. */
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Key and value were not kept: null says nothing of them. */
  readonly leftOut: boolean
  /** It was sent again already. */
  readonly replayed: boolean
}

export interface ReplaySummary {
  readonly selected: number
  readonly sent: number
  /** Selected, and not sent because an earlier replay did it. */
  readonly already: number
  /** Selected, and not sent because they do not say that they came from a partition of `transactions` or `labels`. */
  readonly not_ours: number
  /** Selected, and not sent because their key and value were left out. */
  readonly left_out: number
}

/** Header of what was sent again: `transactions.dead-letter/PARTITION/OFFSET`. */
export const replayedFrom = 'weir.replayed.from'

const limits = { recordsMax: 500, bytesMax: 4 << 20, waitMsMax: millis(1_000) }
/** What may be sent again: the topics that slots read from others. */
const destinations: ReadonlySet<string> = new Set(['transactions', 'labels'])

/** Headers that no slot has written may say anything. */
const isOurs = ({ source: { topic, partition } }: DeadLetter): boolean =>
  destinations.has(topic) && Number.isSafeInteger(partition) && partition >= 0

/** Every dead letter that there is now, by partition and offset. @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE */
export async function* deadLetters(client: KafkaClient, signal: AbortSignal): AsyncGenerator<DeadLetter> {
  const marks = await marksOf(client)
  for await (const batch of snapshot(client, deadLettersTopic, signal)) {
    for (let i = 0; i < batch.count; i++) yield letterOf(batch, i, marks)
  }
}

/**
 * Sends the selected dead letters again: key and value byte for byte, to the partition of the key (without one to that which
 * it came from), with `weir.replayed.from`.
 * @param options.again also those that were sent again before
 * @param options.dryRun nothing is sent, and no other replay fenced; `sent` counts what would be
 * @throws WeirError INTERRUPTED where the end of it is not known: the same command goes on from there
 */
export async function replayDeadLetters(
  client: KafkaClient,
  selects: (letter: DeadLetter) => boolean,
  options: { readonly again: boolean; readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<ReplaySummary> {
  const { again, dryRun, signal } = options
  const partitions = new Map<string, number>()
  for (const topic of destinations) partitions.set(topic, await client.log.partitionCount(topic))
  await client.log.partitionCount(replaysTopicOf(client.app))
  const counts = { selected: 0, sent: 0, already: 0, not_ours: 0, left_out: 0 }
  const committer = dryRun ? undefined : await client.log.committer(`weir.${client.app}.deadletter`)
  const run = new ReplayRun(client, partitions)
  try {
    for await (const letter of deadLetters(client, signal)) {
      if (!selects(letter)) continue
      counts.selected++
      if (!isOurs(letter)) counts.not_ours++
      else if (letter.leftOut) counts.left_out++
      else if (letter.replayed && !again) counts.already++
      else {
        run.add(letter)
        if (run.count >= limits.recordsMax || run.bytes >= limits.bytesMax) counts.sent += await run.commit(committer)
      }
    }
    signal.throwIfAborted()
    counts.sent += await run.commit(committer)
    return counts
  } catch (error) {
    if (!signal.aborted && !isWeirError(error, 'COMMIT_INDEFINITE') && !isWeirError(error, 'SLOT_FENCED')) throw error
    const why = signal.aborted ? 'stopped' : messageOf(error)
    throw new WeirError('INTERRUPTED', `${counts.sent} were sent again, then: ${why}`, { cause: error })
  } finally {
    await committer?.close()
  }
}

/** What the next transaction sends again. */
class ReplayRun {
  readonly #client: KafkaClient
  readonly #partitions: ReadonlyMap<string, number>
  readonly #copies = new Map<string, { topic: string; partition: number; records: AppendRecord[] }>()
  #marks: AppendRecord[] = []
  bytes = 0

  constructor(client: KafkaClient, partitions: ReadonlyMap<string, number>) {
    this.#client = client
    this.#partitions = partitions
  }

  get count(): number {
    return this.#marks.length
  }

  add(letter: DeadLetter): void {
    const { topic } = letter.source
    const count = this.#partitions.get(topic)
    assert(count !== undefined, `nobody sends to ${topic}`)
    const key = letter.key === null ? null : Buffer.from(letter.key)
    const value = letter.value === null ? null : Buffer.from(letter.value)
    const partition = key === null ? letter.source.partition % count : partitionOf(key, count)
    const headers = [{ name: replayedFrom, value: Buffer.from(placeOf(letter)) }]
    const name = `${topic}/${partition}`
    const copies = this.#copies.get(name) ?? { topic, partition, records: [] }
    copies.records.push({ key, value, headers })
    this.#copies.set(name, copies)
    const at = new Date(this.#client.clock.nowMs()).toISOString()
    this.#marks.push({
      key: Buffer.from(markOf(letter)),
      value: Buffer.from(JSON.stringify({ v: 1, replayed_at: at, topic, partition })),
    })
    this.bytes += (key?.length ?? 0) + (value?.length ?? 0)
  }

  /** Begins the next run. @param committer undefined: nothing is sent @returns how many it sent */
  async commit(committer: LogCommitter | undefined): Promise<number> {
    const { count } = this
    if (count === 0) return 0
    const marks: Append = { topic: replaysTopicOf(this.#client.app), partition: 0, records: this.#marks }
    await committer?.commit([...this.#copies.values(), marks])
    this.#copies.clear()
    this.#marks = []
    this.bytes = 0
    return count
  }
}

export const placeOf = ({ partition, offset }: { readonly partition: number; readonly offset: bigint }): string =>
  `${deadLettersTopic}/${partition}/${offset}`

/** With the source, so that a mark means nothing where the topic was deleted and made again. */
const markOf = (letter: Pick<DeadLetter, 'partition' | 'offset' | 'source'>): string =>
  `${placeOf(letter)} ${letter.source.topic}/${letter.source.partition}/${letter.source.offset}`

async function marksOf(client: KafkaClient): Promise<ReadonlySet<string>> {
  const marks = new Set<string>()
  for await (const { bytes, count, keyStart, keyEnd } of snapshot(client, replaysTopicOf(client.app))) {
    for (let i = 0; i < count; i++) marks.add(bytes.toString('utf8', keyStart[i], keyEnd[i]))
  }
  return marks
}

/** What a topic holds as of the call. */
async function* snapshot({ log }: KafkaClient, topic: string, signal?: AbortSignal): AsyncGenerator<RecordBatch> {
  const ends = await positionsAt(log, topic, 'latest')
  const reader = await log.reader(await positionsAt(log, topic, 'earliest'))
  const endOf = ({ partition }: Pick<Position, 'partition'>): bigint => ends[partition]!.offset
  try {
    while (signal?.aborted !== true && reader.positions().some(at => at.offset < endOf(at))) {
      for (const batch of await reader.poll(limits)) {
        if (batch.baseOffset < endOf(batch)) yield batch
      }
    }
  } finally {
    await reader.close()
  }
}

function letterOf(batch: RecordBatch, i: number, marks: ReadonlySet<string>): DeadLetter {
  const { bytes, keyStart, keyEnd, valueStart, valueEnd } = batch
  const headers = batch.headersOf?.(i) ?? []
  const letter = {
    partition: batch.partition,
    offset: batch.baseOffset + BigInt(batch.offsetDelta[i]!),
    atMs: batch.timestampMs?.[i] ?? 0,
    code: textIn(headers, 'weir.error.code'),
    message: textIn(headers, 'weir.error.message'),
    source: {
      topic: textIn(headers, 'weir.source.topic'),
      partition: Number(textIn(headers, 'weir.source.partition')),
      offset: textIn(headers, 'weir.source.offset'),
    },
    leftOut: textIn(headers, leftOutHeader) === 'true',
    key: keyStart[i]! < 0 ? null : bytes.subarray(keyStart[i], keyEnd[i]),
    value: valueStart[i]! < 0 ? null : bytes.subarray(valueStart[i], valueEnd[i]),
  }
  return { ...letter, replayed: marks.has(markOf(letter)) }
}

/** Empty where it is not there. */
const textIn = (headers: readonly Header[], name: string): string =>
  Buffer.from(headers.find(header => header.name === name)?.value ?? []).toString('utf8')

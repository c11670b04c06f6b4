/** Follows `decisions` on Kafka: committed ones only, each partition in its order. */
import { decisionLines } from '../../fraud/index.js'
import { isWeirError, millis, WeirError } from '../../kernel/index.js'
import type { RecordBatch } from '../../log/index.js'
import type { KafkaClient } from './open.js'
import { positionsAt } from './partitions.js'

export interface FollowTopicOptions {
  /** `end`: what is committed from now on. */
  readonly from: 'beginning' | 'end'
  readonly signal: AbortSignal
  /** A line for people: a record that is no decision. */
  readonly report: (line: string) => void
}

const topic = 'decisions'
const limits = { recordsMax: 1_000, bytesMax: 4 << 20, waitMsMax: millis(1_000) }

/**
 * Each a line of JSON without its end; until the signal is aborted.
 * @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE, OFFSET_OUT_OF_RANGE
 */
export async function* followDecisions({ log }: KafkaClient, options: FollowTopicOptions): AsyncGenerator<Buffer> {
  const { from, signal, report } = options
  const reader = await log.reader(await positionsAt(log, topic, from === 'beginning' ? 'earliest' : 'latest'))
  const stop = (): void => void reader.close()
  signal.addEventListener('abort', stop, { once: true })
  const lineOf = decisionLines()
  try {
    while (!signal.aborted) {
      for (const batch of await reader.poll(limits)) yield* linesOf(batch, lineOf, report)
    }
  } catch (error) {
    // closed while it waited
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', stop)
    await reader.close()
  }
}

function* linesOf(
  batch: RecordBatch,
  lineOf: (value: Buffer) => Buffer,
  report: (line: string) => void,
): Generator<Buffer> {
  for (let i = 0; i < batch.count; i++) {
    const start = batch.valueStart[i]!
    try {
      if (start < 0) throw new WeirError('MALFORMED_RECORD', 'the value is null')
      yield lineOf(batch.bytes.subarray(start, batch.valueEnd[i]))
    } catch (error) {
      if (!isWeirError(error)) throw error
      report(`${topic}/${batch.partition}/${batch.baseOffset + BigInt(batch.offsetDelta[i]!)}: ${error.message}`)
    }
  }
}

/** Follows `decisions` on Kafka: committed ones only, each partition in its order. */
import { decisionLines } from '../../fraud/index.js'
import { isWeirError, millis, WeirError } from '../../kernel/index.js'
import type { LogReader, RecordBatch } from '../../log/index.js'
import { WriterSchemas } from '../../schemas/registry/index.js'
import { readerWithSchemas } from '../schemas/index.js'
import type { KafkaClient } from './open.js'
import { positionsAt } from './partitions.js'

export interface FollowTopicOptions {
  /** `end`: what is committed from now on. */
  readonly from: 'beginning' | 'end'
  readonly signal: AbortSignal
  /** A line for people: a record that is no decision, a registry that does not answer. */
  readonly report: (line: string) => void
}

const topic = 'decisions'
const limits = { recordsMax: 1_000, bytesMax: 4 << 20, waitMsMax: millis(1_000) }

/**
 * Each a line of JSON without its end; until the signal is aborted.
 * @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE, OFFSET_OUT_OF_RANGE
 */
export async function* followDecisions(client: KafkaClient, options: FollowTopicOptions): AsyncGenerator<Buffer> {
  const { from, signal, report } = options
  const { log, registry, clock } = client
  const start = await positionsAt(log, topic, from === 'beginning' ? 'earliest' : 'latest')
  const schemas = registry && new WriterSchemas(registry, clock)
  const plain = await log.reader(start)
  const reader: LogReader =
    schemas === undefined
      ? plain
      : readerWithSchemas(plain, {
          schemas,
          clock,
          onUnreachable: why => report(why ?? 'the schema registry answers again'),
        })
  const stop = (): void => void reader.close()
  signal.addEventListener('abort', stop, { once: true })
  const lineOf = decisionLines(schemas)
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
      yield lineOf(batch.bytes.subarray(start, batch.valueEnd[i]!))
    } catch (error) {
      if (!isWeirError(error) || error.code === 'USAGE') throw error
      report(`${topic}/${batch.partition}/${batch.baseOffset + BigInt(batch.offsetDelta[i]!)}: ${error.message}`)
    }
  }
}

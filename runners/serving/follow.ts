/**
 * Follows a topic, value by value, for as long as somebody reads: each partition in its order, several as they come.
 *
 * Invariants: 1. whoever reads slowly holds positions and one poll (I6), never a backlog; 2. an abort ends the iteration
 * and closes the reader, also while it waits for records.
 */
import { isWeirError, millis } from '../../kernel/index.js'
import { type Log, type LogReader, offset, type RecordBatch } from '../../log/index.js'

const pollLimits = { recordsMax: 1_024, bytesMax: 1 << 20, waitMsMax: millis(30_000) }

export interface Followed {
  readonly topic: string
  readonly partitions: number
}

/**
 * Where it begins is fixed at the call, not at the first read.
 * @throws WeirError OFFSET_OUT_OF_RANGE while it is iterated, when the log has been trimmed past the position
 */
export function followTopic(
  log: Log,
  { topic, partitions }: Followed,
  from: 'beginning' | 'end',
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
  const ranges = Promise.all(places.map(at => log.range(at)))
  // an iteration that never begins must not be an unhandled rejection; one that does begin throws it
  ranges.catch(() => {})
  return values()

  async function* values(): AsyncGenerator<Buffer, void, undefined> {
    const begins = (await ranges).map(({ earliest, latest }) => (from === 'beginning' ? earliest : latest))
    if (signal.aborted) return
    const reader = await log.reader(places.map((at, i) => ({ ...at, offset: offset(begins[i]!) })))
    const close = (): void => void reader.close()
    signal.addEventListener('abort', close, { once: true })
    let begun = from === 'end'
    try {
      while (!signal.aborted) {
        const batches = begun ? await reader.poll(pollLimits) : await firstOf(reader)
        begun ||= batches.length > 0
        for (const batch of batches) {
          for (let i = 0; i < batch.count; i++) {
            // a copy: the batch is overwritten by the next poll, and who takes it may keep it longer
            yield Buffer.from(batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i]))
            if (signal.aborted) return
          }
        }
      }
    } finally {
      signal.removeEventListener('abort', close)
      await reader.close()
    }
  }

  /** Retention may take the beginning away before it is read: then it is further on. */
  async function firstOf(reader: LogReader): Promise<readonly RecordBatch[]> {
    try {
      return await reader.poll(pollLimits)
    } catch (error) {
      if (!isWeirError(error, 'OFFSET_OUT_OF_RANGE')) throw error
      for (const at of reader.positions()) {
        const { earliest } = await log.range(at)
        if (at.offset < earliest) reader.seek({ ...at, offset: earliest })
      }
      return []
    }
  }
}

/**
 * Follows one partition of a topic, value by value, for as long as somebody reads.
 *
 * Invariants: 1. whoever reads slowly holds a position and one poll (I6), never a backlog; 2. an abort ends the iteration
 * and closes the reader, also while it waits for records.
 */
import { millis } from '../../kernel/index.js'
import { type Log, offset } from '../../log/index.js'

const pollLimits = { recordsMax: 1_024, bytesMax: 1 << 20, waitMsMax: millis(30_000) }

/**
 * Where it begins is fixed at the call, not at the first read.
 * @throws WeirError OFFSET_OUT_OF_RANGE while it is iterated, when the log has been trimmed past the position
 */
export function followTopic(
  log: Log,
  topic: string,
  from: 'beginning' | 'end',
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const at = { topic, partition: 0 }
  const range = log.range(at)
  // an iteration that never begins must not be an unhandled rejection; one that does begin throws it
  range.catch(() => {})
  return values()

  async function* values(): AsyncGenerator<Buffer, void, undefined> {
    const { earliest, latest } = await range
    if (signal.aborted) return
    const reader = await log.reader([{ ...at, offset: offset(from === 'beginning' ? earliest : latest) }])
    const close = (): void => void reader.close()
    signal.addEventListener('abort', close, { once: true })
    try {
      while (!signal.aborted) {
        for (const batch of await reader.poll(pollLimits)) {
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
}

/** Reading what is known to be there: an empty poll says that nothing came in time, never that nothing is left. */
import { seconds, WeirError } from '../../kernel/index.js'
import type { LogReader, PollLimits, RecordBatch } from '../../log/index.js'

const waitMsMax = seconds(1)
const emptyPollsMax = 30

/**
 * Polls until something comes.
 * @returns [] only at the end of a bounded log
 * @throws WeirError BACKEND_FAILED when the log does not answer
 */
export async function pollExpected(
  reader: LogReader,
  limits: Omit<PollLimits, 'waitMsMax'>,
): Promise<readonly RecordBatch[]> {
  const asked: PollLimits = { ...limits, waitMsMax }
  for (let polls = 0; polls < emptyPollsMax; polls++) {
    const before = positionsOf(reader)
    const batches = await reader.poll(asked)
    if (batches.length > 0 || reader.finished || positionsOf(reader) !== before) return batches
  }
  throw new WeirError('BACKEND_FAILED', `the log gave nothing in ${emptyPollsMax} polls, though records are due`)
}

/** A poll that only passes a gap has moved on, too. */
const positionsOf = (reader: LogReader): string =>
  reader
    .positions()
    .map(at => at.offset)
    .join()

/** Whether the log still holds what the journal says was read: its records are known by a CRC of the ranges. */
import { WeirError } from '../../kernel/index.js'
import { RangeReaders, rereadEpoch } from './intake.js'
import type { AnyEpochRecord, InputRange, JournalRecord } from './journal.js'
import type { SlotOptions } from './options.js'

/**
 * A topic that was deleted and made again has the offsets of before, of other records: going on there would pass over some
 * silently (I7). Told by what the last epoch that the store reflects has read, where retention has left all of it. A file is
 * known by other means.
 * @param last that the store reflects
 * @throws WeirError JOURNAL_CORRUPT, OFFSET_OUT_OF_RANGE
 */
export async function checkLastRead({ log, plan }: SlotOptions, last: JournalRecord): Promise<void> {
  if (log.totalOrder || last.kind !== 'epoch' || last.fingerprint !== plan.fingerprint) return
  const left: InputRange[] = []
  for (const range of last.inputs) {
    const { earliest, latest } = await log.range(range)
    if (BigInt(range.to) > latest) {
      const what = `${range.topic}/${range.partition} ends at ${latest}, and had been read to ${range.to}`
      throw new WeirError('OFFSET_OUT_OF_RANGE', what)
    }
    if (BigInt(range.from) >= earliest) left.push(range)
  }
  const readers = new RangeReaders(log)
  try {
    checkRanges(last, left, (await rereadEpoch(plan, readers, left, new Map())).ranges)
  } finally {
    await readers.close()
  }
}

/** @param read the journaled ranges, in their order, as they are in the log now @throws WeirError JOURNAL_CORRUPT */
export function checkRanges(
  { epoch }: AnyEpochRecord,
  journaled: readonly InputRange[],
  read: readonly InputRange[],
): void {
  journaled.forEach((expected, i) => {
    const found = read[i]
    if (found !== undefined && found.crc32 === expected.crc32 && found.to === expected.to) return
    const { topic, partition, from, to } = expected
    const what = `epoch ${epoch} read ${topic}/${partition} from ${from} to ${to}`
    throw new WeirError('JOURNAL_CORRUPT', `${what}, and the log holds other records there now`)
  })
}

/**
 * Dead letters hold the bytes of a record as it was received (I7). A record that was excluded in another slot than the one
 * that has read it, or in a later epoch, is looked up where it lies.
 */
import { type Log, offset, type RecordBatch } from '../../log/index.js'
import type { DeadLetter } from './intake.js'
import { pollExpected } from './poll.js'

/** A letter whose key and value are to be looked up. */
export function letterWithoutBytes({
  source,
  code,
  message,
}: Pick<DeadLetter, 'source' | 'code' | 'message'>): DeadLetter {
  return { source, code, message, key: null, value: null, elsewhere: true }
}

/** @throws WeirError BACKEND_FAILED */
export async function withOriginals(log: Log, letters: readonly DeadLetter[]): Promise<readonly DeadLetter[]> {
  if (!letters.some(letter => letter.elsewhere)) return letters
  return Promise.all(letters.map(letter => (letter.elsewhere ? withOriginal(log, letter) : letter)))
}

async function withOriginal(log: Log, letter: DeadLetter): Promise<DeadLetter> {
  const { topic, partition, offset: at } = letter.source
  const { earliest } = await log.range({ topic, partition })
  if (BigInt(at) < earliest) return leftOut(letter, 'is gone from the log')
  const reader = await log.reader([{ topic, partition, offset: offset(at) }])
  try {
    for (const batch of await pollExpected(reader, { recordsMax: 1, bytesMax: 1 << 20 })) {
      if (Number(batch.baseOffset) + batch.offsetDelta[0]! === at) return { ...letter, ...bytesOf(batch) }
    }
  } finally {
    await reader.close()
  }
  return leftOut(letter, 'could not be read again')
}

const leftOut = (letter: DeadLetter, why: string): DeadLetter => ({
  ...letter,
  message: `${letter.message}; the record itself ${why}`,
  leftOut: true,
})

function bytesOf({ bytes, keyStart, keyEnd, valueStart, valueEnd }: RecordBatch): Pick<DeadLetter, 'key' | 'value'> {
  const copy = (start: number, end: number): Buffer | null =>
    start < 0 ? null : Buffer.from(bytes.subarray(start, end))
  return { key: copy(keyStart[0]!, keyEnd[0]!), value: copy(valueStart[0]!, valueEnd[0]!) }
}

/**
 * The one header that a slot looks at: where the producer of a record waits to be told what became of it. To the slot it is
 * text without meaning.
 *
 * Invariant: it goes from the intake to `onCommitted` and nowhere else, neither into rows, state, outputs nor the journal
 * (I3). A slot that starts anew in between has forgotten it: replies are a courtesy.
 */
import type { RecordBatch } from '../../log/index.js'

export const replyToHeader = 'weir.reply-to'
/** Longer ones are not looked at (I6). */
export const replyToBytesMax = 128

/** @param batch one that has headers */
export function replyToOf(batch: RecordBatch, index: number): string | undefined {
  const header = batch.headersOf?.(index).find(({ name }) => name === replyToHeader)
  if (header === undefined || header.value.length > replyToBytesMax) return undefined
  return Buffer.from(header.value).toString('utf8')
}

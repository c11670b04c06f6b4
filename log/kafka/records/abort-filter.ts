/**
 * Which batches a reader of committed records sees (I1). A fetch answers the aborted transactions of its range; their
 * batches lie between others', of other producers and transactions.
 *
 * Invariants:
 * 1. A transaction counts as aborted from the first offset that the broker names until its abort marker, no longer:
 *    the same producer's next transaction is another one.
 * 2. A control batch is told by its attribute alone, and is never a record.
 */
import type { AbortedTransaction } from '../requests/index.js'
import { int64At } from '../wire.js'
import { attribute, batchHeaderBytes, field } from './format.js'

const abortMarker = 0

/** One fetch of one partition, whose batches must be offered in order. */
export class AbortFilter {
  readonly #coming: AbortedTransaction[]
  readonly #open = new Set<number>()
  #at = 0

  /** The broker's order is no promise: with several producers it is not that of the first offsets. */
  constructor(aborted: readonly AbortedTransaction[]) {
    this.#coming = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  }

  /** Whether readers see the batch that begins at `start` and whose last offset is `last`. */
  passes(bytes: Buffer, start: number, last: number): boolean {
    while (this.#at < this.#coming.length && this.#coming[this.#at]!.firstOffset <= last) {
      this.#open.add(this.#coming[this.#at++]!.producerId)
    }
    const attributes = bytes.readInt16BE(start + field.attributes)
    if ((attributes & attribute.control) !== 0) {
      if (controlTypeOf(bytes, start) === abortMarker) this.#open.delete(int64At(bytes, start + field.producerId))
      return false
    }
    if ((attributes & attribute.transactional) === 0) return true
    return !this.#open.has(int64At(bytes, start + field.producerId))
  }
}

/**
 * The type in a control record's key: version int16, type int16. Before it lie the record's length (one byte: markers are
 * small), attributes, timestamp and offset deltas (zero, one byte each) and the key's length (one byte).
 */
function controlTypeOf(bytes: Buffer, start: number): number | undefined {
  if (bytes.readInt32BE(start + field.count) === 0) return undefined // compacted away
  return bytes.readInt16BE(start + batchHeaderBytes + 5 + 2)
}

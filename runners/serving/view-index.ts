/**
 * What a decision view keeps: for each transaction id and customer, where the decision stands in `decisions`. Entries point
 * into the log (design §4), so a decision is stored once.
 *
 * Keys: `V` u16 length, transaction_id, customer_id (UTF-8) -> varint partition, varint offset; `W` u32 partition -> varint
 * next offset. Entries and positions are one batch, unsynced: after a crash the fold goes on from its position.
 *
 * Invariants: 1. an id is decided again only once it is forgotten (the dedupe horizon), so its last decision is the one that
 * a repeat asks for: it replaces the entry; 2. a position is never ahead of its entries.
 */
import { ByteReader, ByteWriter, isWeirError, type WeirError } from '../../kernel/index.js'
import { type Offset, offset, type Position, type RecordBatch } from '../../log/index.js'
import type { StateBackend } from '../../state/index.js'
import { decisionIdsOf } from './decision-ids.js'

const entryByte = 0x56
const positionByte = 0x57

/** A place in `decisions`. */
export interface DecisionAt {
  readonly partition: number
  readonly offset: Offset
}

export type LookUp =
  | ({ readonly kind: 'at' } & DecisionAt)
  /** Several customers have the id. */
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'unknown' }

export class ViewIndex {
  readonly #backend: StateBackend

  constructor(backend: StateBackend) {
    this.#backend = backend
  }

  /** The next offset to fold of each partition; undefined where nothing was folded. */
  async positions(partitions: number): Promise<readonly (Offset | undefined)[]> {
    const keys = Array.from({ length: partitions }, (_, partition) => positionKey(partition))
    const stored = await this.#backend.getMany(keys)
    return stored.map(value => (value === undefined ? undefined : offset(new ByteReader(value).varint())))
  }

  /**
   * @param positions after the batches
   * @param onNoDecision told of a record that is none, which is passed over; throws where nobody else writes `decisions`
   */
  async fold(
    batches: readonly RecordBatch[],
    positions: readonly Position[],
    onNoDecision: (error: WeirError) => void,
  ): Promise<void> {
    const write = this.#backend.batch()
    for (const batch of batches) {
      for (let i = 0; i < batch.count; i++) {
        const key = keyIn(batch, i)
        if (isWeirError(key)) onNoDecision(key)
        else write.put(key, pointerTo(batch, i))
      }
    }
    for (const { partition, offset: next } of positions) {
      const writer = new ByteWriter(9)
      writer.varint(Number(next))
      write.put(positionKey(partition), writer.take())
    }
    await this.#backend.write(write, { sync: false })
  }

  /** @param customerId undefined: any customer; several are ambiguous */
  async lookUp(transactionId: string, customerId: string | undefined): Promise<LookUp> {
    const prefix = entryKey(transactionId, customerId ?? '')
    if (customerId !== undefined) {
      const [value] = await this.#backend.getMany([prefix])
      return value === undefined ? { kind: 'unknown' } : { kind: 'at', ...placeOf(value) }
    }
    const entries = await this.#backend.range({ gte: prefix, lt: after(prefix), limit: 2 })
    if (entries.length > 1) return { kind: 'ambiguous' }
    return entries.length === 0 ? { kind: 'unknown' } : { kind: 'at', ...placeOf(entries[0]!.value) }
  }

  /** Deletes the entries that point to the batch's first `count` decisions. */
  async forget(batch: RecordBatch, count: number): Promise<void> {
    const keys = Array.from({ length: count }, (_, i) => keyOf(batch, i))
    const known = await this.#backend.getMany(keys)
    const write = this.#backend.batch()
    keys.forEach((key, i) => {
      if (known[i]?.equals(pointerTo(batch, i)) === true) write.delete(key)
    })
    await this.#backend.write(write, { sync: false })
  }

  /**
   * One step of a walk over all entries: deletes those that `isGone` names.
   * @param from key at which the step begins; undefined: the first
   * @returns where the next step begins; undefined at the end
   */
  async sweep(
    from: Buffer | undefined,
    entriesMax: number,
    isGone: (at: DecisionAt) => boolean,
  ): Promise<Buffer | undefined> {
    const gte = from ?? Buffer.of(entryByte)
    const entries = await this.#backend.range({ gte, lt: Buffer.of(entryByte + 1), limit: entriesMax })
    const gone = entries.filter(({ value }) => isGone(placeOf(value)))
    if (gone.length > 0) {
      const write = this.#backend.batch()
      for (const { key } of gone) write.delete(key)
      await this.#backend.write(write, { sync: false })
    }
    const last = entries.at(-1)
    return last === undefined || entries.length < entriesMax ? undefined : Buffer.concat([last.key, Buffer.of(0)])
  }
}

/** The error for a record that is no decision. */
function keyIn(batch: RecordBatch, i: number): Buffer | WeirError {
  try {
    return keyOf(batch, i)
  } catch (error) {
    if (isWeirError(error, 'LOG_CORRUPT')) return error
    throw error
  }
}

function keyOf(batch: RecordBatch, i: number): Buffer {
  const { transactionId, customerId } = decisionIdsOf(batch, i)
  return entryKey(transactionId, customerId)
}

const pointerTo = (batch: RecordBatch, i: number): Buffer =>
  pointer(batch.partition, Number(batch.baseOffset) + batch.offsetDelta[i]!)

function placeOf(value: Buffer): DecisionAt {
  const from = new ByteReader(value)
  return { partition: from.varint(), offset: offset(from.varint()) }
}

function entryKey(transactionId: string, customerId: string): Buffer {
  const id = Buffer.from(transactionId)
  const head = Buffer.allocUnsafe(3)
  head[0] = entryByte
  head.writeUInt16BE(id.length, 1)
  return Buffer.concat([head, id, Buffer.from(customerId)])
}

/** The least key above all that begin with `prefix`; ids are UTF-8, so 0xff ends every run. */
const after = (prefix: Buffer): Buffer => Buffer.concat([prefix, Buffer.of(0xff)])

function positionKey(partition: number): Buffer {
  const key = Buffer.allocUnsafe(5)
  key[0] = positionByte
  key.writeUInt32BE(partition, 1)
  return key
}

function pointer(partition: number, at: number): Buffer {
  const writer = new ByteWriter(16)
  writer.varint(partition)
  writer.varint(at)
  return writer.take()
}

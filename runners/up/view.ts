/**
 * The decision view: a fold over `decisions` by transaction id. Entries point into the log (design §4), so a decision is
 * stored once.
 *
 * Keys, in the database that log and state share: `V` u16 length, transaction_id, customer_id (UTF-8) -> varint partition,
 * varint offset; `W` u32 partition -> varint next offset. Entries and position are one batch, unsynced: after a crash the
 * fold goes on from its position.
 *
 * Invariants: 1. an id is decided again only once it is forgotten (the dedupe horizon), so its last decision is the one that
 * a repeat asks for: it replaces the entry; 2. a look-up sees every decision that was committed before it was made; 3. an
 * entry goes before the decision that it points to; one that was trimmed between a look-up's two reads is unknown.
 */
import {
  assert,
  ByteReader,
  ByteWriter,
  type DurationMs,
  defined,
  isWeirError,
  messageOf,
  WeirError,
} from '../../kernel/index.js'
import { type Log, type LogReader, offset, type RecordBatch } from '../../log/index.js'
import type { StateBackend } from '../../state/index.js'

const entryByte = 0x56
const positionByte = 0x57
/** At a time: a millisecond or two, for which whoever waits for a decision waits too. */
const foldRecordsMax = 256
/** Decisions that may be unfolded before the view folds unasked. */
const lagRecordsMax = 256

export type Found =
  | { readonly kind: 'found'; readonly decision: Buffer }
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'unknown' }

export class DecisionView {
  readonly #log: Log
  readonly #backend: StateBackend
  readonly #topic: string
  #reader: LogReader
  #folding: Promise<void> | undefined
  /** Decisions committed since a fold was last begun unasked. */
  #lag = 0
  #closed = false

  private constructor(log: Log, backend: StateBackend, topic: string, reader: LogReader) {
    this.#log = log
    this.#backend = backend
    this.#topic = topic
    this.#reader = reader
  }

  /** Folds what was decided since the view was last written. */
  static async open(log: Log, backend: StateBackend, topic: string): Promise<DecisionView> {
    const partitions = await log.partitionCount(topic)
    const keys = Array.from({ length: partitions }, (_, partition) => positionKey(partition))
    const stored = await backend.getMany(keys)
    const positions = await Promise.all(
      stored.map(async (value, partition) => {
        const { earliest } = await log.range({ topic, partition })
        const at = value === undefined ? 0n : BigInt(new ByteReader(value).varint())
        return { topic, partition, offset: at < earliest ? earliest : offset(at) }
      }),
    )
    const view = new DecisionView(log, backend, topic, await log.reader(positions))
    await view.#foldToEnd()
    return view
  }

  /** @param customerId undefined: any customer; several are ambiguous */
  async find(transactionId: string, customerId: string | undefined): Promise<Found> {
    await this.#foldToEnd()
    const prefix = entryKey(transactionId, customerId ?? '')
    if (customerId !== undefined) {
      const [value] = await this.#backend.getMany([prefix])
      return value === undefined ? { kind: 'unknown' } : await this.#read(value)
    }
    const entries = await this.#backend.range({ gte: prefix, lt: after(prefix), limit: 2 })
    if (entries.length === 0) return { kind: 'unknown' }
    if (entries.length > 1) return { kind: 'ambiguous' }
    return await this.#read(entries[0]!.value)
  }

  /** Told of what is committed, it folds now and then without being asked, so that no look-up meets a long backlog. */
  onCommitted(decisions: number): void {
    this.#lag += decisions
    if (this.#lag < lagRecordsMax) return
    this.#lag = 0
    this.#foldToEnd().catch(() => {
      // Nobody asked: the fold is where it was, and the next look-up folds again and tells its caller what is wrong.
    })
  }

  /** Deletes the entries that point to the batch's first `count` decisions: they are about to be trimmed. */
  async forget(batch: RecordBatch, count: number): Promise<void> {
    // During a fold the reader stands ahead of what is written. What is folded after these points further on.
    await this.#quiet()
    const folded = this.#reader.positions().find(at => at.partition === batch.partition)
    if (folded === undefined || folded.offset < batch.nextOffset) await this.#foldToEnd()
    await this.#quiet()
    this.#folding = this.#forgetEntries(batch, count).finally(() => {
      this.#folding = undefined
    })
    await this.#folding
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#folding?.catch(() => {})
    await this.#reader.close()
  }

  /**
   * One fold, or forgetting, at a time; who comes meanwhile waits for it and then looks whether more has come. Where the reader stands tells
   * nothing during a fold: it moves before the entries are written.
   */
  async #foldToEnd(): Promise<void> {
    for (;;) {
      if (this.#closed) throw new WeirError('LOG_UNAVAILABLE', 'the decision view is closed')
      if (this.#folding === undefined && (await this.#isAtEnd())) return
      this.#folding ??= this.#foldOnce().finally(() => {
        this.#folding = undefined
      })
      await this.#folding
    }
  }

  /** Until no fold is under way; how it ended is told to who asked for it. */
  async #quiet(): Promise<void> {
    while (this.#folding !== undefined) await this.#folding.catch(() => {})
  }

  /** Of the positions at the time of the call. */
  async #isAtEnd(): Promise<boolean> {
    for (const position of this.#reader.positions()) {
      if (position.offset < (await this.#log.range(position)).latest) return false
    }
    return true
  }

  async #foldOnce(): Promise<void> {
    const before = this.#reader.positions()
    try {
      await this.#foldBatches()
    } catch (error) {
      for (const position of before) this.#reader.seek(position)
      throw error
    }
  }

  async #foldBatches(): Promise<void> {
    const batches = await this.#reader.poll({
      recordsMax: foldRecordsMax,
      bytesMax: 16 << 20,
      waitMsMax: 0 as DurationMs,
    })
    const write = this.#backend.batch()
    for (const batch of batches) {
      for (let i = 0; i < batch.count; i++) write.put(keyOf(batch, i), pointerTo(batch, i))
    }
    for (const { partition, offset: next } of this.#reader.positions()) {
      const writer = new ByteWriter(9)
      writer.varint(Number(next))
      write.put(positionKey(partition), writer.take())
    }
    await this.#backend.write(write, { sync: false })
  }

  async #forgetEntries(batch: RecordBatch, count: number): Promise<void> {
    const keys = Array.from({ length: count }, (_, i) => keyOf(batch, i))
    const known = await this.#backend.getMany(keys)
    const write = this.#backend.batch()
    keys.forEach((key, i) => {
      if (known[i]?.equals(pointerTo(batch, i)) === true) write.delete(key)
    })
    await this.#backend.write(write, { sync: false })
  }

  async #read(value: Buffer): Promise<Found> {
    const from = new ByteReader(value)
    const at = { topic: this.#topic, partition: from.varint(), offset: offset(from.varint()) }
    const reader = await this.#log.reader([at])
    try {
      const [batch] = await reader.poll({ recordsMax: 1, bytesMax: 1, waitMsMax: 0 as DurationMs })
      const found = defined(batch, 'the record that the view points to')
      assert(found.baseOffset + BigInt(found.offsetDelta[0]!) === at.offset, 'the view points to a record')
      return { kind: 'found', decision: Buffer.from(found.bytes.subarray(found.valueStart[0], found.valueEnd[0])) }
    } catch (error) {
      if (isWeirError(error, 'OFFSET_OUT_OF_RANGE')) return { kind: 'unknown' }
      throw error
    } finally {
      await reader.close()
    }
  }
}

/** Of a decision as Weir writes it, the ids are at its head: reading them alone takes a fifth of parsing it whole. */
const idsAtHead = /^\{"decision_id":"[^"\\]*","transaction_id":"([^"\\]*)","customer_id":"([^"\\]*)"/
const headBytes = 512

function keyOf({ bytes, valueStart, valueEnd }: RecordBatch, i: number): Buffer {
  const [start, end] = [valueStart[i]!, valueEnd[i]!]
  const [, transactionId, customerId] =
    idsAtHead.exec(bytes.toString('utf8', start, Math.min(end, start + headBytes))) ?? []
  if (transactionId !== undefined && customerId !== undefined) return entryKey(transactionId, customerId)
  const ids = idsOf(bytes.toString('utf8', start, end))
  return entryKey(ids.transaction_id, ids.customer_id)
}

const pointerTo = (batch: RecordBatch, i: number): Buffer =>
  pointer(batch.partition, Number(batch.baseOffset) + batch.offsetDelta[i]!)

function idsOf(decision: string): { transaction_id: string; customer_id: string } {
  try {
    const { transaction_id, customer_id } = JSON.parse(decision) as Record<string, unknown>
    if (typeof transaction_id === 'string' && typeof customer_id === 'string') return { transaction_id, customer_id }
    throw new Error('it has no ids')
  } catch (error) {
    throw new WeirError('LOG_CORRUPT', `a record of decisions does not parse: ${messageOf(error)}`, { cause: error })
  }
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

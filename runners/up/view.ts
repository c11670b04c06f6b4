/**
 * The decision view of `weir up`: a fold over `decisions` by transaction id, in the database that log and state share. It
 * folds when it is asked.
 *
 * Invariants: 1. a look-up sees every decision that was committed before it was made; 2. an entry goes before the decision
 * that it points to; one that was trimmed between a look-up's two reads is unknown.
 */
import { assert, type DurationMs, defined, isWeirError, WeirError } from '../../kernel/index.js'
import { type Log, type LogReader, offset, type RecordBatch } from '../../log/index.js'
import type { StateBackend } from '../../state/index.js'
import { type DecisionAt, type Found, ViewIndex } from '../serving/index.js'

/** At a time: a millisecond or two, for which whoever waits for a decision waits too. */
const foldRecordsMax = 256
/** Decisions that may be unfolded before the view folds unasked. */
const lagRecordsMax = 256

export class DecisionView {
  readonly #log: Log
  readonly #index: ViewIndex
  readonly #topic: string
  #reader: LogReader
  #folding: Promise<void> | undefined
  /** Decisions committed since a fold was last begun unasked. */
  #lag = 0
  #closed = false

  private constructor(log: Log, index: ViewIndex, topic: string, reader: LogReader) {
    this.#log = log
    this.#index = index
    this.#topic = topic
    this.#reader = reader
  }

  /** Folds what was decided since the view was last written. */
  static async open(log: Log, backend: StateBackend, topic: string): Promise<DecisionView> {
    const index = new ViewIndex(backend)
    const stored = await index.positions(await log.partitionCount(topic))
    const positions = await Promise.all(
      stored.map(async (at, partition) => {
        const { earliest } = await log.range({ topic, partition })
        return { topic, partition, offset: at === undefined || at < earliest ? earliest : at }
      }),
    )
    const view = new DecisionView(log, index, topic, await log.reader(positions))
    await view.#foldToEnd()
    return view
  }

  /** @param customerId undefined: any customer; several are ambiguous */
  async find(transactionId: string, customerId: string | undefined): Promise<Found> {
    await this.#foldToEnd()
    const found = await this.#index.lookUp(transactionId, customerId)
    return found.kind === 'at' ? await this.#read(found) : found
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
    this.#folding = this.#index.forget(batch, count).finally(() => {
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
      const batches = await this.#reader.poll({
        recordsMax: foldRecordsMax,
        bytesMax: 16 << 20,
        waitMsMax: 0 as DurationMs,
      })
      await this.#index.fold(batches, this.#reader.positions(), refuse)
    } catch (error) {
      for (const position of before) this.#reader.seek(position)
      throw error
    }
  }

  async #read({ partition, offset: at }: DecisionAt): Promise<Found> {
    const reader = await this.#log.reader([{ topic: this.#topic, partition, offset: at }])
    try {
      const [batch] = await reader.poll({ recordsMax: 1, bytesMax: 1, waitMsMax: 0 as DurationMs })
      const found = defined(batch, 'the record that the view points to')
      assert(offset(found.baseOffset + BigInt(found.offsetDelta[0]!)) === at, 'the view points to a record')
      return { kind: 'found', decision: Buffer.from(found.bytes.subarray(found.valueStart[0], found.valueEnd[0])) }
    } catch (error) {
      if (isWeirError(error, 'OFFSET_OUT_OF_RANGE')) return { kind: 'unknown' }
      throw error
    } finally {
      await reader.close()
    }
  }
}

/** Nobody else writes the embedded log. */
function refuse(error: WeirError): never {
  throw error
}

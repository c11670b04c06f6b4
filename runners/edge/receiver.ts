/**
 * Reads the edge's partition of `decisions.replies` from the moment at which it starts, and wakes who waits.
 *
 * Invariant: what it does not read is lost, and nothing else: who waits is answered 202 at its deadline. Replies to another
 * edge on the same partition, or to one that ran before, wake nobody.
 */
import { type Clock, isWeirError, messageOf, millis } from '../../kernel/index.js'
import type { LogReader, RecordBatch } from '../../log/index.js'
import type { KafkaLog } from '../../log/kafka/index.js'
import { decodeReply, type Outcome, repliesTopic } from '../replies/index.js'

const pollLimits = { recordsMax: 1_024, bytesMax: 8 << 20, waitMsMax: millis(1_000) }
const troublePause = millis(200)

export interface ReceiverOptions {
  readonly log: KafkaLog
  readonly partition: number
  readonly clock: Clock
  /** @returns whether somebody waited */
  readonly onReply: (id: string, outcome: Outcome) => boolean
}

export class ReplyReceiver {
  readonly #options: ReceiverOptions
  readonly #reader: LogReader
  #receiving: Promise<void> = Promise.resolve()
  #trouble: string | undefined
  #closed = false
  /** For nobody who waits here any more, or not one of ours. */
  unclaimed = 0

  static async open(options: ReceiverOptions): Promise<ReplyReceiver> {
    const at = { topic: repliesTopic, partition: options.partition }
    const reader = await options.log.reader([{ ...at, offset: (await options.log.range(at)).latest }])
    const receiver = new ReplyReceiver(options, reader)
    receiver.#receiving = receiver.#receive()
    return receiver
  }

  private constructor(options: ReceiverOptions, reader: LogReader) {
    this.#options = options
    this.#reader = reader
  }

  /** Why replies do not arrive; undefined while they do. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#reader.close()
    await this.#receiving
  }

  async #receive(): Promise<void> {
    while (!this.#closed) {
      try {
        for (const batch of await this.#reader.poll(pollLimits)) this.#take(batch)
        this.#trouble = undefined
      } catch (error) {
        if (this.#closed) return
        this.#trouble = messageOf(error)
        await this.#recover(error)
      }
    }
  }

  #take(batch: RecordBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const reply = decodeReply(batch, i)
      if (reply === undefined || !this.#options.onReply(reply.id, reply.outcome)) this.unclaimed++
    }
  }

  async #recover(error: unknown): Promise<void> {
    const [at] = this.#reader.positions()
    if (isWeirError(error, 'OFFSET_OUT_OF_RANGE') && at !== undefined) {
      const end = await this.#options.log.range(at).then(
        ({ latest }) => latest,
        () => at.offset, // found out at the next poll
      )
      this.#reader.seek({ ...at, offset: end })
    }
    await this.#options.clock.sleep(troublePause)
  }
}

/**
 * Tells the edges that wait what became of their transactions, after the commit and outside of it: a plain append to the
 * edge's partition of `decisions.replies`.
 *
 * Invariants:
 * 1. A reply follows the commit of its epoch, so nobody is told what a reader of `decisions` will not find (I1).
 * 2. Nothing waits for a reply, and nothing of it is kept over a restart: a lost one is a 202 and a look-up. It is counted.
 * 3. At most `waitingMax` addresses are held, the oldest lost first; what is being sent is bounded by the producer (I6).
 */
import { type Clock, type DurationMs, messageOf } from '../../kernel/index.js'
import type { AppendRecord, LogProducer } from '../../log/index.js'
import type { SourcePosition } from '../../operators/index.js'
import type { Repeat } from '../../topology/index.js'
import { type CommittedEpoch, positionKey } from '../slot/index.js'
import { parseReplyTo, type ReplyAddress } from './address.js'
import { encodeReply, type Outcome, repliesTopic } from './reply.js'

const waitingMax = 65_536

export interface ReplySenderOptions {
  readonly producer: LogProducer
  readonly clock: Clock
  /** Of `decisions.replies`. */
  readonly partitions: number
  /** Topic on which the plan reports repeats. */
  readonly repeatsTopic: string
}

export class ReplySender {
  readonly #options: ReplySenderOptions
  /** By source position. With hops between slots, a record is decided some epochs after the one that read it. */
  readonly #waiting = new Map<string, ReplyAddress>()
  readonly #sending = new Set<Promise<void>>()
  #byPartition = new Map<number, AppendRecord[]>()
  /** Replies that no edge will get, and why the last of them was not sent. */
  lost = 0
  whyLost = ''

  constructor(options: ReplySenderOptions) {
    this.#options = options
  }

  /** To be called right after each commit: what it needs of the epoch is copied. */
  readonly onCommitted = ({ writers, deadLetters, replyTo }: CommittedEpoch): void => {
    for (const [key, text] of replyTo) this.#note(key, text)
    if (this.#waiting.size === 0) return
    for (const { source, code, message } of deadLetters)
      this.#answer(source, () => ({ kind: 'rejected', code, message }))
    for (const writer of writers) {
      const isRepeats = writer.sink.topic === this.#options.repeatsTopic
      if (!isRepeats && writer.sink.topic !== 'decisions') continue
      writer.forEach(({ source, value: repeat }, value) => {
        this.#answer(source, () => {
          if (!isRepeats) return { kind: 'decided', value: Buffer.from(value) }
          return { kind: (repeat as Repeat<unknown>).conflicting ? 'conflict' : 'repeated' }
        })
      })
    }
    this.#send()
  }

  /** Waits for what is being sent, at most `waitMsMax`. */
  async close(waitMsMax: DurationMs): Promise<void> {
    await Promise.race([Promise.all(this.#sending), this.#options.clock.sleep(waitMsMax)])
  }

  #note(key: string, text: string): void {
    const address = parseReplyTo(text)
    // Not ours, or of an edge that thinks of another topic.
    if (address === undefined || address.partition >= this.#options.partitions) return
    this.#waiting.set(key, address)
    if (this.#waiting.size <= waitingMax) return
    for (const oldest of this.#waiting.keys()) {
      this.#waiting.delete(oldest)
      this.#lose(1, `${waitingMax} transactions wait for their decisions`)
      break
    }
  }

  #answer({ topic, partition, offset }: SourcePosition, outcome: () => Outcome): void {
    const key = positionKey(topic, partition, offset)
    const address = this.#waiting.get(key)
    if (address === undefined) return
    this.#waiting.delete(key)
    const records = this.#byPartition.get(address.partition) ?? []
    records.push(encodeReply({ id: address.id, outcome: outcome() }))
    this.#byPartition.set(address.partition, records)
  }

  #send(): void {
    const byPartition = this.#byPartition
    this.#byPartition = new Map()
    for (const [partition, records] of byPartition) {
      const sending: Promise<void> = this.#options.producer
        .append([{ topic: repliesTopic, partition, records }])
        .then(
          () => {},
          (error: unknown) => this.#lose(records.length, messageOf(error)),
        )
        .finally(() => this.#sending.delete(sending))
      this.#sending.add(sending)
    }
  }

  #lose(count: number, why: string): void {
    this.lost += count
    this.whyLost = why
  }
}

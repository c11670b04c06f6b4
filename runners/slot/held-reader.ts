/**
 * A reader that can leave out the primary inputs while too much of theirs is under way in other slots, and goes on with
 * the hops, by which it comes back (I6: `inFlightRowsMax`). Hops are never left out: two slots that wait for each other
 * would wait for ever.
 *
 * The hops alone are read by a reader of their own, made when it is first needed; positions are handed over.
 */
import { defined } from '../../kernel/index.js'
import type { Log, LogReader, PollLimits, Position, RecordBatch } from '../../log/index.js'

export class HeldReader implements LogReader {
  readonly #log: Log
  readonly #all: LogReader
  readonly #hops: ReadonlySet<string>
  #alone: LogReader | undefined
  #held = false

  /** @param hops their topics */
  constructor(log: Log, all: LogReader, hops: ReadonlySet<string>) {
    this.#log = log
    this.#all = all
    this.#hops = hops
  }

  get finished(): boolean {
    return this.#all.finished
  }

  /** Before a poll. @returns true when the primary inputs were not left out before, and are now */
  async hold(held: boolean): Promise<boolean> {
    if (held === this.#held) return false
    if (held && this.#alone === undefined) this.#alone = await this.#log.reader(this.#hopsOf(this.#all))
    const alone = defined(this.#alone, 'reader of the hops')
    const [from, to] = held ? [this.#all, alone] : [alone, this.#all]
    for (const position of this.#hopsOf(from)) to.seek(position)
    this.#held = held
    return held
  }

  poll(limits: PollLimits): Promise<readonly RecordBatch[]> {
    return this.#readerOf(true).poll(limits)
  }

  seek(position: Position): void {
    this.#readerOf(this.#hops.has(position.topic)).seek(position)
  }

  positions(): readonly Position[] {
    const primary = this.#all.positions().filter(({ topic }) => !this.#hops.has(topic))
    return [...primary, ...this.#hopsOf(this.#readerOf(true))]
  }

  async close(): Promise<void> {
    await this.#all.close()
    await this.#alone?.close()
  }

  #readerOf(ofHops: boolean): LogReader {
    return this.#held && ofHops ? defined(this.#alone, 'reader of the hops') : this.#all
  }

  #hopsOf(reader: LogReader): readonly Position[] {
    return reader.positions().filter(({ topic }) => this.#hops.has(topic))
  }
}

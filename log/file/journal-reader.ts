/** The journal as a partition: frame n is the record at offset n. It can grow, so it is never finished. */
import { WeirError } from '../../kernel/index.js'
import { type LogReader, type Offset, offset, type PollLimits, type Position, type RecordBatch } from '../port.js'
import type { JournalFile } from './journal-file.js'

export class JournalReader implements LogReader {
  readonly finished = false
  readonly #topic: string
  readonly #file: JournalFile
  #at: number

  constructor(topic: string, file: JournalFile, at: Offset) {
    this.#topic = topic
    this.#file = file
    this.#at = Number(at)
  }

  positions(): readonly Position[] {
    return [{ topic: this.#topic, partition: 0, offset: offset(this.#at) }]
  }

  seek(position: Position): void {
    this.#at = Number(position.offset)
  }

  /** Does not wait: whoever writes the journal of a file is this process. */
  async poll(limits: PollLimits): Promise<readonly RecordBatch[]> {
    const file = this.#file
    if (this.#at < 0 || this.#at > file.frameCount) {
      throw new WeirError('OFFSET_OUT_OF_RANGE', `the journal has records 0 to ${file.frameCount - 1}, not ${this.#at}`)
    }
    const records: Buffer[] = []
    let bytes = 0
    while (records.length < limits.recordsMax && this.#at + records.length < file.frameCount) {
      const index = this.#at + records.length
      bytes += file.frameBytes(index)
      if (bytes > limits.bytesMax && records.length > 0) break
      records.push(file.read(index).record)
    }
    if (records.length === 0) return []
    const batch = batchOf(this.#topic, this.#at, records)
    this.#at += records.length
    return [batch]
  }

  async close(): Promise<void> {}
}

function batchOf(topic: string, at: number, records: readonly Buffer[]): RecordBatch {
  const count = records.length
  const none = new Int32Array(count).fill(-1)
  const valueStart = new Int32Array(count)
  const valueEnd = new Int32Array(count)
  let filled = 0
  for (const [i, record] of records.entries()) {
    valueStart[i] = filled
    filled += record.length
    valueEnd[i] = filled
  }
  return {
    topic,
    partition: 0,
    count,
    baseOffset: offset(at),
    offsetDelta: Int32Array.from({ length: count }, (_, i) => i),
    bytes: Buffer.concat(records),
    keyStart: none,
    keyEnd: none,
    valueStart,
    valueEnd,
    nextOffset: offset(at + count),
  }
}

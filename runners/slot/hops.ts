/**
 * What a slot sends to other slots, and to itself: hop records in the transaction of the epoch that made them (I1).
 * Their format: operators/exchange/FORMAT.md. They carry the watermark of before the epoch: what comes behind them in the
 * same epoch may be older than that of after it.
 */
import type { Hash } from 'node:crypto'
import {
  ByteReader,
  ByteWriter,
  defined,
  type EventTimeMs,
  isWeirError,
  messageOf,
  WeirError,
} from '../../kernel/index.js'
import type { Append, EncodedRecords } from '../../log/index.js'
import {
  decodeHeader,
  decodeRow,
  encodeHeader,
  encodeRow,
  type HopHeader,
  type HopTag,
  partitionOfKey,
  type Row,
  type SourcePosition,
} from '../../operators/index.js'
import type { HopNode } from '../../topology/index.js'
import { RecordFault } from './pipeline.js'
import { nextPort } from './rows.js'

export class HopWriter {
  readonly hop: HopNode
  readonly #slot: number
  readonly #partitions: readonly HopBuffer[]

  constructor(hop: HopNode, slot: number) {
    this.hop = hop
    this.#slot = slot
    this.#partitions = Array.from({ length: hop.partitions }, () => new HopBuffer())
  }

  /**
   * @param inputs rows by port, each in the epoch's order
   * @throws RecordFault for a row that cannot be sent: keys and codecs may be a user's (I7)
   */
  encode(inputs: readonly (readonly Row[])[], watermark: EventTimeMs): void {
    for (const buffer of this.#partitions) buffer.reset()
    const header: HopHeader = { upstream: this.#slot, watermark }
    const cursors = new Int32Array(inputs.length)
    for (let port = nextPort(inputs, cursors); port >= 0; port = nextPort(inputs, cursors)) {
      const row = inputs[port]![cursors[port]!++]!
      try {
        this.#append(row, port, header)
      } catch (error) {
        throw new RecordFault(this.hop.name, row, error)
      }
    }
  }

  #append(row: Row, port: number, header: HopHeader): void {
    const { route, keys, format } = this.hop
    // What a timer made belongs nowhere else.
    const home = row.hop?.home ?? (row.source.offset < 0 ? this.#slot : row.source.partition)
    const key = route === 'home' ? String(home) : keys[port]!(row.value)
    const partition = route === 'home' ? home : partitionOfKey(key, this.#partitions.length)
    const buffer = defined(this.#partitions[partition], `partition ${partition} of ${this.hop.topic}`)
    const { sequence = -1, part = 'last' }: Partial<HopTag> = row.hop ?? {}
    const tag = { home: route === 'rekey' ? partition : home, sequence, port, part }
    buffer.append(key, into => {
      encodeHeader(header, into)
      encodeRow(row, tag, format, into)
    })
  }

  appends(): Append[] {
    return this.#partitions.flatMap((buffer, partition) =>
      buffer.count > 0 ? [{ topic: this.hop.topic, partition, records: buffer.encoded() }] : [],
    )
  }

  hashInto(hash: Hash): void {
    for (const buffer of this.#partitions) if (buffer.count > 0) hash.update(buffer.encoded().bytes)
  }
}

class HopBuffer {
  readonly #bytes = new ByteWriter(1 << 12)
  #starts: number[] = []
  #ends: number[] = []
  #keys: string[] = []

  get count(): number {
    return this.#keys.length
  }

  reset(): void {
    this.#bytes.reset()
    this.#starts = []
    this.#ends = []
    this.#keys = []
  }

  append(key: string, write: (into: ByteWriter) => void): void {
    this.#starts.push(this.#bytes.length)
    write(this.#bytes)
    this.#ends.push(this.#bytes.length)
    this.#bytes.u8(0x0a)
    this.#keys.push(key)
  }

  encoded(): EncodedRecords {
    return {
      kind: 'encoded',
      count: this.#keys.length,
      bytes: this.#bytes.view(),
      valueStart: Int32Array.from(this.#starts),
      valueEnd: Int32Array.from(this.#ends),
      keys: this.#keys,
    }
  }
}

/**
 * @param columns features of the plan
 * @throws WeirError HOP_CORRUPT: rows behind it would wait for ever, so the slot stops
 */
export function readHop(
  bytes: Buffer,
  start: number,
  end: number,
  { format }: HopNode,
  read: SourcePosition,
  columns: number,
): { readonly header: HopHeader; readonly row: Row } {
  const from = new ByteReader(bytes, Math.max(0, start), Math.max(0, end))
  try {
    const header = decodeHeader(from)
    return { header, row: decodeRow(from, read, format, columns) }
  } catch (error) {
    const what = isWeirError(error, 'HOP_CORRUPT') ? error.message : messageOf(error)
    throw new WeirError('HOP_CORRUPT', `${read.topic}/${read.partition}/${read.offset}: ${what}`, { cause: error })
  }
}

/**
 * An entry: a run of records of one partition as one block of bytes, with a checksum. The layout is documented in
 * log/embedded/FORMAT.md; the memory log keeps the same bytes.
 *
 * Invariants: 1. nothing is believed before the checksum has been compared; 2. record i of an entry has the offset
 * `base + i`; 3. an entry is immutable, so readers hand out views of it.
 */
import { ByteReader, crc32, messageOf, WeirError } from '../../kernel/index.js'
import type { Header, TopicPartition } from '../port.js'

export const FORMAT_VERSION = 1
export const FLAG_HEADERS = 1
/** version u8, flags u8, zero u16, CRC u32, timestamp f64, count u32; the data begins here. */
export const HEADER_BYTES = 20
/** keyStart, keyEnd, valueStart, valueEnd, and with FLAG_HEADERS headerStart. */
export const COLUMNS = 5

export class Entry {
  /** Offset of the first and the last record. */
  readonly base: number
  readonly last: number
  /** Offset after the entry, past the gap that follows it. The memory log adds a gap once it is known. */
  next: number
  readonly count: number
  readonly timestampMs: number
  readonly bytes: Buffer
  /** Column c of record i is columns[c * count + i]: a position in `bytes`, -1 for null. */
  readonly columns: Int32Array
  readonly hasHeaders: boolean

  /**
   * @param lastOffset from the entry's key
   * @param crcSeed as given to `EntryEncoder.finish`
   * @throws WeirError LOG_CORRUPT, STATE_FORMAT
   */
  constructor(at: TopicPartition, bytes: Buffer, lastOffset: number, nextOffset: number, crcSeed: number) {
    if (bytes.length < HEADER_BYTES || bytes.readUInt32LE(4) !== crc32(bytes.subarray(8), crcSeed)) {
      throw corrupt(at, lastOffset, 'the checksum differs')
    }
    if (bytes[0] !== FORMAT_VERSION) {
      throw new WeirError(
        'STATE_FORMAT',
        `the log of ${at.topic} has format ${bytes[0]}, this version knows ${FORMAT_VERSION}`,
      )
    }
    this.hasHeaders = (bytes[1]! & FLAG_HEADERS) !== 0
    this.timestampMs = bytes.readDoubleLE(8)
    this.count = bytes.readUInt32LE(16)
    this.last = lastOffset
    this.base = lastOffset - this.count + 1
    this.next = nextOffset
    const columnsBytes = 4 * this.count * (this.hasHeaders ? COLUMNS : COLUMNS - 1)
    const columnsStart = bytes.length - columnsBytes
    if (this.count === 0 || columnsStart < HEADER_BYTES || this.base < 0) {
      throw corrupt(at, lastOffset, `it cannot hold ${this.count} records`)
    }
    this.bytes = bytes
    this.columns = int32View(bytes, columnsStart, columnsBytes / 4)
  }

  headersOf(index: number): readonly Header[] {
    const start = this.hasHeaders ? this.columns[4 * this.count + index]! : -1
    if (start < 0) return []
    const reader = new ByteReader(this.bytes, start)
    const headers: Header[] = []
    for (let left = reader.varint(); left > 0; left--) headers.push({ name: reader.string(), value: reader.blob() })
    return headers
  }
}

export function corrupt(at: TopicPartition, offset: number, what: string, cause?: unknown): WeirError {
  const detail = cause === undefined ? what : `${what}: ${messageOf(cause)}`
  return new WeirError('LOG_CORRUPT', `${at.topic}/${at.partition}, entry that ends at offset ${offset}: ${detail}`, {
    cause,
  })
}

/** A view where the bytes are aligned (nearly always), else a copy. */
function int32View(bytes: Buffer, start: number, length: number): Int32Array {
  const at = bytes.byteOffset + start
  if (at % 4 === 0) return new Int32Array(bytes.buffer, at, length)
  const copy = new Int32Array(length)
  for (let i = 0; i < length; i++) copy[i] = bytes.readInt32LE(start + 4 * i)
  return copy
}

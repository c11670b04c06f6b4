/**
 * Records to entry bytes (the layout is in log/embedded/FORMAT.md). One encoder serves one writer and is reused.
 *
 * Invariants:
 * 1. What `finish` returns is valid until the next call of `reset`; the store must have read it by then.
 * 2. An entry ends once its bytes reach `entryBytesMax`, so only a single large record makes a larger one (I6).
 *
 * Measured on one shared core: 0.2 us a record of 410 bytes, of which the checksum 0.09.
 */
import { assert, crc32 } from '../../kernel/index.js'
import type { AppendRecord, EncodedRecords, Header } from '../port.js'
import { COLUMNS, FLAG_HEADERS, FORMAT_VERSION, HEADER_BYTES } from './entry.js'

/** Readers decode entry by entry: this bounds what one read-ahead holds, and still spreads the cost of an entry. */
export const entryBytesMax = 256 * 1024

export type Records = readonly AppendRecord[] | EncodedRecords

export const isEncoded = (records: Records): records is EncodedRecords => 'kind' in records

export const countOf = (records: Records): number => (isEncoded(records) ? records.count : records.length)

export class EntryEncoder {
  // Slow: a buffer of its own, so that its columns are aligned.
  #bytes = Buffer.allocUnsafeSlow(entryBytesMax)
  #length = HEADER_BYTES
  #count = 0
  #hasHeaders = false
  /** keyStart, keyEnd, valueStart, valueEnd, headerStart of record i at COLUMNS * i: turned into columns by finish. */
  #rows = new Int32Array(COLUMNS * 1024)

  get count(): number {
    return this.#count
  }

  get full(): boolean {
    return this.#length >= entryBytesMax
  }

  reset(): void {
    this.#length = HEADER_BYTES
    this.#count = 0
    this.#hasHeaders = false
  }

  /** Takes records from index `from` until the entry is full. @returns the index of the first record not taken */
  add(records: Records, from: number): number {
    if (isEncoded(records)) return this.#addEncoded(records, from)
    let next = from
    while (next < records.length && !this.full) this.#addRecord(records[next++]!)
    return next
  }

  /**
   * @param timestampMs when the log takes the records
   * @param crcSeed binds the entry to its place: a copy of it under another key is then corrupt
   */
  finish(timestampMs: number, crcSeed: number): Buffer {
    const count = this.#count
    assert(count > 0, 'an entry holds at least one record')
    const columns = this.#hasHeaders ? COLUMNS : COLUMNS - 1
    const columnsStart = (this.#length + 3) & ~3
    const end = columnsStart + 4 * columns * count
    this.#reserve(end - this.#length)
    const bytes = this.#bytes
    bytes.fill(0, this.#length, columnsStart)
    const into = new Int32Array(bytes.buffer, bytes.byteOffset + columnsStart, columns * count)
    const rows = this.#rows
    for (let i = 0, row = 0; i < count; i++, row += COLUMNS) {
      for (let column = 0; column < columns; column++) into[column * count + i] = rows[row + column]!
    }
    bytes[0] = FORMAT_VERSION
    bytes[1] = this.#hasHeaders ? FLAG_HEADERS : 0
    bytes.writeUInt16LE(0, 2)
    bytes.writeDoubleLE(timestampMs, 8)
    bytes.writeUInt32LE(count, 16)
    bytes.writeUInt32LE(crc32(bytes.subarray(8, end), crcSeed), 4)
    return bytes.subarray(0, end)
  }

  #addRecord(record: AppendRecord): void {
    const row = this.#nextRow()
    const rows = this.#rows
    rows[row] = record.key === null ? -1 : this.#length
    rows[row + 1] = record.key === null ? -1 : this.#blob(record.key)
    rows[row + 2] = record.value === null ? -1 : this.#length
    rows[row + 3] = record.value === null ? -1 : this.#blob(record.value)
    rows[row + 4] = -1
    if (record.headers !== undefined && record.headers.length > 0) {
      this.#hasHeaders = true
      rows[row + 4] = this.#length
      this.#headers(record.headers)
    }
  }

  /** The values in one copy, their separators included, then the keys: no allocation for a record. */
  #addEncoded(run: EncodedRecords, from: number): number {
    const { valueStart, valueEnd, keys } = run
    const first = valueStart[from]!
    const room = entryBytesMax - this.#length
    let to = from + 1
    while (to < run.count && valueEnd[to]! - first < room) to++
    const shift = this.#length - first
    this.#reserve(valueEnd[to - 1]! - first)
    run.bytes.copy(this.#bytes, this.#length, first, valueEnd[to - 1]!)
    this.#length += valueEnd[to - 1]! - first
    for (let i = from; i < to; i++) {
      const row = this.#nextRow()
      const rows = this.#rows
      rows[row] = this.#length
      this.#text(keys[i]!)
      rows[row + 1] = this.#length
      rows[row + 2] = valueStart[i]! + shift
      rows[row + 3] = valueEnd[i]! + shift
      rows[row + 4] = -1
    }
    return to
  }

  #nextRow(): number {
    const row = this.#count++ * COLUMNS
    if (row + COLUMNS > this.#rows.length) {
      const grown = new Int32Array(this.#rows.length * 2)
      grown.set(this.#rows)
      this.#rows = grown
    }
    return row
  }

  #reserve(extra: number): void {
    const needed = this.#length + extra
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }

  #blob(bytes: Uint8Array): number {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this.#length
  }

  /** UTF-8. Keys are short and nearly always ASCII, where this loop beats the native call by four to one. */
  #text(text: string): void {
    this.#reserve(3 * text.length)
    const bytes = this.#bytes
    const start = this.#length
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code > 127) {
        this.#length = start + bytes.write(text, start, 'utf8')
        return
      }
      bytes[start + i] = code
    }
    this.#length = start + text.length
  }

  #headers(headers: readonly Header[]): void {
    this.#varint(headers.length)
    for (const { name, value } of headers) {
      this.#varint(Buffer.byteLength(name))
      this.#text(name)
      this.#varint(value.length)
      this.#blob(value)
    }
  }

  #varint(value: number): void {
    this.#reserve(5)
    let rest = value
    while (rest >= 128) {
      this.#bytes[this.#length++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.#bytes[this.#length++] = rest
  }
}

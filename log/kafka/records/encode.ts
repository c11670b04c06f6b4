/**
 * Records to a record batch, in one buffer that is used again for every batch of its partition.
 *
 * Invariants:
 * 1. What `finish` returns is valid until the next `begin`; the broker must have answered by then.
 * 2. A batch never exceeds the `bytesMax` it was begun with (I6): records must have passed `checkSizes` first.
 *
 * Nothing is allocated for a record of an EncodedRecords run. Measured: see docs/kafka.md.
 */
import { assert, WeirError } from '../../../kernel/index.js'
import { type AppendRecord, type EncodedRecords, type Header, recordBytes } from '../../port.js'
import { attribute, batchHeaderBytes, field, lengthOverhead, magicSupported } from './format.js'

export type Records = readonly AppendRecord[] | EncodedRecords

export const isEncoded = (records: Records): records is EncodedRecords => 'kind' in records
export const countOf = (records: Records): number => (isEncoded(records) ? records.count : records.length)

/** Lengths, deltas and attributes of a record take at most this. */
const recordOverheadMax = 32
const initialBytes = 64 * 1024

export interface BatchProducer {
  readonly producerId: number
  readonly producerEpoch: number
  /** Of the batch's first record; -1 without a producer id. */
  readonly sequence: number
  readonly transactional: boolean
}

/** A producer without identity: its batches are not checked against duplicates. */
export const plainProducer: BatchProducer = {
  producerId: -1,
  producerEpoch: -1,
  sequence: -1,
  transactional: false,
}

/** What a record may take in a batch of so many bytes. */
export const recordRoom = (bytesMax: number): number => bytesMax - batchHeaderBytes - recordOverheadMax

/**
 * Refuses records that no batch can hold, before anything is sent.
 * @throws WeirError MESSAGE_TOO_LARGE
 */
export function checkSizes(topic: string, records: Records, bytesMax: number): void {
  const room = recordRoom(bytesMax)
  for (let i = 0; i < countOf(records); i++) {
    const size = isEncoded(records) ? encodedSize(records, i) : recordBytes(records[i]!)
    if (size <= room) continue
    throw new WeirError('MESSAGE_TOO_LARGE', `a record of ${size} bytes for ${topic}, which takes ${room}`)
  }
}

/** At most: three bytes for each UTF-16 unit of the key. */
const encodedSize = ({ keys, valueStart, valueEnd }: EncodedRecords, i: number): number =>
  3 * keys[i]!.length + valueEnd[i]! - valueStart[i]!

export class BatchEncoder {
  #bytes = Buffer.allocUnsafeSlow(initialBytes)
  #end = batchHeaderBytes
  #count = 0
  #bytesMax = 0

  get count(): number {
    return this.#count
  }

  begin(bytesMax: number): void {
    this.#bytesMax = bytesMax
    this.#end = batchHeaderBytes
    this.#count = 0
  }

  /** Takes records from index `from` until the batch is full. @returns the index of the first record not taken */
  add(records: Records, from: number): number {
    return isEncoded(records) ? this.#addEncoded(records, from) : this.#addAll(records, from)
  }

  /** @param timestampMs of every record */
  finish(producer: BatchProducer, timestampMs: number, checksum: (bytes: Buffer) => number): Buffer {
    assert(this.#count > 0, 'a batch holds at least one record')
    const bytes = this.#bytes
    bytes.fill(0, 0, batchHeaderBytes)
    bytes.writeInt32BE(this.#end - lengthOverhead, field.length)
    bytes.writeInt32BE(-1, field.leaderEpoch)
    bytes[field.magic] = magicSupported
    bytes.writeInt16BE(producer.transactional ? attribute.transactional : 0, field.attributes)
    bytes.writeInt32BE(this.#count - 1, field.lastOffsetDelta)
    bytes.writeBigInt64BE(BigInt(timestampMs), field.baseTimestamp)
    bytes.writeBigInt64BE(BigInt(timestampMs), field.maxTimestamp)
    bytes.writeBigInt64BE(BigInt(producer.producerId), field.producerId)
    bytes.writeInt16BE(producer.producerEpoch, field.producerEpoch)
    bytes.writeInt32BE(producer.sequence, field.baseSequence)
    bytes.writeInt32BE(this.#count, field.count)
    bytes.writeUInt32BE(checksum(bytes.subarray(field.attributes, this.#end)), field.crc)
    return bytes.subarray(0, this.#end)
  }

  #addEncoded(run: EncodedRecords, from: number): number {
    const { bytes: values, valueStart, valueEnd, keys } = run
    for (let i = from; i < run.count; i++) {
      const key = keys[i]!
      const start = valueStart[i]!
      const valueLength = valueEnd[i]! - start
      const keyLength = utf8Length(key)
      if (!this.#fits(keyLength + valueLength)) return i
      this.#head(keyLength, valueLength, 1)
      this.#text(key, keyLength)
      this.#varint(valueLength)
      this.#end += values.copy(this.#bytes, this.#end, start, start + valueLength)
      this.#bytes[this.#end++] = 0 // no headers
    }
    return run.count
  }

  #addAll(records: readonly AppendRecord[], from: number): number {
    for (let i = from; i < records.length; i++) {
      const record = records[i]!
      const { key, value, headers = [] } = record
      if (!this.#fits(recordBytes(record))) return i
      const headerBytes = headersLength(headers)
      this.#head(key?.length ?? -1, value?.length ?? -1, headerBytes)
      if (key !== null) this.#blob(key)
      this.#varint(value?.length ?? -1)
      if (value !== null) this.#blob(value)
      this.#varint(headers.length)
      for (const { name, value: bytes } of headers) {
        const nameLength = utf8Length(name)
        this.#varint(nameLength)
        this.#text(name, nameLength)
        this.#varint(bytes.length)
        this.#blob(bytes)
      }
    }
    return records.length
  }

  /** Also makes room. An empty batch takes whatever `checkSizes` let pass. */
  #fits(size: number): boolean {
    const needed = this.#end + size + recordOverheadMax
    if (needed > this.#bytesMax) {
      assert(this.#count > 0, 'a record that fits no batch was refused before')
      return false
    }
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#bytesMax, Math.max(needed, 2 * this.#bytes.length)))
      this.#bytes.copy(grown, 0, 0, this.#end)
      this.#bytes = grown
    }
    return true
  }

  /** Length, attributes, deltas, and the key's length. */
  #head(keyLength: number, valueLength: number, headerBytes: number): void {
    const delta = this.#count++
    const length =
      2 +
      varintLength(delta) +
      varintLength(keyLength) +
      Math.max(0, keyLength) +
      varintLength(valueLength) +
      Math.max(0, valueLength) +
      headerBytes
    this.#varint(length)
    this.#bytes[this.#end++] = 0 // attributes
    this.#bytes[this.#end++] = 0 // timestamp delta
    this.#varint(delta)
    this.#varint(keyLength)
  }

  #varint(value: number): void {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0
    while (rest >= 128) {
      this.#bytes[this.#end++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.#bytes[this.#end++] = rest
  }

  #blob(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** Keys are short and nearly always ASCII, where this loop beats the native call by four to one. */
  #text(text: string, length: number): void {
    if (length !== text.length) this.#bytes.write(text, this.#end)
    else for (let i = 0; i < length; i++) this.#bytes[this.#end + i] = text.charCodeAt(i)
    this.#end += length
  }
}

function utf8Length(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return Buffer.byteLength(text)
  return text.length
}

function headersLength(headers: readonly Header[]): number {
  let length = varintLength(headers.length)
  for (const { name, value } of headers) {
    const nameLength = utf8Length(name)
    length += varintLength(nameLength) + nameLength + varintLength(value.length) + value.length
  }
  return length
}

function varintLength(value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  let length = 1
  while (rest >= 128) {
    length++
    rest >>>= 7
  }
  return length
}
